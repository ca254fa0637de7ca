package verifier

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"lockstep/internal/opaque"
)

// repeatAge is how long a wrong input that is sent again counts as the same
// failure.
const repeatAge = time.Minute

// wrongInputs remembers the wrong input seen last from each source of each
// account. It holds hashes under a key of this process, and forgets them with
// it; what is forgotten is counted twice, no more.
type wrongInputs struct {
	key  [32]byte
	last recent[wrongInput]
}

type wrongInput struct {
	sum  [32]byte
	kind Kind // why it was wrong
	at   time.Time
}

func (w *wrongInputs) init() {
	rand.Read(w.key[:])
	w.last = recent[wrongInput]{age: repeatAge, most: 100_000}
}

// repeated says whether r's input is the one that failed last from its source,
// not longer than repeatAge ago, and why it failed.
func (a attempt) repeated(r Request, now time.Time) (Kind, bool) {
	last, ok := a.wrong.last.get(a.sourceID(r), now)
	return last.kind, ok && now.Sub(last.at) < repeatAge && last.sum == a.wrong.sum(opaque.Text(a.account.Name), r.Kept, r.Typed)
}

func (a attempt) remember(r Request, kind Kind, now time.Time) {
	a.wrong.last.put(a.sourceID(r), wrongInput{a.wrong.sum(opaque.Text(a.account.Name), r.Kept, r.Typed), kind, now}, now)
}

// restate changes why the input that r repeats was wrong: a code that was out of
// step may have come to be right since, and the password has been refused. The
// minute goes on.
func (a attempt) restate(r Request, kind Kind, now time.Time) {
	if last, ok := a.wrong.last.get(a.sourceID(r), now); ok {
		last.kind = kind
		a.wrong.last.put(a.sourceID(r), last, now)
	}
}

func (a attempt) sourceID(r Request) string {
	return fmt.Sprintf("%d:%s%s", len(a.id), a.id, sourceName(r.Source))
}

func (w *wrongInputs) sum(parts ...opaque.Bytes) [32]byte {
	mac := hmac.New(sha256.New, w.key[:])
	for _, part := range parts {
		fmt.Fprintf(mac, "%d:%s", part.Len(), part.Reveal())
	}
	return [32]byte(mac.Sum(nil))
}
