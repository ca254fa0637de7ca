package admin

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
)

// Trail keeps what is done by the socket. Its methods may be called at once.
type Trail interface {
	// Ready returns nil if things may be done.
	Ready() error

	// Record puts down an action, and what is known of it: user, uid, login_uid,
	// result and what else the action has. Names in facts are hostile. An error
	// means that it could not be put down, which whoever has acted is told.
	Record(ctx context.Context, action string, facts ...slog.Attr) error
}

// recorded refuses what would change something and could not be put down.
func (h handler) recorded(next http.Handler) http.Handler {
	if h.trail == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			if err := h.trail.Ready(); err != nil {
				refuse(w, http.StatusServiceUnavailable, "nothing is done: "+err.Error())
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// audit logs and records an action: what, to whom, with what outcome, and which
// user of this machine wanted it. It returns err, or why the action could not be
// recorded.
func (h handler) audit(r *http.Request, err error, facts ...any) error {
	who := peer(r.Context())
	facts = append(facts, "uid", who.uid)
	if err != nil {
		h.log.Warn("admin action failed", append(facts, "err", err)...)
	} else {
		h.log.Info("admin action", facts...)
	}
	if h.trail == nil {
		return err
	}
	action, kept := "", make([]slog.Attr, 0, len(facts)/2+3)
	for i := 0; i < len(facts); i += 2 {
		switch key := facts[i].(string); {
		case key == "action":
			action = facts[i+1].(string)
		case err == nil || key == "user" || key == "uid" || key == "key_id": // what else there is are outcomes
			kept = append(kept, slog.Any(key, facts[i+1]))
		}
	}
	if who.login >= 0 {
		kept = append(kept, slog.Int("login_uid", who.login))
	}
	if err != nil {
		kept = append(kept, slog.String("result", "failed"), slog.String("reason", err.Error()))
	}
	if e := h.trail.Record(r.Context(), action, kept...); e != nil && err == nil {
		return fmt.Errorf("%s: done, but not recorded: %w", action, e)
	}
	return err
}

// Report is what a command has done without the server: to the directory, mostly.
type Report struct {
	Action string `json:"action"` // lower-case letters and hyphens, 32 at most
	User   string `json:"user,omitempty"`
	Text   string `json:"text,omitempty"` // how, or with what outcome
	Error  string `json:"error,omitempty"`
}

var plainAction = regexp.MustCompile(`^[a-z][a-z-]{0,31}$`)

func (Report) want() string {
	return `{"action":"ACTION","user":"NAME","text":"TEXT","error":"TEXT"}`
}
func (b Report) ok() bool { return plainAction.MatchString(b.Action) }

// Facts returns what a trail keeps of b, but the action.
func (b Report) Facts() []slog.Attr {
	var facts []slog.Attr
	for _, f := range []struct{ key, value string }{{"user", capped(b.User)}, {"text", b.Text}, {"reason", b.Error}} {
		if f.value != "" {
			facts = append(facts, slog.String(f.key, f.value))
		}
	}
	if b.Error != "" {
		facts = append(facts, slog.String("result", "failed"))
	}
	return facts
}

// report records what a command says that it has done. That it is true nobody but
// the one who ran it can know: the record says that it was reported, and by whom.
func (h handler) report(w http.ResponseWriter, r *http.Request) {
	b, ok := receive[Report](w, r)
	if !ok {
		return
	}
	who := peer(r.Context())
	facts := append(b.Facts(), slog.Bool("reported", true), slog.Int("uid", who.uid))
	h.log.LogAttrs(r.Context(), slog.LevelInfo, "admin action", append([]slog.Attr{slog.String("action", b.Action)}, facts...)...)
	var err error
	if who.login >= 0 {
		facts = append(facts, slog.Int("login_uid", who.login))
	}
	if h.trail != nil {
		err = h.trail.Record(r.Context(), b.Action, facts...)
	}
	respond(w, struct{}{}, err)
}

// Report has the server record what a command has done without it.
func (c *Client) Report(ctx context.Context, r Report) error {
	return c.do(ctx, "POST", "/v1/report", r, &struct{}{})
}
