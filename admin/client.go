package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

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
	return users, c.do(ctx, "GET", "/v1/users", &users)
}

// Show returns one user, or an error wrapping ErrNoUser.
func (c *Client) Show(ctx context.Context, name string) (User, error) {
	var u User
	err := c.do(ctx, "GET", "/v1/user?name="+url.QueryEscape(name), &u)
	return u, err
}

// Unlock forgets the user's failures and returns how many there were.
func (c *Client) Unlock(ctx context.Context, name string) (int, error) {
	var n unlocked
	err := c.do(ctx, "POST", "/v1/unlock?name="+url.QueryEscape(name), &n)
	return n.Failures, err
}

func (c *Client) do(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://lockstep"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	if resp.StatusCode == http.StatusOK {
		return dec.Decode(into)
	}
	var f failure
	if err := dec.Decode(&f); err != nil {
		return fmt.Errorf("ask the server at %s: %s", c.socket, resp.Status)
	}
	if resp.StatusCode == http.StatusNotFound {
		if rest, ok := strings.CutSuffix(f.Error, ErrNoUser.Error()); ok {
			return fmt.Errorf("%s%w", rest, ErrNoUser)
		}
	}
	return errors.New(f.Error)
}

func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("ask the server at %s: nobody answers; is \"lockstep serve\" running with this configuration?", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("ask the server at %s: permission denied; root and the group of the socket may", c.socket)
	}
	return fmt.Errorf("ask the server at %s: %w", c.socket, err)
}
