package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// What strangers can make the listener use at most.
const (
	mostConnections = 16
	mostScrapes     = 2 // at once; others get the status 503
	scrapeTime      = 8 * time.Second
	headerTime      = 5 * time.Second
	replyTime       = 20 * time.Second
	idleTime        = 2 * time.Minute // Prometheus asks each minute at least, mostly
	headerBytes     = 8 << 10
)

// Path is the only one that is served.
const Path = "/metrics"

// Handler answers GET and HEAD of Path, and nothing else.
func (s *Set) Handler() http.Handler {
	scrape := promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{
		// A part that cannot be told must not hide all others.
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: mostScrapes,
		Timeout:             scrapeTime,
		DisableCompression:  true,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != Path:
			http.NotFound(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
		default:
			scrape.ServeHTTP(w, r)
		}
	})
}

// NewServer returns a server that shows s, to be given a listener of [Listen].
func NewServer(s *Set, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       headerTime,
		WriteTimeout:      replyTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		// What goes wrong there is the doing of whoever connects.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),

		DisableGeneralOptionsHandler: true,
	}
}

// Listen opens the port for NewServer. It has few connections at once; who comes
// beyond that waits.
func Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	return newLimited(l, mostConnections), nil
}

// limited is a listener with so many connections at once.
type limited struct {
	net.Listener
	free   chan struct{} // has one for each that may come
	closed chan struct{}
	once   sync.Once
}

func newLimited(l net.Listener, most int) *limited {
	return &limited{Listener: l, free: make(chan struct{}, most), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
