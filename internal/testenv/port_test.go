package testenv

import (
	"fmt"
	"net"
	"testing"
)

func TestNobodyElseIsGivenAPort(t *testing.T) {
	port := 0
	t.Run("the owner", func(t *testing.T) {
		port = Port(t)
		name := fmt.Sprintf("@lockstep-test-port-%d", port)
		if l, err := net.Listen("unix", name); err == nil {
			l.Close()
			t.Error("another is given the port")
		}
		if !free(port) {
			t.Error("the owner cannot have it")
		}
	})
	l, err := net.Listen("unix", fmt.Sprintf("@lockstep-test-port-%d", port))
	if err != nil {
		t.Fatalf("the port is kept when its test has ended: %v", err)
	}
	l.Close()
}

func TestAPortThatIsInUseIsNotFree(t *testing.T) {
	port := Port(t)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	if free(port) {
		t.Error("a port that somebody listens on is free")
	}
	l.Close()
	c, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if free(port) {
		t.Error("a port with a datagram socket is free")
	}
}
