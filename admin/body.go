package admin

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"lockstep/internal/opaque"
)

// maxBody is more than a name and two codes can need.
const maxBody = 4 << 10

// maxPeriod, in seconds, is more than any key's.
const maxPeriod = 3600

// code travels as a JSON string, and prints as little as other opaque bytes.
type code struct{ opaque.Bytes }

func (c code) MarshalJSON() ([]byte, error) { return json.Marshal(string(c.Reveal())) }

func (c *code) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return errors.New("a code is a string") // and err may quote it
	}
	c.Bytes = opaque.Text(*s)
	return nil
}

type explainBody struct {
	User string `json:"user"`
	Code code   `json:"code"`
}

func (explainBody) want() string { return `{"user":"NAME","code":"DIGITS"}` }
func (b explainBody) ok() bool   { return b.User != "" }

type resyncBody struct {
	User  string `json:"user"`
	Codes []code `json:"codes"`
}

func (resyncBody) want() string { return `{"user":"NAME","codes":["DIGITS","DIGITS"]}` }
func (b resyncBody) ok() bool   { return b.User != "" && len(b.Codes) == 2 }

type seedBody struct {
	KeyID  string    `json:"key_id"`
	Period int       `json:"period_seconds"`
	Step   int64     `json:"step"`
	At     time.Time `json:"at"`
}

func (seedBody) want() string {
	return `{"key_id":"ID","period_seconds":SECONDS,"step":STEP,"at":"TIME"}`
}

func (b seedBody) ok() bool {
	return b.KeyID != "" && b.Period > 0 && b.Period <= maxPeriod && b.Step > 0 && !b.At.IsZero()
}

// body is what a request of one kind holds.
type body interface {
	want() string // its form, for whoever has sent something else
	ok() bool
}

// receive reads the body of r, or refuses it and returns false. It answers with
// a text of its own: those of encoding/json quote what they do not like, which
// may be a code.
func receive[B body](w http.ResponseWriter, r *http.Request) (B, bool) {
	var b B
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, "want Content-Type: application/json")
		return b, false
	}
	err := decode(http.MaxBytesReader(w, r.Body, maxBody), &b)
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		refuse(w, http.StatusRequestEntityTooLarge, "the body is too long")
		return b, false
	}
	if err != nil || !b.ok() {
		refuse(w, http.StatusBadRequest, "the body is not as wanted: "+b.want())
		return b, false
	}
	return b, true
}

// decode reads one value and nothing after it.
func decode(r io.Reader, into any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.Join(errors.New("more than one value"), err)
	}
	return nil
}
