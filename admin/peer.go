package admin

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is at the other end of a connection. An ID that is not known is -1.
type process struct {
	uid   int
	login int // as whom its user logged in, which sudo does not change
}

type peerKey struct{}

func peer(ctx context.Context) process {
	p, ok := ctx.Value(peerKey{}).(process)
	if !ok {
		return process{-1, -1}
	}
	return p
}

// withPeer notes which user is at the other end of c (SO_PEERCRED, unix(7)).
func withPeer(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ctx
	}
	raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			ctx = context.WithValue(ctx, peerKey{}, process{int(cred.Uid), loginUID(cred.Pid)})
		}
	})
	return ctx
}

// loginUID returns the user ID that the kernel's audit keeps of a process that has
// just connected (proc(5)), -1 if there is none, or if /proc does not show it.
func loginUID(pid int32) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/loginuid", pid))
	if err != nil {
		return -1
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil || id == math.MaxUint32 {
		return -1
	}
	return int(id)
}
