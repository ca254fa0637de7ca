package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockPath is the file whose lock says that the state file at path is in use.
//
// bbolt locks the state file itself, and gives that up whenever it is closed, as it
// has to be after a failed write. For as long as it could not be opened again,
// another process could have it, and what this one holds in memory would then be
// written over what that has accepted.
func lockPath(path string) string { return path + ".lock" }

const lockRetry = 50 * time.Millisecond

// lock takes the lock of the state file at path, and waits for it for about as long
// as wait says. It is held until the file that it returns is closed, or the process
// ends. The error wraps ErrInUse where another process has it.
func lock(path string, wait time.Duration) (*os.File, error) {
	f, err := os.OpenFile(lockPath(path), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if is, err := f.Stat(); err == nil && is.Size() == 0 {
		// Just made, perhaps by root, for a server of another user. Of a hard link it is
		// not known what it is.
		if of, ok := is.Sys().(*syscall.Stat_t); ok && of.Nlink == 1 {
			_ = ownAs(f, filepath.Dir(path), nil)
		}
	}
	for deadline := time.Now().Add(wait); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		case time.Now().After(deadline):
			return nil, errors.Join(ErrInUse, f.Close())
		}
		<-time.After(lockRetry)
	}
}
