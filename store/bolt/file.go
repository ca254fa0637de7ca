package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"lockstep/store/bolt/journal"
)

// The file has two buckets: one about the file, one with a record per TOTP key.
// The sequence of the second is the Version given last, so that no Version is
// ever given twice, not even after the record was deleted.
var (
	metaBucket    = []byte("lockstep")
	recordsBucket = []byte("states")

	formatKey = []byte("format") // in metaBucket, decimal
	logKey    = []byte("log")    // in metaBucket, see logInfo
)

const (
	// A file that goes with a log has another format, so that no program that
	// knows nothing of the log takes the file for all there is.
	formatAlone   = 1
	formatWithLog = 2

	// One that was restored adds this to either, so that no program takes it that
	// would have the codes of before good again.
	formatRestored = 2

	// One into which a copy is under way adds this to any of them, so that no
	// program takes it that would let people in by half of it.
	formatHalf = 4
	lastFormat = formatWithLog + formatRestored + formatHalf

	openTimeout = time.Second

	// Address space, not memory: enough for some 100,000 records before the
	// file is ever mapped anew, which waits for all readers.
	mapSize = 64 << 20
)

func options(timeout time.Duration) *bbolt.Options {
	return &bbolt.Options{
		Timeout:         timeout,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapSize,
		NoStatistics:    true,
	}
}

// createIfAbsent makes a new file in a temporary place, syncs it, and only then
// gives it its name. So an empty or half-made file at path is always damage,
// and never a beginning that was cut short: it may stand for spent codes.
func createIfAbsent(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if numbers, err := journal.Files(path); err != nil {
		return err
	} else if len(numbers) > 0 {
		return fmt.Errorf("it is missing, but its log %s is there; restore the file, or move the log away to begin anew", journal.Path(path, numbers[0]))
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := errors.Join(initialise(tmp.Name()), ownAs(tmp, dir, nil), tmp.Close()); err != nil {
		return err
	}
	// Link and not Rename, which would replace a file that another process
	// has made meanwhile.
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Without this the name may be gone after a power cut, and with it all
	// that was acknowledged.
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

func initialise(path string) error {
	db, err := bbolt.Open(path, 0o600, options(openTimeout))
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket(metaBucket); err != nil {
			return err
		}
		if _, err := tx.CreateBucket(recordsBucket); err != nil {
			return err
		}
		return logInfo{id: newID()}.put(tx)
	})
	return errors.Join(err, db.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openFile opens the file at path, which must be there, and be the one that
// was is about unless was is nil.
func openFile(path string, timeout time.Duration, was os.FileInfo) (db *bbolt.DB, file *os.File, err error) {
	defer panicOnFault()()
	defer guard(&err)
	o := options(timeout)
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		// Never created here: bbolt would begin an empty one.
		f, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
		if err != nil {
			return nil, err
		}
		if err := checkFile(f, was); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		file = f
		return f, nil
	}
	db, err = bbolt.Open(path, 0o600, o)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, nil, ErrInUse
	}
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(db.View(checkFormat), settle(file, db.Info().PageSize)); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, file, nil
}

var errReplaced = errors.New("the file was moved or replaced while in use; put it back, or restart lockstep")

func checkFile(f *os.File, was os.FileInfo) error {
	is, err := f.Stat()
	switch {
	case err != nil:
		return err
	case was != nil && !os.SameFile(is, was):
		return errReplaced
	case is.Size() == 0:
		return errors.New("the file is empty, and does not say which codes are spent; restore it, or remove it to begin anew")
	}
	return nil
}

func checkFormat(tx *bbolt.Tx) error {
	if tx.Bucket(metaBucket) == nil || tx.Bucket(recordsBucket) == nil {
		return errors.New("not a state file of lockstep")
	}
	_, err := loadLogInfo(tx)
	return err
}

func loadFormat(meta *bbolt.Bucket) (int, error) {
	format, err := strconv.Atoi(string(meta.Get(formatKey)))
	switch {
	case err != nil || format < 1:
		return 0, errors.New("the file is damaged: it does not say its format")
	case format > lastFormat:
		return 0, fmt.Errorf("the file has format %d, written by a newer lockstep; this one knows up to %d", format, lastFormat)
	}
	return format, nil
}

// settle makes sure that what the file seems to hold is on disk.
//
// The two first pages say which tree is the newest. If the last writer was
// killed before its sync, or its sync failed, the newest may be in the page
// cache alone; after a failed sync the kernel even takes it for clean, and
// would never write it. The next commit would build on it, and reuse pages of
// the tree before it: a power cut then would leave neither. Writing the two
// pages again as they are makes them dirty, and harms nothing if it is cut
// short. The tree itself was synced before they were written.
func settle(file *os.File, pageSize int) error {
	head := make([]byte, 2*pageSize)
	if _, err := file.ReadAt(head, 0); err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	if _, err := file.WriteAt(head, 0); err != nil {
		return fmt.Errorf("write head again: %w", err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}
