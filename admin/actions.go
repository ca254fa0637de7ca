package admin

import (
	"net/http"
	"time"
)

func (h handler) unlock(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	n, err := h.users.Unlock(r.Context(), name)
	err = h.audit(r, err, "action", "unlock", "user", capped(name), "failures", n)
	respond(w, unlocked{n}, err)
}

func (h handler) explain(w http.ResponseWriter, r *http.Request) {
	b, ok := receive[explainBody](w, r)
	if !ok {
		return
	}
	e, err := h.users.Explain(r.Context(), b.User, b.Code.Bytes)
	err = h.audit(r, err, "action", "explain", "user", capped(b.User), "result", e.Verdict)
	respond(w, e, err)
}

func (h handler) resync(w http.ResponseWriter, r *http.Request) {
	b, ok := receive[resyncBody](w, r)
	if !ok {
		return
	}
	res, err := h.users.Resync(r.Context(), b.User, b.Codes[0].Bytes, b.Codes[1].Bytes)
	err = h.audit(r, err, "action", "resync", "user", capped(b.User), "done", res.Done, "offset", res.Offset, "reason", res.Reason)
	respond(w, res, err)
}

func (h handler) resetClock(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	err := h.users.ResetClock(r.Context(), name)
	err = h.audit(r, err, "action", "reset-clock", "user", capped(name))
	respond(w, struct{}{}, err)
}

func (h handler) seed(w http.ResponseWriter, r *http.Request) {
	b, ok := receive[seedBody](w, r)
	if !ok {
		return
	}
	err := h.users.Seed(r.Context(), b.KeyID, time.Duration(b.Period)*time.Second, b.Step, b.At)
	err = h.audit(r, err, "action", "seed", "key_id", capped(b.KeyID))
	respond(w, struct{}{}, err)
}

func (h handler) doctor(w http.ResponseWriter, r *http.Request) {
	findings, err := h.users.Doctor(r.Context())
	asks := r.URL.Query().Get("version")
	respond(w, append([]Finding{compared(asks, version())}, findings...), err)
}

// capped keeps a name that fills a request from filling the log: no User-Name
// is longer (RFC 2865, section 5.1).
func capped(name string) string { return name[:min(len(name), 253)] }

type unlocked struct {
	Failures int `json:"failures"`
}
