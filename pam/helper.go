package pam

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"

	"lockstep/internal/opaque"
)

// Helper decides logins. Its fields are set before and not changed afterwards.
type Helper struct {
	Conversation Conversation
	Log          *slog.Logger           // one line for each no, and for each login that nobody could decide
	Hostname     func() (string, error) // of this host

	servers func(*Config) asker // nil for those of the configuration
}

// Authenticate decides one login. It keeps nothing of start and overwrites its
// Authtok. It always returns an outcome, also after a panic; other than Accepted
// there is none that lets anybody in.
func (h *Helper) Authenticate(ctx context.Context, start Start) (result Result) {
	defer Wipe(start.Authtok)
	defer func() {
		if v := recover(); v != nil {
			h.Log.Error("panic", append(facts(start), "err", panicked{v}.Error(), "stack", string(debug.Stack()))...)
			result = Result{Outcome: Unavailable}
		}
	}()
	authtok, err := h.run(ctx, start)
	result = Result{Outcome: h.conclude(start, err)}
	if err == nil {
		result.Authtok = opaque.Of(authtok)
	}
	return result
}

func (h *Helper) run(ctx context.Context, start Start) (authtok []byte, err error) {
	o, err := parseOptions(start.Args)
	if err != nil {
		return nil, fmt.Errorf("arguments of the module: %w", err)
	}
	// Before anybody is asked: what they type would be for nothing.
	c, err := Load(o.config)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, s := range c.Servers {
			Wipe(s.Secret)
		}
	}()
	name, _ := h.Hostname()
	l := login{
		Start:        start,
		options:      o,
		conversation: h.Conversation,
		servers:      h.asker(c),
		timeout:      c.Timeout,
		nas:          cmp.Or(c.NASIdentifier, name),
	}
	return l.run(ctx)
}

func (h *Helper) asker(c *Config) asker {
	if h.servers != nil {
		return h.servers(c)
	}
	return &servers{list: c.Servers}
}

// conclude logs what has to be known of err, and returns what it means.
func (h *Helper) conclude(start Start, err error) Outcome {
	outcome := outcomeOf(err)
	switch outcome {
	case Refused, NotEnrolled:
		h.Log.Info("refused", append(facts(start), "reason", err.Error())...)
	case Unavailable:
		for line := range strings.SplitSeq(err.Error(), "\n") { // of errors that were joined
			h.Log.Error("cannot decide", append(facts(start), "err", line)...)
		}
	}
	return outcome
}

// facts says which login a log line is about. The handler quotes what a terminal
// would act on.
func facts(start Start) []any {
	facts := []any{"user", cut(start.User, maxValue), "service", cut(start.Service, maxValue)}
	if start.RHost != "" {
		facts = append(facts, "rhost", cut(start.RHost, maxValue))
	}
	return facts
}

// panicked is a panic as an error. Its value is shown only if it is the
// runtime's; others could hold a secret.
type panicked struct{ value any }

func (p panicked) Error() string {
	if err, ok := p.value.(runtime.Error); ok {
		return "panic: " + err.Error()
	}
	return fmt.Sprintf("panic with a %T", p.value)
}
