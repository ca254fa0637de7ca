package radius

import (
	"bytes"
	"errors"
	"testing"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

func request(t *testing.T, attributes ...Attribute) Packet {
	t.Helper()
	p, err := NewRequest(layeh.CodeAccessRequest, rfcSecret, []byte("password"), attributes...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func proxyStates(p Packet) (values [][]byte) {
	for t, v := range p.Attributes() {
		if t == rfc2865.ProxyState_Type {
			values = append(values, v)
		}
	}
	return values
}

// checkStrict looks at a reply as the strictest clients do.
func checkStrict(t *testing.T, reply, request Packet) {
	t.Helper()
	if _, err := Check(reply); err != nil {
		t.Fatal(err)
	}
	if Type(reply[20]) != rfc2869.MessageAuthenticator_Type {
		t.Errorf("first attribute is %d, want Message-Authenticator", reply[20])
	}
	if err := reply.VerifyReply(request, rfcSecret, true); err != nil {
		t.Error(err)
	}
	if !layeh.IsAuthenticResponse(reply, request, rfcSecret) {
		t.Error("another implementation does not take it")
	}
	if got, want := proxyStates(reply), proxyStates(request); !equal(got, want) {
		t.Errorf("Proxy-State is %x, want %x", got, want)
	}
}

func equal(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func TestNewReply(t *testing.T) {
	long := bytes.Repeat([]byte("l"), 253)
	proxy := func(values ...[]byte) (as []Attribute) {
		for _, v := range values {
			as = append(as, Attribute{rfc2865.ProxyState_Type, v})
		}
		return as
	}
	text := Attribute{rfc2865.ReplyMessage_Type, []byte("hello")}
	for _, tt := range []struct {
		name    string
		request []Attribute
	}{
		{"C45 no Proxy-State", nil},
		{"C45 one", proxy([]byte("a"))},
		{"C45 five, two of them alike, one empty, one long", proxy([]byte("b"), []byte("a"), []byte("a"), nil, long)},
		{"C45 between other attributes", append(append(proxy([]byte("b")), text), proxy([]byte("a"))...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request := request(t, tt.request...)
			for _, code := range []Code{layeh.CodeAccessAccept, layeh.CodeAccessReject, layeh.CodeAccessChallenge} {
				reply, left, err := NewReply(code, request, rfcSecret, text)
				if err != nil || left != 0 {
					t.Fatalf("%d left out, %v", left, err)
				}
				checkStrict(t, reply, request)
				if got, _ := reply.Lookup(rfc2865.ReplyMessage_Type); string(got) != "hello" {
					t.Errorf("Reply-Message is %q", got)
				}
			}
		})
	}
}

func TestNewReplyTooLong(t *testing.T) {
	long := bytes.Repeat([]byte("l"), 253)
	var many []Attribute
	for range 15 {
		many = append(many, Attribute{rfc2865.ProxyState_Type, long})
	}
	many = append(many, Attribute{rfc2865.ProxyState_Type, long[:100]}) // 3927 octets of Proxy-State
	full := request(t, many...)
	short, message := Attribute{rfc2865.State_Type, []byte("s")}, Attribute{rfc2865.ReplyMessage_Type, long}
	reply, left, err := NewReply(layeh.CodeAccessChallenge, full, rfcSecret, short, message, short)
	if err != nil || left != 2 {
		t.Fatalf("C46: %d attributes left out, %v; want the last 2", left, err)
	}
	checkStrict(t, reply, full)
	if !reply.Has(rfc2865.State_Type) || reply.Has(rfc2865.ReplyMessage_Type) {
		t.Error("C46: want what fits before the first that does not, and no more")
	}

	if _, _, err := NewReply(layeh.CodeAccessAccept, full, rfcSecret, Attribute{rfc2865.Class_Type, make([]byte, 254)}); !errors.Is(err, ErrTooLong) {
		t.Errorf("attribute of 254 octets: %v", err)
	}
	bare := begin(layeh.CodeAccessRequest, 1, noAuthenticator, 128)
	for len(bare)+255 <= MaxLen {
		bare = appendAttribute(bare, Attribute{rfc2865.ProxyState_Type, long})
	}
	bare = appendAttribute(bare, Attribute{rfc2865.ProxyState_Type, make([]byte, MaxLen-len(bare)-2)})
	if _, _, err := NewReply(layeh.CodeAccessAccept, bare.finish(), rfcSecret); !errors.Is(err, ErrTooLong) {
		t.Errorf("nothing but Proxy-State: %v", err)
	}
}

func TestNewRequest(t *testing.T) {
	p := request(t, Attribute{rfc2865.UserName_Type, []byte("alice")})
	if Type(p[20]) != rfc2869.MessageAuthenticator_Type {
		t.Errorf("first attribute is %d, want Message-Authenticator", p[20])
	}
	if err := p.VerifyMessageAuthenticator(rfcSecret); err != nil {
		t.Error(err)
	}
	q := request(t)
	if p.Authenticator() == q.Authenticator() {
		t.Error("two requests have the same Request Authenticator")
	}
	if _, err := NewRequest(layeh.CodeAccessRequest, rfcSecret, make([]byte, 129)); !errors.Is(err, ErrPasswordLength) {
		t.Errorf("password of 129 octets: %v", err)
	}
	var many []Attribute
	for range 17 {
		many = append(many, Attribute{rfc2865.Class_Type, make([]byte, 253)})
	}
	if _, err := NewRequest(layeh.CodeAccessRequest, rfcSecret, nil, many...); !errors.Is(err, ErrTooLong) {
		t.Errorf("17 attributes of 255 octets: %v", err)
	}
}
