package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	layeh "layeh.com/radius"

	"lockstep/config"
	"lockstep/internal/radius"
)

func (a *app) login(args []string) error {
	fs := a.flags("login", "login [OPTION ...] USER\n\nAsks a RADIUS server as an appliance would. What is asked for as the password may be\npassword and code in one, or the password alone where the server asks for the code then.\n")
	server := fs.String("server", "127.0.0.1:1812", "ask the server at `ADDR`, host or host:port")
	secretFile := fs.String("secret-file", "", "read the shared secret from `FILE` (required)")
	timeout := fs.Duration("timeout", 3*time.Second, "wait so long before each retransmission")
	tries := fs.Int("tries", 3, "send so many times")
	nas := fs.String("nas-id", "lockstep-login", "send as NAS-Identifier")
	calling := fs.String("calling-station", "", "send as Calling-Station-Id")
	err := a.parse(fs, args, 1)
	if fs.NArg() > 1 { // which may be a password
		return &failure{status: statusUsage, err: errors.New("login: want the name of a user and nothing after it"),
			hint: "leave passwords and codes out of the command line, where others can see them: they are asked for"}
	}
	if err != nil {
		return err
	}
	if *secretFile == "" {
		return usagef("login: -secret-file is required: a file that holds the shared secret and nothing else")
	}
	secret, err := config.ReadSecret(*secretFile)
	if err != nil {
		return &failure{status: statusUsage, err: err}
	}
	if _, _, err := net.SplitHostPort(*server); err != nil {
		*server = net.JoinHostPort(strings.Trim(*server, "[]"), "1812")
	}
	c := &radius.Client{Server: *server, Secret: secret, Timeout: *timeout, Tries: *tries, RequireMessageAuthenticator: true}
	request := radius.AccessRequest{UserName: fs.Arg(0), NASIdentifier: *nas, CallingStationID: *calling}
	return a.converse(c, request)
}

// converse sends request, and answers challenges until there is a decision.
func (a *app) converse(c *radius.Client, request radius.AccessRequest) error {
	prompt, echo := "Password: ", false
	for range 10 {
		typed, err := a.ask(prompt, echo)
		if err != nil {
			return err
		}
		request.Password = typed
		reply, err := c.Exchange(context.Background(), request)
		if err != nil {
			return err
		}
		switch reply.Code {
		case layeh.CodeAccessAccept:
			a.outcome(request.UserName, "accepted", reply)
			return nil
		case layeh.CodeAccessReject:
			a.outcome(request.UserName, "rejected", reply)
			return no()
		}
		request.State = reply.State
		prompt, echo = reply.ReplyMessage, true
	}
	return errors.New("the server has asked ten times; giving up")
}

func (a *app) outcome(user, outcome string, reply *radius.Reply) {
	message := ""
	if reply.ReplyMessage != "" {
		message = fmt.Sprintf(" (%q)", reply.ReplyMessage)
	}
	fmt.Fprintf(a.out, "%s: %s%s\n", user, outcome, message)
}
