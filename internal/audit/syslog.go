package audit

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	dialTime     = 10 * time.Second
	writeTime    = 10 * time.Second
	firstBackoff = time.Second
	maxBackoff   = time.Minute
)

type dialer func(context.Context) (net.Conn, error)

// remote is a syslog server. A nil remote takes lines and sends none.
type remote struct {
	name  string
	dial  dialer
	frame framer
	log   *slog.Logger
	trail *Trail

	ctx    context.Context // ends when nothing more is to be tried
	cancel context.CancelFunc
	wake   chan struct{} // holds one
	last   chan struct{} // closed when no more lines come
	ended  chan struct{}

	mu    sync.Mutex // guards those below
	lines []byte     // that wait
	spare []byte
	lost  uint64 // for which there was no room, and not told of yet
	total uint64 // lost ever
	err   error  // of the last try
}

func newRemote(o Options, t *Trail, dial dialer) (*remote, error) {
	if dial == nil {
		var err error
		if dial, err = dialerFor(o.Syslog, o.TLS); err != nil {
			return nil, err
		}
	}
	r := &remote{name: o.Syslog, dial: dial, frame: newFramer(o.Host), log: o.Log, trail: t, wake: make(chan struct{}, 1),
		last: make(chan struct{}), ended: make(chan struct{}), err: errors.New("not reached yet")}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// dialerFor returns how to reach a server by its URL.
func dialerFor(to string, config *tls.Config) (dialer, error) {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "tcp" && u.Scheme != "tls" || u.Hostname() == "" || u.Port() == "" {
		return nil, fmt.Errorf("syslog server %q: want tcp:// or tls://, a host and a port", to)
	}
	plain := &net.Dialer{Timeout: dialTime}
	if u.Scheme == "tcp" {
		return func(ctx context.Context) (net.Conn, error) { return plain.DialContext(ctx, "tcp", u.Host) }, nil
	}
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	secure := &tls.Dialer{NetDialer: plain, Config: config}
	return func(ctx context.Context) (net.Conn, error) { return secure.DialContext(ctx, "tcp", u.Host) }, nil
}

// add takes a line, which holds so many records, or counts them as lost.
func (r *remote) add(line []byte, records uint64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) >= maxQueue {
		r.lost += records
		r.total += records
		return
	}
	r.lines = append(r.lines, line...)
	r.signal()
}

func (r *remote) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// status returns how many records were lost, and the error of the last try.
func (r *remote) status() (uint64, error) {
	if r == nil {
		return 0, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total, r.err
}

func (r *remote) stop() {
	if r != nil {
		r.cancel()
	}
}

// drain sends what waits, as long as ctx lasts. No more lines may come.
func (r *remote) drain(ctx context.Context) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	select {
	case <-r.last:
	default:
		close(r.last)
	}
	r.mu.Unlock()
	select {
	case <-r.ended:
	case <-ctx.Done():
		r.cancel()
		<-r.ended
	}
	if len(r.lines) > 0 {
		return fmt.Errorf("the syslog server %s has not got the last of the audit trail: %w", r.name, r.err)
	}
	return nil
}

// run sends lines as they come.
func (r *remote) run() {
	defer close(r.ended)
	defer r.cancel()
	c := &connection{remote: r}
	defer c.close()
	for first := true; ; first = false {
		lines := r.take()
		if len(lines) > 0 || first || c.over() {
			if left, ok := c.send(lines); !ok {
				r.putBack(left)
				return
			}
		}
		r.giveBack(lines)
		select {
		case <-r.wake:
			continue
		default:
		}
		select {
		case <-r.wake:
		case <-r.ctx.Done():
			return
		case <-r.last:
			if r.waiting() == 0 {
				return
			}
		}
	}
}

func (r *remote) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lines)
}

// take returns what waits.
func (r *remote) take() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines, r.spare = r.spare[:0], nil
	return lines
}

func (r *remote) putBack(lines []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(lines, r.lines...)
}

// giveBack is called when lines have been sent. What was lost meanwhile is told
// then, in a record of its own.
func (r *remote) giveBack(lines []byte) {
	r.mu.Lock()
	lost := r.lost
	r.lost = 0
	if cap(lines) <= 256<<10 {
		r.spare = lines[:0]
	}
	r.mu.Unlock()
	if lost > 0 {
		r.trail.Note("lost-at-syslog", slog.Uint64("records", lost))
	}
}

