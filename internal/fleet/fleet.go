// Package fleet compares ways of checking TOTP codes on a made-up population:
// phones that keep time, phones set by hand and hard tokens that drift, over
// years of logins.
//
// It promises that two runs with the same [Settings] give the same numbers,
// whatever the number of processors, and that all models meet the very same
// people, logins and delays. Where a model refuses, the person tries again, so
// what happens after a refusal is the model's own.
//
// It does not promise that your people are like these: every number of the
// population is a field of Settings. Nothing here is hostile input, and nobody
// attacks; how many codes an attacker could hit is what [Tally].Codes is for.
//
// The model called lockstep is package verifier itself, with real keys and
// codes. The others are written from their descriptions and work on the numbers
// of steps, as if two steps never shared a code.
package fleet

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// Fleet is a run to be made.
type Fleet struct {
	Settings Settings
	Models   []Model // nil for [Models]
	Workers  int     // people followed at once; 0 for GOMAXPROCS

	// Progress, if not nil, is told how many people are done. It is called by
	// one goroutine at a time.
	Progress func(done, of int)
}

// Run follows everybody. The error is one of [Settings].Check, a model's or
// that of ctx, and comes without a Report.
func (f Fleet) Run(ctx context.Context) (Report, error) {
	if err := f.Settings.Check(); err != nil {
		return Report{}, err
	}
	if f.Models == nil {
		f.Models = Models()
	}
	if f.Workers <= 0 {
		f.Workers = runtime.GOMAXPROCS(0)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	report := newReport(f.Settings, f.Models)
	f.follow(ctx, &report, stop)
	if ctx.Err() != nil {
		return Report{}, context.Cause(ctx)
	}
	return report, nil
}

// follow shares the people out among the workers. All that they add up is whole
// numbers, so that the order in which they come makes no difference.
func (f Fleet) follow(ctx context.Context, report *Report, stop context.CancelCauseFunc) {
	var (
		next atomic.Int64
		wait sync.WaitGroup
		mu   sync.Mutex // guards report and done
		done int
	)
	for range f.Workers {
		wait.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= f.Settings.Users {
					return
				}
				p := f.Settings.person(i)
				tallies, err := f.live(ctx, p)
				if err != nil {
					stop(err)
					return
				}
				mu.Lock()
				report.add(p.kind, tallies)
				if done++; f.Progress != nil {
					f.Progress(done, f.Settings.Users)
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
}

// live leads p through all logins, once with each model.
func (f Fleet) live(ctx context.Context, p person) ([]Tally, error) {
	tallies := make([]Tally, len(f.Models))
	for i, m := range f.Models {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t, err := f.Settings.visit(ctx, p, m)
		if err != nil {
			return nil, err
		}
		tallies[i] = t
	}
	return tallies, nil
}
