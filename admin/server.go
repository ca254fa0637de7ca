package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"
)

// Listen creates the socket at path, for root and the group (empty for the
// group of the process). A socket that nobody answers any more is replaced; one
// that somebody does answer is an error.
func Listen(path, group string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("listen on %s: another server answers there", path)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := restrict(path, group); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("listen on %s: there is something that is no socket", path)
	}
	return os.Remove(path)
}

// restrict narrows the socket's mode, which Listen makes by the umask. Connecting
// needs the write permission (unix(7)).
func restrict(path, group string) error {
	if err := os.Chmod(path, 0o660); err != nil {
		return err
	}
	if group == "" {
		return nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return fmt.Errorf("group of %s: %w", path, err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("group of %s: %w", path, err)
	}
	return os.Chown(path, -1, gid)
}

// NewServer returns a server for u that logs each action, with the user ID of
// the process that asked, and has trail record it; nil for none.
func NewServer(u Users, log *slog.Logger, trail Trail) *http.Server {
	h := handler{u, log, trail}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/users", h.list)
	// A name is a parameter and no part of the path, which "." and ".." change.
	mux.HandleFunc("GET /v1/user", h.show)
	mux.HandleFunc("GET /v1/doctor", h.doctor)
	mux.HandleFunc("POST /v1/unlock", h.unlock)
	mux.HandleFunc("POST /v1/explain", h.explain)
	mux.HandleFunc("POST /v1/resync", h.resync)
	mux.HandleFunc("POST /v1/reset-clock", h.resetClock)
	mux.HandleFunc("POST /v1/seed", h.seed)
	mux.HandleFunc("POST /v1/update", h.update)
	mux.HandleFunc("POST /v1/report", h.report)
	mux.HandleFunc("GET /v1/sealing-keys", h.sealingKeys)
	mux.HandleFunc("POST /v1/backup", h.backup)
	return &http.Server{
		Handler:        h.recorded(mux),
		ReadTimeout:    5 * time.Second,
		WriteTimeout:   30 * time.Second,
		MaxHeaderBytes: 16 << 10,
		ConnContext:    withPeer,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

type handler struct {
	users Users
	log   *slog.Logger
	trail Trail
}

func (h handler) list(w http.ResponseWriter, r *http.Request) {
	users, err := h.users.List(r.Context())
	respond(w, users, err)
}

func (h handler) show(w http.ResponseWriter, r *http.Request) {
	u, err := h.users.Show(r.Context(), r.URL.Query().Get("name"))
	respond(w, u, err)
}

type failure struct {
	Error string `json:"error"`
}

func respond(w http.ResponseWriter, v any, err error) {
	switch {
	case errors.Is(err, ErrNoUser):
		refuse(w, http.StatusNotFound, err.Error())
	case err != nil:
		refuse(w, http.StatusServiceUnavailable, err.Error())
	default:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(failure{why})
}
