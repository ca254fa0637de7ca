package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"lockstep/internal/opaque"
)

// ErrUnreachable is what errors are when no server took the question, because
// none is running there or because the socket may not be opened.
var ErrUnreachable = errors.New("no server could be asked")

// ErrNotRunning is what those of them are that say that nobody answers there.
var ErrNotRunning = errors.New("no server is running")

// Client asks the server behind a socket. It may be used by several goroutines
// at once.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client for the socket at that path. It opens nothing yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket, http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// List returns all enrolled users, by name.
func (c *Client) List(ctx context.Context) ([]User, error) {
	var users []User
	err := c.do(ctx, "GET", "/v1/users", nil, &users)
	return users, err
}

// Show returns one user, or an error wrapping ErrNoUser.
func (c *Client) Show(ctx context.Context, name string) (User, error) {
	var u User
	err := c.do(ctx, "GET", named("/v1/user", name), nil, &u)
	return u, err
}

// Unlock forgets the user's failures and returns how many there were.
func (c *Client) Unlock(ctx context.Context, name string) (int, error) {
	var n unlocked
	err := c.do(ctx, "POST", named("/v1/unlock", name), nil, &n)
	return n.Failures, err
}

// Explain says what code is to the user, and spends nothing.
func (c *Client) Explain(ctx context.Context, name string, typed opaque.Bytes) (Explanation, error) {
	var e Explanation
	err := c.do(ctx, "POST", "/v1/explain", explainBody{name, code{typed}}, &e)
	return e, err
}

// Resync has the clock of the user's device learned from two codes that it
// showed one after the other.
func (c *Client) Resync(ctx context.Context, name string, first, second opaque.Bytes) (Resync, error) {
	var r Resync
	err := c.do(ctx, "POST", "/v1/resync", resyncBody{name, []code{{first}, {second}}}, &r)
	return r, err
}

// ResetClock forgets what was learned of the clock of the user's device.
func (c *Client) ResetClock(ctx context.Context, name string) error {
	return c.do(ctx, "POST", named("/v1/reset-clock", name), nil, &struct{}{})
}

// Seed tells the server that the code of step confirmed a new key at that time.
// The period is whole seconds.
func (c *Client) Seed(ctx context.Context, keyID string, period time.Duration, step int64, at time.Time) error {
	return c.do(ctx, "POST", "/v1/seed", seedBody{keyID, int(period / time.Second), step, at}, &struct{}{})
}

// Doctor returns what the server finds in order and what not, and whether it runs
// this version of the program.
func (c *Client) Doctor(ctx context.Context) ([]Finding, error) {
	var findings []Finding
	err := c.do(ctx, "GET", "/v1/doctor?version="+url.QueryEscape(version()), nil, &findings)
	for i, f := range findings {
		findings[i] = f.known()
	}
	return findings, err
}

func named(path, name string) string { return path + "?name=" + url.QueryEscape(name) }

// do sends a request, with body as JSON unless it is nil, and decodes the reply.
func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	req, err := newRequest(ctx, method, path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			return fmt.Errorf("read the answer of the server at %s: %w", c.socket, err)
		}
		return nil
	}
	return c.refused(resp)
}

// refused returns the error that the server has answered with.
func (c *Client) refused(resp *http.Response) error {
	var f failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
		return fmt.Errorf("ask the server at %s: %s; does it run the same version?", c.socket, resp.Status)
	}
	if resp.StatusCode == http.StatusNotFound {
		if rest, ok := strings.CutSuffix(f.Error, ErrNoUser.Error()); ok {
			return fmt.Errorf("%s%w", rest, ErrNoUser)
		}
	}
	return errors.New(f.Error)
}

func newRequest(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var r io.Reader // nil, and no *bytes.Reader that is nil
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("make the question for %s: %w", path, err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://lockstep"+path, r)
	if err == nil && body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

// explain turns what went wrong into a text that helps.
func (c *Client) explain(err error) error {
	dial := (*net.OpError)(nil)
	if !errors.As(err, &dial) || dial.Op != "dial" {
		return fmt.Errorf("ask the server at %s: %w", c.socket, err)
	}
	why, absent := dial.Err.Error(), false
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		absent = true
		why = "nobody answers; is \"lockstep serve\" running with this configuration?"
	case errors.Is(err, fs.ErrPermission):
		why = "permission denied; root and the group of the socket may"
	}
	return unreachable{fmt.Sprintf("ask the server at %s: %s", c.socket, why), absent}
}

type unreachable struct {
	text   string
	absent bool
}

func (u unreachable) Error() string { return u.text }

func (u unreachable) Is(target error) bool {
	return target == ErrUnreachable || u.absent && target == ErrNotRunning
}
