package bolt

import (
	"context"
	"fmt"
	"os"
	"time"

	"lockstep/store/bolt/journal"
)

// Report is how the file and its log stand, for people.
type Report struct {
	Path     string
	Bytes    int64 // of the state file
	LogBytes int64 // of the files of the log, which are made as long as they can become
	LogFiles int   // two at most, and one more for a moment
	LogUsed  int   // per cent of the one in use
}

// Growth is the most that the log may take up beyond what it takes up now, in bytes:
// the files of the log, and one that is made ahead.
const Growth = 3 * 16 << 20

// Report looks at the files. The error says that one of them cannot be looked at.
func (s *Store) Report() (Report, error) {
	r := Report{Path: s.path, LogUsed: int(s.taken.Load() / 10)}
	info, err := os.Stat(s.path)
	if err != nil {
		return r, fmt.Errorf("look at the state file: %w", err)
	}
	r.Bytes = info.Size()
	numbers, err := journal.Files(s.path)
	if err != nil {
		return r, err
	}
	for _, n := range numbers {
		if info, err := os.Stat(journal.Path(s.path, n)); err == nil { // else it went meanwhile
			r.LogFiles++
			r.LogBytes += info.Size()
		}
	}
	return r, nil
}

// Probe writes to the log what changes nothing, waits until it is on disk, as a login
// does, and returns how long that took.
func (s *Store) Probe(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := s.await(ctx); err != nil {
		return 0, fmt.Errorf("write to state file %s: %w", s.path, err)
	}
	return time.Since(began), nil
}
