package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep/admin"
)

// tellTime bounds how long a command that has written waits for the server.
const tellTime = 8 * time.Second

// tellServer has the running server look at the directory now. The server may run
// elsewhere, and then it sees by itself what has changed.
func (a *app) tellServer(socket string) {
	if socket == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tellTime)
	defer cancel()
	err := admin.NewClient(socket).Update(ctx)
	if err != nil && !errors.Is(err, admin.ErrUnreachable) {
		fmt.Fprintf(a.err, "lockstep: warning: written, but the running server has not seen it yet: %s\n", printable(err.Error()))
	}
}
