package config

import (
	"strings"
	"testing"
)

const metricsTOML = `[directory]
url = ["ldif:people.ldif"]
[[radius.client]]
name = "vpn"
address = "192.0.2.0/24"
secret_file = "vpn.secret"
[metrics]
listen = `

func TestMetrics(t *testing.T) {
	for _, tt := range []struct{ name, listen, want, warning string }{
		{"none", ``, "invalid AddrPort", ""},
		{"this machine", `127.0.0.1:9813`, "127.0.0.1:9813", ""},
		{"this machine by IPv6", `[::1]:9813`, "[::1]:9813", ""},
		{"IPv4 in IPv6", `[::ffff:127.0.0.1]:9813`, "127.0.0.1:9813", ""},
		{"a network", `192.0.2.1:9813`, "192.0.2.1:9813", "192.0.2.1:9813"},
		{"all addresses", `0.0.0.0:9813`, "0.0.0.0:9813", "0.0.0.0:9813"},
		{"all addresses by IPv6", `[::]:9813`, "[::]:9813", "[::]:9813"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, metricsTOML+`"`+tt.listen+`"`)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Metrics.Listen.String(); got != tt.want {
				t.Errorf("listens at %s, want %s", got, tt.want)
			}
			said := strings.Join(c.Warnings(), "\n")
			if warned := strings.Contains(said, "metrics"); warned != (tt.warning != "") || !strings.Contains(said, tt.warning) {
				t.Errorf("warnings are %q, want one with %q", said, tt.warning)
			}
		})
	}
	for _, bad := range []string{`"localhost:9813"`, `"127.0.0.1"`, `"127.0.0.1:0"`, `":9813"`, `9813`, `"unix:/run/x"`} {
		if _, err := load(t, metricsTOML+bad); err == nil || !strings.Contains(err.Error(), ":8: metrics.listen: ") {
			t.Errorf("listen = %s: %v", bad, err)
		}
	}
}
