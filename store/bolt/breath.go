package bolt

import "time"

// While a chunk goes into the state file, the syncs of the log wait for the
// disk, and logins for a processor. So between two chunks they have both for
// themselves, for pauseFor times as long as the chunk took.
const (
	pauseFor     = 3
	longestPause = 100 * time.Millisecond
)

// breath is the pause between the chunks of one fold.
type breath struct {
	store  *Store
	hurry  bool // somebody waits for the fold, so there is none
	chunks int  // of the fold
	done   int
}

// take is to be called after each chunk but the last, with the time it took.
// There is no pause where the table in use fills faster than the file takes the
// sealed one: it would end with all writes waiting.
func (b *breath) take(took time.Duration) {
	b.done++
	pause := min(pauseFor*took, longestPause)
	if b.hurry || pause <= 0 || b.store.filled() > float64(b.done)/float64(b.chunks) {
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.store.keeper.rush:
		b.hurry = true
	}
}

// filled says how much of the segment or the table in use is taken, whichever
// is more: at 1 the next begins.
func (s *Store) filled() float64 {
	return max(s.tables.filled(s.opts.limits.table), float64(s.taken.Load())/1000)
}

// hasten ends the pauses of the fold under way.
func (k *keeper) hasten() {
	select {
	case k.rush <- struct{}{}:
	default: // was told so already
	}
}

// calm forgets that a fold which is over was to be hastened.
func (k *keeper) calm() {
	select {
	case <-k.rush:
	default:
	}
}