// set puts down how a try ended, and logs a change.
func (r *remote) set(err error) {
	r.mu.Lock()
	was := r.err
	r.err = err
	r.mu.Unlock()
	switch {
	case err != nil && (was == nil || was.Error() != err.Error()):
		r.log.Warn("syslog server of the audit trail cannot be reached, records wait", "url", r.name, "err", err)
	case err == nil && was != nil:
		r.log.Info("syslog server of the audit trail reached", "url", r.name)
	}
}

// connection is the way to the server, open or not.
type connection struct {
	*remote
	conn   net.Conn
	gone   *atomic.Bool // the other end has closed it
	frames []byte
}

// send sends lines, again and again until that is done or nothing more is to be
// tried: then it returns those that are left. After a failure it sends the last of
// them anew: some may arrive twice, which their numbers show.
func (c *connection) send(lines []byte) (left []byte, ok bool) {
	backoff := firstBackoff
	for {
		sent, err := c.try(lines)
		if lines = lines[sent:]; sent > 0 {
			backoff = firstBackoff
		}
		if c.ctx.Err() != nil {
			return lines, err == nil
		}
		c.set(err)
		if err == nil {
			return nil, true
		}
		c.close()
		timer := time.NewTimer(backoff)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			return lines, false
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// try returns how many octets of lines have been sent.
func (c *connection) try(lines []byte) (sent int, err error) {
	if c.over() {
		c.close()
	}
	if c.conn == nil {
		if err := c.open(); err != nil {
			return 0, err
		}
	}
	for sent < len(lines) {
		n := c.gather(lines[sent:])
		c.conn.SetWriteDeadline(time.Now().Add(writeTime))
		if _, err := c.conn.Write(c.frames); err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// portion is what is sent at once, roughly: a slow line has to take it in writeTime.
const portion = 32 << 10

// gather makes frames of the first of lines, and returns how many octets those are.
func (c *connection) gather(lines []byte) (n int) {
	c.frames = c.frames[:0]
	for n < len(lines) && n < portion {
		line, _, _ := bytes.Cut(lines[n:], []byte("\n"))
		c.frames = c.frame.appendTo(c.frames, line)
		n += len(line) + 1
	}
	return n
}

func (c *connection) open() error {
	ctx, cancel := context.WithTimeout(c.ctx, dialTime)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	gone := &atomic.Bool{}
	c.conn, c.gone = conn, gone
	unstop := context.AfterFunc(c.ctx, func() { conn.Close() })
	go func() {
		// Nothing comes but the end, and with TLS what it needs. Without reading,
		// the first write after the end would seem to succeed.
		io.Copy(io.Discard, conn)
		unstop()
		gone.Store(true)
		c.signal()
	}()
	return nil
}

// over reports whether the other end has closed the connection.
func (c *connection) over() bool { return c.conn != nil && c.gone.Load() }

func (c *connection) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// framer makes syslog messages of lines.
type framer struct{ origin string }

func newFramer(host string) framer {
	return framer{" " + printUSASCII(host, 255) + " lockstep " + strconv.Itoa(os.Getpid()) + " "}
}

// printUSASCII is a header field of RFC 5424, section 6: without what it may not hold.
func printUSASCII(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

// appendTo appends line as a message (RFC 5424) behind its length (RFC 6587,
// section 3.4.1). The message is ASCII, so that it needs no byte order mark (RFC
// 5424, section 6.4).
func (f framer) appendTo(b, line []byte) []byte {
	var space [512]byte
	h := append(space[:0], '<')
	h = strconv.AppendInt(h, int64(priority(line)), 10)
	h = append(h, ">1 "...)
	h = append(h, member(line, `"time":"`)...)
	h = append(h, f.origin...)
	h = append(h, member(line, `"event":"`)...) // MSGID
	h = append(h, " - "...)
	b = strconv.AppendInt(b, int64(len(h)+len(line)), 10)
	b = append(b, ' ')
	b = append(b, h...)
	return append(b, line...)
}

// member returns the text behind mark: a member near the start of the line, whose
// value needs no escapes.
func member(line []byte, mark string) []byte {
	_, rest, _ := bytes.Cut(line, []byte(mark))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return value
}

// priority is that of the facility 13, log audit (RFC 5424, section 6.2.1).
func priority(line []byte) int {
	const facility, warning, notice, info = 13 * 8, 4, 5, 6
	switch event := string(member(line, `"event":"`)); {
	case event == "lost" || event == "lost-at-syslog" || event == lostAtFile || bytes.Contains(line, []byte(`"result":"error"`)):
		return facility + warning
	case event != "login" || bytes.Contains(line, []byte(`"result":"reject"`)):
		return facility + notice
	}
	return facility + info
}
