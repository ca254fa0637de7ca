package hosts

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/radiusd"
)

// yes accepts everybody.
type yes struct{}

func (yes) Authenticate(context.Context, *radiusd.Request) (radiusd.Answer, error) {
	return radiusd.Answer{Outcome: radiusd.Accept}, nil
}

// What the module adds to a login at a host, with a server on the loopback that
// accepts at once. The metric added-ms is the difference of the medians of a login
// by the module and of one by pam_permit.
func BenchmarkModule(b *testing.B) {
	const each = 20 // authentications of one process
	s := newStage(b, 1, map[string]string{"permit": "auth required pam_permit.so\n"})
	v := &server{secret: rand.Text()}
	conn, err := radiusd.Listen(b.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	v.addr = conn.LocalAddr().String()
	r := &radiusd.Server{Log: slog.New(slog.DiscardHandler), Now: time.Now}
	if err := r.SetClients([]radiusd.Client{{Name: "host", Prefix: netip.MustParsePrefix("127.0.0.0/8"), Secret: opaque.Text(v.secret), Auth: yes{}}}); err != nil {
		b.Fatal(err)
	}
	go r.Serve(conn)
	b.Cleanup(func() { r.Shutdown(context.Background()); conn.Close() })
	s.writeHost(v, map[string]string{"module": plainStack})

	authenticate := slices.Repeat([]string{"authenticate"}, each)
	answers := slices.Repeat([]string{"password", "123456"}, each)
	took := map[string][]time.Duration{}
	for b.Loop() {
		for _, service := range []string{"permit", "module"} {
			began := time.Now()
			out, err := s.run(s.command("pamtester", append([]string{service, s.people[0].name}, authenticate...)...), answers...)
			took[service] = append(took[service], time.Since(began)/each)
			if err != nil || strings.Count(out, "successfully") != each {
				b.Fatalf("%s: %v, %q", service, err, out)
			}
		}
	}
	median := func(service string) time.Duration {
		slices.Sort(took[service])
		return took[service][len(took[service])/2]
	}
	b.ReportMetric((median("module")-median("permit")).Seconds()*1000, "added-ms")
	b.Logf("module %v, permit %v", median("module"), median("permit"))
}
