package wire

import "syscall"

// Usable tells whether nothing has ended c yet.
func (c *Conn) Usable() bool { return c.err == nil && !c.isClosed() }

// Idle tells whether c can be used for a request, as far as this side knows: the
// server has not closed it, and has sent nothing unasked, such as a notice of
// disconnection. It waits for nothing.
func (c *Conn) Idle() bool {
	if !c.Usable() || c.search || c.input.pending() {
		return false
	}
	s, ok := c.raw.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var octet [1]byte
		_, _, err := syscall.Recvfrom(int(fd), octet[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
	})
	return err == nil && quiet
}
