package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/ldif"
	"lockstep/ldapsync/userpassword"
)

// file is a directory in an LDIF file.
type file struct {
	cfg     Config
	path    string
	base    string // normalised base DN, "" for all
	replica *replica

	passwords atomic.Pointer[map[string][]userpassword.Hash] // by normalised DN
	groups    atomic.Pointer[fileGroups]                     // nil before the first read
	absences  absences

	mu   sync.Mutex  // guards what follows; serialises refresh
	err  error       // of the last load
	mode fs.FileMode // the permissions at the last load
}

func newFile(c Config, path string, r *replica) *file {
	f := &file{cfg: c, path: path, replica: r, absences: absences{log: c.Log}}
	if c.BaseDN != "" {
		f.base = normalizeDN(c.BaseDN)
	}
	return f
}

// version tells one content of a file from another without reading it.
type version struct {
	mtime time.Time
	size  int64
	mode  fs.FileMode // a file that could not be read may be readable now
	inode uint64
	err   string // why it cannot be told
}

func (f *file) version() version {
	info, err := os.Stat(f.path)
	if err != nil {
		return version{err: err.Error()}
	}
	v := version{mtime: info.ModTime(), size: info.Size(), mode: info.Mode()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		v.inode = sys.Ino
	}
	return v
}

// follow implements source. A file that has changed is read when it has stayed
// the same for one look, so that one half written is not taken.
func (f *file) follow(ctx context.Context) error {
	tick := time.NewTicker(f.cfg.pace.file)
	defer tick.Stop()
	loaded := f.version()
	f.reload(ctx)
	for seen := loaded; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		now := f.version()
		if now == seen && now != loaded {
			loaded = now
			f.reload(ctx)
		}
		seen = now
	}
}

func (f *file) reload(ctx context.Context) {
	if err := f.refresh(ctx); err != nil {
		f.cfg.Log.Error("directory file cannot be used, the accounts stay as they are", "err", err)
		return
	}
	_, entries, _ := f.replica.state()
	f.cfg.Log.Info("directory file read", "url", "ldif:"+f.path, "entries", entries)
}

// refresh implements source.
func (f *file) refresh(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var c content
	c, f.err = f.read()
	if f.err == nil {
		f.use(c)
	}
	return f.err
}

// update implements source.
func (f *file) update(ctx context.Context) error { return f.refresh(ctx) }

// content is what a file has at and below the base DN.
type content struct {
	entries   []rawEntry
	passwords map[string][]userpassword.Hash
	groups    *fileGroups
}

func (f *file) use(c content) {
	f.passwords.Store(&c.passwords)
	f.groups.Store(c.groups)
	f.replica.begin()
	for _, e := range c.entries {
		f.replica.put(e)
	}
	f.replica.sweep()
	f.replica.complete(f.cfg.Now())
}

// read returns the entries at and below the base DN. All passwords of the file
// must be hashes that can be checked: nobody shall run on clear text unawares.
// No two records may have one ID: the last would take the place of the others,
// and their spent codes would be the same ones.
func (f *file) read() (content, error) {
	records, err := f.parse()
	if err != nil {
		return content{}, err
	}
	c := content{passwords: map[string][]userpassword.Hash{}}
	lines := make(map[string]int, len(records))
	for _, record := range records {
		e := entryOf(record)
		id := entryID(e)
		hashes, err := parseHashes(record.Attrs["userpassword"])
		if err != nil {
			return content{}, fmt.Errorf("%s:%d: userPassword of %q: %w", f.path, record.Line, record.DN, err)
		}
		if first, ok := lines[id]; ok {
			return content{}, fmt.Errorf("%s:%d: the record at line %d has the same ID (entryUUID); give each its own", f.path, record.Line, first)
		}
		lines[id] = record.Line
		if norm := normalizeDN(record.DN); f.covers(norm) {
			c.entries = append(c.entries, e)
			c.passwords[norm] = hashes
		}
	}
	c.groups = newFileGroups(f.replica.schema.login, records)
	return c, nil
}

func (f *file) parse() ([]ldif.Record, error) {
	in, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	f.checkMode(in)
	records, err := ldif.Parse(in)
	if at := (*ldif.Error)(nil); errors.As(err, &at) && at.Line > 0 {
		return nil, fmt.Errorf("%s:%d: %s", f.path, at.Line, at.Msg)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	if len(records) == 0 {
		// Some editors truncate a file before they write it.
		return nil, fmt.Errorf("%s: no entries in it", f.path)
	}
	return records, nil
}

func entryOf(record ldif.Record) rawEntry {
	return rawEntry{dn: []byte(record.DN), get: func(attr string) (values [][]byte) {
		for _, v := range record.Attrs[strings.ToLower(attr)] {
			values = append(values, []byte(v))
		}
		return values
	}}
}

// checkMode warns of a file that others have access to, once for each mode.
func (f *file) checkMode(in *os.File) {
	info, err := in.Stat()
	if err != nil {
		return
	}
	mode := info.Mode().Perm()
	if mode&0o007 != 0 && mode != f.mode {
		f.cfg.Log.Warn("others have access to the directory file, which holds keys: chmod 640",
			"url", "ldif:"+f.path, "mode", fmt.Sprintf("%04o", mode))
	}
	f.mode = mode
}

func (f *file) covers(norm string) bool {
	return f.base == "" || norm == f.base || strings.HasSuffix(norm, ","+f.base)
}

func parseHashes(values []string) ([]userpassword.Hash, error) {
	var hashes []userpassword.Hash
	for _, v := range values {
		h, err := userpassword.Parse(v)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}

// checkPassword implements source.
func (f *file) checkPassword(ctx context.Context, a Account, password opaque.Bytes, _ func() (late func())) (info PasswordInfo, err error) {
	passwords := f.passwords.Load()
	if passwords == nil {
		return info, ErrNotReady
	}
	hashes, ok := (*passwords)[normalizeDN(a.DN)]
	switch {
	case !ok:
		return info, &PasswordError{Cause: "no such entry"}
	case len(hashes) == 0:
		return info, &PasswordError{Cause: "no password"}
	}
	for _, h := range hashes {
		right, err := h.Matches(ctx, password.Reveal())
		if err != nil {
			return info, fmt.Errorf("check password of %q: %w", a.Name, err)
		}
		if right {
			return info, nil
		}
	}
	return info, &PasswordError{Cause: "invalid credentials"}
}

func (f *file) status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Status{Kind: "ldif", URL: "ldif:" + f.path, Err: f.err}
}

// reachable implements source. What was last read can be asked whatever has
// become of the file.
func (f *file) reachable() error { return nil }
