package radiusd

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
	"unicode"
)

// clean makes a text from the network fit for a log line: at most 253 octets,
// and nothing in it that a terminal would act on.
func clean(hostile string) string {
	s := hostile[:min(len(hostile), 253)]
	if isPlain(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// isPlain reports whether all of s is printable ASCII, as nearly all is.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// warn logs now and then, so that strangers cannot fill the disk.
func (s *Server) warn(o occasion, args ...any) {
	if s.warnings.now(o, s.now()) {
		s.log.Warn(o.what, args...)
	}
}

func (s *Server) warnClient(in incoming, what, hint string, more ...any) {
	facts := []any{"client", in.client.Name, "src", in.from.addr.String(), "id", in.packet.Identifier(), "hint", hint}
	s.warn(occasion{what: what, client: in.client.Name}, append(facts, more...)...)
}

func (s *Server) warnUnknown(in incoming) {
	addr := unmap(in.from.addr).Addr()
	if s.unknown.now(occasion{addr: addr}, in.received) {
		s.log.Warn("unknown client, packet dropped", "src", in.from.addr.String(), "code", in.packet.Code().String())
	}
}

// debugHeader logs what may be seen of a packet: no values.
func (s *Server) debugHeader(in incoming) {
	if !s.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	var types []int
	for t := range in.packet.Attributes() {
		types = append(types, int(t))
	}
	s.log.Debug("packet", "client", in.client.Name, "src", in.from.addr.String(), "code", in.packet.Code().String(),
		"id", in.packet.Identifier(), "length", len(in.packet), "attributes", fmt.Sprint(types))
}

func (s *Server) logDecision(j *job, a Answer, took time.Duration) {
	if !s.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	var space [mostFacts]slog.Attr
	facts := append(j.facts(space[:0], a.User), slog.String("result", a.Outcome.String()), slog.String("reason", clean(a.Reason)))
	if a.Rule != "" {
		facts = append(facts, slog.String("rule", clean(a.Rule)))
	}
	// Past the Logger, which would look for the line of the source that this is.
	// There is one such record for each login.
	record := slog.NewRecord(j.received.Add(took), slog.LevelInfo, "decision", 0)
	record.AddAttrs(append(facts, slog.String("took", took.String()))...)
	s.log.Handler().Handle(context.Background(), record)
}

// mostFacts is how many a decision has.
const mostFacts = 11

// facts adds which request a log line is about. user is the name that it was
// decided for, or empty. Here and in all log lines enums, addresses and durations
// are strings: JSON would have bare numbers for some of them.
func (j *job) facts(facts []slog.Attr, user string) []slog.Attr {
	if user == "" {
		user = j.request.UserName
	}
	facts = append(facts, slog.Uint64("q", j.q), slog.String("client", j.client.Name), slog.String("src", j.from.addr.String()),
		slog.Int("id", int(j.packet.Identifier())), slog.String("user", clean(user)))
	if j.access.nasID != nil {
		facts = append(facts, slog.String("nas", clean(j.request.NASID)))
	}
	if j.access.callingStationID != nil {
		facts = append(facts, slog.String("calling", clean(j.request.CallingStationID)))
	}
	return facts
}

// survive is deferred: it logs a panic and lets the server live. The value of
// the panic is shown only if it is the runtime's; others could hold a secret.
func (s *Server) survive(what string, j *job) {
	v := recover()
	if v == nil {
		return
	}
	err, ok := v.(runtime.Error)
	if !ok {
		err = panicked{v}
	}
	var facts []slog.Attr
	if j == nil {
		s.counters.drop(dropPanic)
	} else {
		s.drop(j.client, dropPanic)
		facts = j.facts(nil, "")
	}
	facts = append(facts, slog.Any("err", err), slog.String("stack", string(debug.Stack())))
	s.log.LogAttrs(context.Background(), slog.LevelError, what, facts...)
}

type panicked struct{ value any }

func (p panicked) RuntimeError() {}
func (p panicked) Error() string { return fmt.Sprintf("panic with a %T", p.value) }
