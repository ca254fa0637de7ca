package testenv

import (
	"maps"
	"slices"
	"testing"
)

func TestParseRadclient(t *testing.T) {
	const output = `Sent Access-Request Id 5 from 0.0.0.0:48411 to 127.0.0.1:1812 length 44
	User-Name = "alice"
	User-Password = "x"
Received Access-Challenge Id 5 from 127.0.0.1:1812 to 127.0.0.1:48411 length 78
	Message-Authenticator = 0x0102
	State = 0x4142
	Reply-Message = "Code = what? "
	Proxy-State = 0x01
	Proxy-State = 0x02
(0) -: Expected Access-Accept got Access-Challenge
`
	got := parseRadclient(output)
	want := map[string][]string{
		"Message-Authenticator": {"0x0102"},
		"State":                 {"0x4142"},
		"Reply-Message":         {`"Code = what? "`},
		"Proxy-State":           {"0x01", "0x02"},
	}
	if got.Code != "Access-Challenge" || !maps.EqualFunc(got.Attributes, want, slices.Equal) {
		t.Errorf("got %q, %v; want Access-Challenge, %v", got.Code, got.Attributes, want)
	}
	if silent := parseRadclient("Sent Access-Request Id 5\n(0) No reply from server\n"); silent.Code != "" {
		t.Errorf("silence gives %q", silent.Code)
	}
}
