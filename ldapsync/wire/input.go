package wire

import (
	"errors"
	"fmt"
	"io"
)

// ErrTooLarge is wrapped where a message has more octets than [Options] allow.
var ErrTooLarge = errors.New("message too large")

// firstBuffer holds hundreds of entries. Longer messages make it grow. It is less
// where no message may have so many.
const firstBuffer = 64 << 10

// input cuts what a connection sends into messages, which are slices of one
// buffer.
type input struct {
	max        int // octets of one message
	buffer     []byte
	start, end int // of what was received and not yet taken
}

func (in *input) pending() bool { return in.start < in.end }

// message returns the content of the next message and takes it. The slice is
// valid until the next call. After an error of read the call can be repeated.
func (in *input) message(read func([]byte) (int, error)) ([]byte, error) {
	for {
		received := in.buffer[in.start:in.end]
		n, size, err := in.measure(received)
		if err != nil {
			return nil, err
		}
		if n > 0 && n+size <= len(received) {
			in.start += n + size
			return received[n : n+size], nil
		}
		if err := in.fill(n+size, read); err != nil {
			return nil, err
		}
	}
}

// measure reads the header of the message at the front of b.
func (in *input) measure(b []byte) (n, size int, err error) {
	_, n, length, err := header(b)
	switch {
	case err != nil:
		return 0, 0, err
	case len(b) > 0 && b[0] != tagSequence:
		return 0, 0, fmt.Errorf("tag 0x%02x, want 0x%02x", b[0], tagSequence)
	case n > 0 && length > uint64(max(0, in.max-n)):
		return 0, 0, fmt.Errorf("%w: %d octets, more than the %d that are allowed", ErrTooLarge, length+uint64(n), in.max)
	}
	return n, int(length), nil
}

// fill reads once. A message has as many octets as wanted, 0 if that is not
// yet known.
func (in *input) fill(wanted int, read func([]byte) (int, error)) error {
	if in.start > 0 {
		in.end = copy(in.buffer, in.buffer[in.start:in.end])
		in.start = 0
	}
	if in.end == len(in.buffer) {
		// By and by, or a server could have memory taken by a few octets.
		grown := make([]byte, max(min(firstBuffer, in.max), min(wanted, 2*len(in.buffer))))
		copy(grown, in.buffer[:in.end])
		in.buffer = grown
	}
	n, err := read(in.buffer[in.end:])
	in.end += n
	switch {
	case n > 0:
		return nil // what came with err comes again
	case errors.Is(err, io.EOF) && in.pending():
		return fmt.Errorf("closed by the server after %d octets of a message: %w", in.end, io.ErrUnexpectedEOF)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("closed by the server: %w", err)
	}
	return err
}
