package fleet

import (
	"context"
	"time"

	"lockstep/verifier"
)

// Model is a way of checking codes.
type Model struct {
	Name string

	// Enroll returns a Checker for a new key, whose code of step was typed at
	// t to confirm the enrolment. It is called by several goroutines at once.
	Enroll func(ctx context.Context, k verifier.Key, step int64, t time.Time) (Checker, error)
}

// Checker checks the codes of one person. Calls come one at a time and go
// forward in time.
type Checker interface {
	// Acceptable returns how many codes would be accepted at t, each as the
	// only one typed. It changes nothing.
	Acceptable(ctx context.Context, t time.Time) (int, error)

	// Accept says whether the code of step lets in at t, and spends it then.
	Accept(ctx context.Context, step int64, t time.Time) (bool, error)
}

// Models returns all models, Lockstep first.
func Models() []Model {
	return []Model{
		{lockstepName, enrollLockstep},
		{"fixed ±1", fixed(1)},
		{"fixed ±10", fixed(10)},
		{"learned ±1", learned(1)},
		{"learned ±2", learned(2)},
		{"learned ±3", learned(3)},
	}
}
