package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// backupStall is how long either side may wait for the other in the middle of a
// backup, which may take longer in all than any other answer.
const backupStall = 30 * time.Second

// backup sends the bytes of a backup as they come. An error after the first of them
// breaks the connection off, as the lack of the backup's end does.
func (h handler) backup(w http.ResponseWriter, r *http.Request) {
	out := &stream{w: w, control: http.NewResponseController(w)}
	err := h.users.Backup(r.Context(), out)
	h.audit(r, err, "action", "backup", "bytes", out.sent)
	switch {
	case err == nil:
	case out.sent == 0:
		respond(w, nil, err)
	default:
		panic(http.ErrAbortHandler)
	}
}

// stream gives each write its own time.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	sent    int64
}

func (s *stream) Write(b []byte) (int, error) {
	if err := s.control.SetWriteDeadline(time.Now().Add(backupStall)); err != nil {
		return 0, err
	}
	if s.sent == 0 {
		s.w.Header().Set("Content-Type", "application/octet-stream")
	}
	n, err := s.w.Write(b)
	s.sent += int64(n)
	return n, err
}

// Backup writes a backup of the server's store to w. Whether it is whole says the
// backup itself, and not the error alone.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	req, err := newRequest(ctx, "POST", "/v1/backup", nil)
	if err != nil {
		return err
	}
	long := c.http
	long.Timeout = 0
	resp, err := long.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c.refused(resp)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("read the backup from the server at %s: %w", c.socket, err)
	}
	return nil
}
