package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Port returns a port of 127.0.0.1 that is free for TCP and for UDP, and t's until
// it ends: no other test is given it, of this process or another, and the kernel
// gives it to no outgoing connection. So what is killed gets it back when it is
// started again.
func Port(t testing.TB) int {
	t.Helper()
	for range 1000 {
		// The kernel gives out those from 32,768 on.
		port := 10_000 + rand.IntN(22_000)
		// A name, and not the port itself, which is for another program to have.
		claim, err := net.Listen("unix", fmt.Sprintf("@lockstep-test-port-%d", port))
		if err != nil {
			continue
		}
		if !free(port) {
			claim.Close()
			continue
		}
		t.Cleanup(func() { claim.Close() })
		return port
	}
	t.Fatal("no port is free")
	return 0
}

func free(port int) bool {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	stream, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer stream.Close()
	datagrams, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	datagrams.Close()
	return true
}
