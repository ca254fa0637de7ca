package pam

import (
	"context"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

const (
	maxValue  = 253 // octets of an attribute
	maxRounds = 5   // challenges that are answered
)

// decide asks the servers, and the person again where they want to know more.
// A nil error means that a server has said yes.
func (l *login) decide(ctx context.Context, password []byte) (challenged bool, err error) {
	request := l.request()
	request.Password = opaque.Of(password)
	for round := 0; ; round++ {
		reply, err := l.exchange(ctx, request)
		if err != nil {
			return false, err
		}
		switch {
		case reply.Code == layeh.CodeAccessAccept:
			return round > 0, nil
		case saysNotEnrolled(reply):
			return false, errNotEnrolled
		case reply.Code == layeh.CodeAccessReject:
			return false, refuseByServer
		case reply.Code != layeh.CodeAccessChallenge:
			return false, errors.New("the server's reply is none to a login")
		case round == maxRounds:
			// Not unavailable: with some servers it is the person who causes this,
			// by wrong codes.
			return false, refuseRounds
		}
		raw, err := l.prompt(challengeStyle(reply), challengeText(reply))
		if err != nil {
			return false, err
		}
		code, err := l.code(raw)
		if err != nil {
			return false, err
		}
		request.Password, request.State = opaque.Of(code), reply.State
	}
}

// saysNotEnrolled says whether a server has rejected because there is no such
// user. It tells only those who are configured to be told.
func saysNotEnrolled(reply *radius.Reply) bool {
	return reply.Code == layeh.CodeAccessReject && reply.ReplyMessage == errNotEnrolled.Error()
}

// exchange gives the servers their time, which starts here: it does not run
// while somebody types.
func (l *login) exchange(ctx context.Context, request radius.AccessRequest) (*radius.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	return l.servers.ask(ctx, request)
}

func (l *login) request() radius.AccessRequest {
	r := radius.AccessRequest{
		UserName:         l.User,
		NASIdentifier:    cut(l.nas, maxValue),
		CallingStationID: cut(l.RHost, maxValue),
		ServiceType:      uint32(rfc2865.ServiceType_Value_AuthenticateOnly),
		Attributes: []radius.Attribute{
			{Type: rfc2865.NASPortType_Type, Value: layeh.NewInteger(uint32(rfc2865.NASPortType_Value_Virtual))},
		},
	}
	if l.Service != "" {
		r.Attributes = append(r.Attributes, radius.Attribute{Type: rfc2869.NASPortID_Type, Value: []byte(cut(l.Service, maxValue))})
	}
	return r
}

// challengeStyle goes by the attribute Prompt (RFC 2869, section 5.10).
func challengeStyle(reply *radius.Reply) Style {
	value, err := layeh.Integer(reply.Attributes.Get(rfc2869.Prompt_Type))
	if err == nil && value == uint32(rfc2869.Prompt_Value_Echo) {
		return EchoOn
	}
	return EchoOff
}

// challengeText returns the server's message with nothing in it that a terminal
// would act on.
func challengeText(reply *radius.Reply) string {
	const most = 255
	text := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, reply.ReplyMessage)
	if strings.TrimSpace(text) == "" {
		return "Code: "
	}
	return cut(text, most)
}

// cut returns the first octets of s, at most so many, and no character cut in
// two.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
