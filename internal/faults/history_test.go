package faults

import (
	"fmt"
	"sync"
	"time"
)

// kind is why a login is tried.
type kind int

const (
	right         kind = iota // by its owner, with a code not typed before
	thief                     // with a code that is or may be accepted, from elsewhere
	late                      // the very same login once more, but too late to be a repetition
	again                     // the very same login once more, to the server whose Accept was heard
	replay                    // from elsewhere, after everything was killed
	wrongCode                 // with the right password
	wrongPassword             // with the right code
)

func (k kind) String() string {
	return [...]string{"right", "thief", "late", "again", "replay", "wrong code", "wrong password"}[k]
}

// answer is what a server says. The zero answer is silence.
type answer int

const (
	silence answer = iota
	accepted
	rejected
	challenged
)

func (a answer) String() string { return [...]string{"silence", "accept", "reject", "challenge"}[a] }

// login is one user's wish to get in, which appliances may put to several
// servers: the same name, what was typed, and Calling-Station-Id.
type login struct {
	ID      int
	Kind    kind
	Person  int
	Step    int64 // of the code
	Source  string
	Began   time.Time
	Ended   time.Time
	Outcome answer // that the user saw

	// Pursuit is the number of the first of the logins by which somebody tried
	// to get in until that came off. Of right ones alone.
	Pursuit int
	// Contested is set where others were given the code before it was known to be
	// accepted, so that they may have had it accepted first.
	Contested bool
}

// try is one request at one server, however often it was sent.
type try struct {
	Login  int
	Server int
	First  bool // asks for a challenge: it has no code
	Sent   time.Time
	Got    time.Time // zero for silence
	Answer answer
	Heard  bool // the appliance was still waiting
}

// window is the time of a fault.
type window struct {
	Name      string
	From, To  time.Time // brought about and ended
	Recovered time.Time // all servers answered again; zero if they did not in time
	Stepped   []int     // servers whose clocks were wrong
	Killed    []int     // servers that were started again
	Away      []int     // servers that were stopped, or kept from the quorum
	Undone    string    // why it did not come about, or empty
	Calm      bool      // there was no fault, to compare with
}

// mute is a time in which a server has to be silent.
type mute struct {
	Server   int
	From, To time.Time
}

// history is all that happened.
type history struct {
	Logins  []login
	Tries   []try
	Windows []window
	Mutes   []mute
	Reasons map[string][]string // that servers logged, by Calling-Station-Id
	Period  time.Duration       // of everybody's codes
	Alone   bool                // one server with a store of its own, whose challenges do not survive it
}

// recorder writes a history, for many at once.
type recorder struct {
	mu sync.Mutex
	h  history
}

func (r *recorder) login(l login) login {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.ID, l.Began = len(r.h.Logins), time.Now()
	if l.Source == "" {
		l.Source = fmt.Sprintf("%s-%d", l.Kind, l.ID)
	}
	if l.Kind == right && l.Pursuit < 0 {
		l.Pursuit = l.ID
	}
	r.h.Logins = append(r.h.Logins, l)
	return l
}

func (r *recorder) ended(id int, a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Logins[id].Ended, r.h.Logins[id].Outcome = time.Now(), a
}

func (r *recorder) contested(id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Logins[id].Contested = true
}

// sent returns the number of a new try.
func (r *recorder) sent(login, server int, first bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Tries = append(r.h.Tries, try{Login: login, Server: server, First: first, Sent: time.Now()})
	return len(r.h.Tries) - 1
}

func (r *recorder) got(id int, a answer, heard bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &r.h.Tries[id]
	// A server that was restarted may say something else to the same request. The
	// Accept is what counts, whenever it came.
	if t.Answer == silence || a == accepted && t.Answer != accepted {
		t.Got, t.Answer, t.Heard = time.Now(), a, heard
	}
}

func (r *recorder) window(w window) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Windows = append(r.h.Windows, w)
}

func (r *recorder) mute(m mute) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Mutes = append(r.h.Mutes, m)
}

// accepted returns the logins since since that were accepted at some server,
// whether anybody heard it or not.
func (r *recorder) accepted(since time.Time) []login {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []login
	seen := map[int]bool{}
	for _, t := range r.h.Tries {
		if t.Answer == accepted && t.Got.After(since) && !seen[t.Login] {
			seen[t.Login] = true
			all = append(all, r.h.Logins[t.Login])
		}
	}
	return all
}

func (r *recorder) history() history {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.h
	h.Logins = append([]login(nil), h.Logins...)
	h.Tries = append([]try(nil), h.Tries...)
	h.Windows = append([]window(nil), h.Windows...)
	h.Mutes = append([]mute(nil), h.Mutes...)
	return h
}
