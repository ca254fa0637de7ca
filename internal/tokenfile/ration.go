package tokenfile

import (
	"bytes"
	"errors"
	"io"
)

var errRecord = errors.New("a record larger than 1 MiB")

// A ration is a reader that fails once a record's worth of octets was read
// since the last refill. It keeps parsers of the standard library, which hold a
// record as many small pieces, from growing with the size of the file.
type ration struct {
	r    io.Reader
	left int
}

func newRation(data []byte) *ration { return &ration{r: bytes.NewReader(data), left: maxRecord} }

func (r *ration) refill() { r.left = maxRecord }

// Read implements [io.Reader].
func (r *ration) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, errRecord
	}
	n, err := r.r.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}
