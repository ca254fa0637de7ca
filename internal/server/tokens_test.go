package server

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/radiusd"
	"lockstep/verifier"
)

func TestPasswordExpiryInWords(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		info verifier.PasswordInfo
		want string
	}{
		{verifier.PasswordInfo{}, ""},
		{verifier.PasswordInfo{ExpiresIn: -time.Hour}, ""},
		{verifier.PasswordInfo{ExpiresIn: 3 * day}, "Your password expires in 3 days."},
		{verifier.PasswordInfo{ExpiresIn: 4*day - time.Second}, "Your password expires in 3 days."},
		{verifier.PasswordInfo{ExpiresIn: day}, "Your password expires in 1 day."},
		{verifier.PasswordInfo{ExpiresIn: day - time.Second}, "Your password expires in 23 hours."},
		{verifier.PasswordInfo{ExpiresIn: time.Hour}, "Your password expires in 1 hour."},
		{verifier.PasswordInfo{ExpiresIn: time.Minute}, "Your password expires within the hour."},
		{verifier.PasswordInfo{Expired: true, GraceLogins: 2}, "Your password has expired. It can be used for 2 more logins."},
		{verifier.PasswordInfo{Expired: true, GraceLogins: 1}, "Your password has expired. It can be used for 1 more login."},
		{verifier.PasswordInfo{Expired: true, ExpiresIn: day}, "Your password has expired. This was the last login with it."},
	} {
		if got := expiry(tt.info); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.info, got, tt.want)
		}
	}
}

// Who is let in is told of an expiring password where the configuration says so,
// and nobody else is told anything.
func TestPasswordExpiryIsTold(t *testing.T) {
	for _, tell := range []bool{false, true} {
		f := &fakes{key: verifier.Key{Bytes: opaque.Text("12345678901234567890"), Algorithm: verifier.SHA1, Digits: 6, Period: 30 * time.Second},
			info: verifier.PasswordInfo{ExpiresIn: 72 * time.Hour}}
		now := time.Now()
		v := verifier.New(f, f, func() time.Time { return now })
		list := clients(config.Radius{Clients: []config.Client{{Name: "vpn", Address: netip.MustParsePrefix("192.0.2.0/24"), Factors: "password+code", TellPasswordExpiry: tell}}}, v, &directory{})
		code, err := f.key.Code(f.key.Step(now))
		if err != nil {
			t.Fatal(err)
		}
		ask := func(typed string) radiusd.Answer {
			answer, err := list[0].Auth.Authenticate(context.Background(), &radiusd.Request{UserName: "alice", Client: &list[0], Typed: opaque.Text(typed)})
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		if a := ask("wrong" + code); a.Outcome != radiusd.Reject || a.Message != "" {
			t.Errorf("tell %v, wrong password: %+v", tell, a)
		}
		a := ask("secret" + code)
		if a.Outcome != radiusd.Accept || (a.Message == "Your password expires in 3 days.") != tell || !tell && a.Message != "" {
			t.Errorf("tell %v: %+v", tell, a)
		}
		if a := ask("secret" + code); a.Outcome != radiusd.Reject || a.Message != "" {
			t.Errorf("tell %v, replayed: %+v", tell, a)
		}
	}
}

func TestReasonNamesTheToken(t *testing.T) {
	replayed := verifier.Reason{Kind: verifier.Replayed, By: "vpn"}
	for _, tt := range []struct {
		d    verifier.Decision
		want string
	}{
		{verifier.Decision{Outcome: verifier.Accepted}, ""},
		{verifier.Decision{Outcome: verifier.Accepted, Token: "2"}, "token 2"},
		{verifier.Decision{Outcome: verifier.Accepted, Resynchronized: true, Offset: time.Minute}, "resynchronized: device is 1 min 0 s ahead"},
		{verifier.Decision{Outcome: verifier.Accepted, Resynchronized: true, Offset: time.Minute, Token: "2"}, "resynchronized: device is 1 min 0 s ahead, token 2"},
		{verifier.Decision{Reason: replayed, Token: "2"}, "replayed (0 s ago, by vpn), token 2"},
		{verifier.Decision{Reason: replayed}, "replayed (0 s ago, by vpn)"},
	} {
		if got := reason(tt.d); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.d, got, tt.want)
		}
	}
}

// Of several tokens the first stands for all where there is place for one only,
// and the logins are those with any.
func TestTokensAreDescribed(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key := func(label string) verifier.Key {
		return verifier.Key{Label: label, Algorithm: verifier.SHA256, Digits: 8, Period: time.Minute}
	}
	st := verifier.Standing{Tokens: []verifier.TokenStanding{
		{Key: key("blue"), Recent: []verifier.Spent{{Step: 1, At: at, By: "vpn"}}, Until: at},
		{Key: key("2"), Recent: []verifier.Spent{{Step: 2, At: at.Add(time.Hour), By: "ssh"}, {Step: 1, At: at.Add(-time.Hour), By: verifier.ByAdmin}}, Clock: verifier.Clock{At: at}},
	}}
	var u admin.User
	describeTokens(&u, st)
	if len(u.Tokens) != 2 || u.Clock != nil || u.RefusedUntil == nil || u.LastClient != "ssh" || len(u.Logins) != 2 {
		t.Fatalf("%+v", u)
	}
	if u.Logins[0] != (admin.Login{At: at.Add(time.Hour), Client: "ssh", Token: "2"}) || u.Logins[1].Token != "blue" {
		t.Errorf("%+v", u.Logins)
	}
	if b := u.Tokens[0]; b.Label != "blue" || b.LastClient != "vpn" || b.Algorithm != "SHA256" || b.Digits != 8 || b.Period != 60 || b.RefusedUntil == nil {
		t.Errorf("%+v", b)
	}
	if two := u.Tokens[1]; two.Clock == nil || two.LastClient != "ssh" {
		t.Errorf("%+v", two)
	}

	u = admin.User{}
	st.Tokens = st.Tokens[:1]
	describeTokens(&u, st)
	if u.Tokens != nil || len(u.Logins) != 1 || u.Logins[0].Token != "" || u.RefusedUntil == nil {
		t.Errorf("of one token: %+v", u)
	}

	u = admin.User{}
	for i := range 40 {
		st.Tokens[0].Recent = append(st.Tokens[0].Recent, verifier.Spent{At: at.Add(-time.Duration(i+1) * time.Minute), By: "vpn"})
	}
	if describeTokens(&u, st); len(u.Logins) != maxLogins || !u.LastLogin.Equal(at) {
		t.Errorf("%d logins, the last at %v", len(u.Logins), u.LastLogin)
	}
}

// What the directory says of a password that has a code in it is not said of the
// password.
func TestCauseOfDelegated(t *testing.T) {
	for _, said := range []string{"invalid credentials", "expired"} {
		if got := cause(verifier.Account{}, said); got != said {
			t.Errorf("%q became %q", said, got)
		}
		if got := cause(verifier.Account{Delegated: true}, said); strings.Contains(got, "credentials") || got == "" != (said != "expired") {
			t.Errorf("of a delegated account %q became %q", said, got)
		}
	}
}
