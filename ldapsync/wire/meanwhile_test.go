package wire_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	. "lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

// What is done meanwhile can take longer than an answer may, and than the caller has
// time: the answer that has come by then counts, and the next one is the next bind's.
func TestWhatIsDoneMeanwhileMayTakeLong(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		for _, limit := range []time.Duration{0, 200 * time.Millisecond} {
			for _, long := range []time.Duration{0, 150 * time.Millisecond, 400 * time.Millisecond, 1200 * time.Millisecond} {
				t.Run(fmt.Sprintf("TLS %v, limit %s, %s", secure, limit, long), func(t *testing.T) {
					t.Parallel()
					s := Serve(t, func(c *Conn) {
						for n := 0; ; {
							switch r := c.Next(); r.Kind {
							case StartTLS:
								c.StartTLS()
							case Bind:
								n++
								c.Send(BindResponse(48+n, ""))
							}
						}
					})
					c := wire.New(s.Dial(), wire.Options{Timeout: time.Second})
					defer c.Close()
					if secure {
						if err := c.StartTLS(t.Context(), &tls.Config{RootCAs: s.CA, ServerName: "127.0.0.1"}); err != nil {
							t.Fatal(err)
						}
					}
					for n := 1; n <= 3; n++ {
						ctx := t.Context()
						if limit > 0 {
							limited, cancel := context.WithTimeout(ctx, limit)
							defer cancel()
							ctx = limited
						}
						calls := 0
						r, err := c.TryBind(ctx, "uid=alice", canary, nil, func() func() { calls++; <-time.After(long); return nil })
						if err != nil || int(r.Code) != 48+n || calls != 1 || !c.Usable() {
							t.Fatalf("bind %d: result %d, %v, %d calls, usable: %v", n, r.Code, err, calls, c.Usable())
						}
					}
				})
			}
		}
	}
}

// Who has begun something is told when the answer does not come soon.
func TestALateAnswerIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		answer time.Duration
		late   int
	}{"soon": {20 * time.Millisecond, 0}, "late": {3 * time.Second, 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := piped(t, false)
				c := wire.New(client, wire.Options{Timeout: 10 * time.Second})
				go func() {
					server.Read(make([]byte, 1000))
					<-time.After(tt.answer)
					server.Write(BindResponse(0, "").Octets(1))
					io.Copy(io.Discard, server)
				}()
				late := 0
				began := time.Now()
				_, err := c.TryBind(t.Context(), "uid=alice", canary, nil, func() func() {
					return func() {
						if took := time.Since(began); took > 200*time.Millisecond {
							t.Errorf("told after %v", took)
						}
						late++
					}
				})
				if err != nil || late != tt.late {
					t.Errorf("%v, told %d times, want %d", err, late, tt.late)
				}
			})
		})
	}
}
