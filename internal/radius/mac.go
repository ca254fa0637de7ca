package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"errors"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2869"
)

// MD5 is what the protocol has (RFC 2865, RFC 2869). Neither use here needs
// resistance against collisions as long as Message-Authenticator is required:
// forging needs the secret (CVE-2024-3596 is about packets that lack it). Go
// refuses MD5 under GODEBUG=fips140=only, and this package then panics.

const macLen = md5.Size

// What [Packet.VerifyMessageAuthenticator] returns.
var (
	// ErrNoMessageAuthenticator: there is none. Whether that matters is up to
	// the caller.
	ErrNoMessageAuthenticator = errors.New("no Message-Authenticator")

	// ErrBadMessageAuthenticator: the packet must be discarded without effect
	// (RFC 3579, section 3.2). There is more than one, its length is wrong, or
	// it was made with another secret or for other octets.
	ErrBadMessageAuthenticator = errors.New("the Message-Authenticator does not verify")
)

var noAuthenticator [16]byte

// VerifyMessageAuthenticator verifies the Message-Authenticator of a request
// (RFC 3579, section 3.2). A nil error means that there is exactly one and that
// it is right.
func (p Packet) VerifyMessageAuthenticator(secret []byte) error {
	authenticator := p.Authenticator()
	if p.Code() == layeh.CodeAccountingRequest {
		// Its Request Authenticator is computed over the finished packet, and
		// so is taken as zero here, as RFC 5176, section 3.4, has it for the
		// other requests of that kind.
		authenticator = noAuthenticator
	}
	return p.verifyMAC(&authenticator, secret)
}

func (p Packet) verifyMAC(authenticator *[16]byte, secret []byte) error {
	at, err := p.findMAC()
	if err != nil {
		return err
	}
	var sum [macLen]byte
	p.mac(sum[:], at, authenticator, secret)
	if !hmac.Equal(sum[:], p[at:at+macLen]) {
		return ErrBadMessageAuthenticator
	}
	return nil
}

// findMAC returns the offset of the value of the Message-Authenticator.
func (p Packet) findMAC() (at int, err error) {
	for i := HeaderLen; i < len(p); i += int(p[i+1]) {
		if Type(p[i]) != rfc2869.MessageAuthenticator_Type {
			continue
		}
		if at != 0 || p[i+1] != 2+macLen {
			return 0, ErrBadMessageAuthenticator
		}
		at = i + 2
	}
	if at == 0 {
		return 0, ErrNoMessageAuthenticator
	}
	return at, nil
}

// mac writes to the start of dst the HMAC-MD5 over p with authenticator in place of its
// own and with zeros in place of the Message-Authenticator at offset at.
func (p Packet) mac(dst []byte, at int, authenticator *[16]byte, secret []byte) {
	h := newHasher()
	defer h.free()
	h.beginMAC(secret)
	h.write(p[:4])
	h.writeShort(*authenticator)
	h.write(p[HeaderLen:at])
	h.write(noAuthenticator[:])
	h.write(p[at+macLen:])
	sum := h.endMAC()
	copy(dst[:macLen], sum[:])
}

// VerifyAccounting reports whether the Request Authenticator of an
// Accounting-Request is right (RFC 2866, section 3). An empty secret never is.
func (p Packet) VerifyAccounting(secret []byte) bool {
	return p.verifyMD5(&noAuthenticator, secret)
}

// verifyMD5 verifies an authenticator that is the MD5 of the packet, with
// another one in its place, and the secret.
func (p Packet) verifyMD5(in *[16]byte, secret []byte) bool {
	var sum [md5.Size]byte
	p.sum(sum[:], in, secret)
	return len(secret) > 0 && subtle.ConstantTimeCompare(sum[:], p[4:HeaderLen]) == 1
}

// sum writes it to the start of dst.
func (p Packet) sum(dst []byte, in *[16]byte, secret []byte) {
	h := newHasher()
	defer h.free()
	h.write(p[:4])
	h.writeShort(*in)
	h.write(p[HeaderLen:])
	h.write(secret)
	sum := h.end()
	copy(dst[:md5.Size], sum[:])
}

// What [Packet.VerifyReply] returns beside the Message-Authenticator's errors.
var (
	// ErrNotReply: the packet answers another request or none.
	ErrNotReply = errors.New("not a reply to this request")

	// ErrBadAuthenticator: the reply was made with another secret, or for
	// another request.
	ErrBadAuthenticator = errors.New("the Response Authenticator does not verify")
)

// VerifyReply verifies that p answers request: the Identifier, the Response
// Authenticator (RFC 2865, section 3) and the Message-Authenticator, if it has
// one. ErrNoMessageAuthenticator is returned only if required is set.
func (p Packet) VerifyReply(request Packet, secret []byte, required bool) error {
	if p.Identifier() != request.Identifier() || !answers(p.Code(), request.Code()) {
		return ErrNotReply
	}
	authenticator := request.Authenticator()
	if !p.verifyMD5(&authenticator, secret) {
		return ErrBadAuthenticator
	}
	err := p.verifyMAC(&authenticator, secret)
	if errors.Is(err, ErrNoMessageAuthenticator) && !required {
		return nil
	}
	return err
}

func answers(reply, request Code) bool {
	switch reply {
	case layeh.CodeAccessAccept:
		return request == layeh.CodeAccessRequest || request == layeh.CodeStatusServer
	case layeh.CodeAccessReject, layeh.CodeAccessChallenge:
		return request == layeh.CodeAccessRequest
	case layeh.CodeAccountingResponse:
		return request == layeh.CodeAccountingRequest || request == layeh.CodeStatusServer
	}
	return false
}
