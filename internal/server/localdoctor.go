package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/internal/sysclock"
	"lockstep/ldapsync"
	"lockstep/radiusd"
	"lockstep/store/etcd"
)

// HostFindings is what whoever asks the doctor can see better than the server, which may
// be locked up in a sandbox: the programs that keep the clock, files, and what the
// configuration allows though it is risky.
func HostFindings(ctx context.Context, c *config.Config) []admin.Finding {
	return together(ctx,
		func(r *report) { r.keeper(ctx, "/proc") },
		func(r *report) {
			r.secrets(c.Secrets)
			for _, w := range c.Warnings() {
				// Of Message-Authenticator the server knows more.
				if !strings.Contains(w, "does not require Message-Authenticator") {
					r.warn("config.weak", "configuration", "", "%s", w)
				}
			}
		},
	)
}

// LocalFindings is what can be said of what a server needs, where none can be asked: it
// tries the directory itself, and where none runs the store and the sockets, too. It
// changes nothing.
func LocalFindings(ctx context.Context, c *config.Config, stopped bool) []admin.Finding {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	now := time.Now()
	looks := []func(*report){
		func(r *report) { r.clock(&sysclock.Watch{Trust: c.Verifier.TrustClock}) },
		func(r *report) { r.unreadDirectory(ctx, c, now) },
	}
	if stopped {
		looks = append(looks,
			func(r *report) { r.stoppedStore(ctx, c.Store, now) },
			func(r *report) { r.freePorts(ctx, slices.Concat(c.Radius.Listen, c.Radius.Accounting)) })
	}
	return together(ctx, append(looks, func(r *report) { r.swap(readSwap()) })...)
}

// unreadDirectory looks at a directory that no server has read.
func (r *report) unreadDirectory(ctx context.Context, c *config.Config, now time.Time) {
	dir, err := OpenDirectory(c, slog.New(slog.DiscardHandler))
	if err != nil {
		r.bad("directory.replica", "directory", "", "%v", err)
		return
	}
	sealed := c.Directory.SealedOnly
	if strings.HasPrefix(c.Directory.URLs[0], "ldif:") {
		if err := dir.Refresh(ctx); err != nil {
			r.bad("directory.replica", "directory", "put the file right; nobody can log in", "%v", err)
			return
		}
		r.directory(dir, now)
		r.keys(dir)
	}
	r.directoryServers(ctx, dir, sealed, now)
	r.authorities("directory.ca", "directory.ca_file", c.Directory.CA, now)
}

// stoppedStore looks at a store that nobody should have open.
func (r *report) stoppedStore(ctx context.Context, c config.Store, now time.Time) {
	if c.Engine == "etcd" {
		e := c.Etcd
		h, err := etcd.Look(ctx, etcd.Options{Endpoints: e.Endpoints, Prefix: e.Prefix, User: e.User, Password: e.Password, TLS: tlsConfig(e)})
		if err != nil {
			r.bad("etcd.member", "etcd", "", "%v", err)
			return
		}
		r.cluster(h)
		r.etcdCertificates(ctx, e, now)
		return
	}
	const id = "store.file"
	dir := filepath.Dir(c.Path)
	info, err := os.Stat(c.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.ok(id, "store", "%s is not there yet; the first start makes it", c.Path)
		for ; !isThere(dir) && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		}
	case err != nil:
		r.untold(id, "store", "", "%v", err)
		return
	default:
		r.stateFile(c.Path, dir, info)
	}
	r.space(dir, 0, freeOn)
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func (r *report) stateFile(path, dir string, info fs.FileInfo) {
	const id = "store.file"
	folder, err := os.Stat(dir)
	if err != nil {
		r.untold(id, "store", "", "%v", err)
		return
	}
	own, of := info.Sys().(*syscall.Stat_t), folder.Sys().(*syscall.Stat_t)
	switch {
	case inUse(path + ".lock"):
		r.bad(id, "store", "see who has it: fuser -v "+path+".lock; a server with another configuration cannot be asked", "%s is in use by another process", path)
	case own.Uid != of.Uid:
		r.warn(id, "store", "chown it to the owner of the folder; was lockstep started once as another user?", "%s belongs to user %d, and its folder to %d", path, own.Uid, of.Uid)
	case info.Size() == 0:
		r.bad(id, "store", "restore it, or remove it to begin anew: then codes that are still good can be used twice", "%s is empty", path)
	default:
		r.ok(id, "store", "%s, %s, is in nobody's use", path, size(info.Size()))
	}
}

// inUse reports whether another process holds the lock at path. It makes no file.
func inUse(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// freePorts tells whether a server could listen.
func (r *report) freePorts(ctx context.Context, addrs []netip.AddrPort) {
	for _, addr := range addrs {
		const id = "socket.free"
		subject := "socket " + addr.String()
		conn, err := radiusd.Listen(ctx, addr)
		switch {
		case err == nil:
			conn.Close()
			r.ok(id, subject, "is free")
		case errors.Is(err, syscall.EADDRINUSE):
			r.bad(id, subject, "\"ss -lunp\" shows which", "another program has that port")
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			r.bad(id, subject, "see radius.listen and radius.accounting in the configuration", "no interface of this machine has that address")
		case errors.Is(err, syscall.EAFNOSUPPORT):
			r.ok(id, subject, "is left out: this machine has no IPv6")
		default:
			r.untold(id, subject, "ask as root", "%v", err)
		}
	}
}

// secrets tells whether somebody else could put others in the place of secret files. That
// others cannot read or write the files themselves the configuration has seen to.
func (r *report) secrets(paths []string) {
	const id = "config.secrets"
	paths = slices.Compact(slices.Sorted(slices.Values(paths)))
	well := 0
	for _, path := range paths {
		if open := replaceable(path); open != "" {
			r.warn(id, "configuration", "chmod go-w "+open, "others can put another file in the place of %s, because they can write to %s", path, open)
			continue
		}
		well++
	}
	if well > 0 {
		r.ok(id, "configuration", "%s, that nobody but owner and group can read, and nobody else can replace", count(well, "secret file"))
	}
}

// replaceable returns the folder above path in which others than its owner can replace
// what lies in it, "" for none.
func replaceable(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && info.Mode().Perm()&0o022 != 0 && info.Mode()&os.ModeSticky == 0 {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// UserFindings is what the user of that name can do with keys, as their own bind shows.
// An error says that this could not be found out.
func UserFindings(ctx context.Context, c *config.Config, name string, password opaque.Bytes) ([]admin.Finding, error) {
	dir, err := OpenDirectory(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	u, err := dir.ProbeAs(ctx, name, password)
	if err != nil {
		return nil, fmt.Errorf("try the rights of %q: %w", name, err)
	}
	r := report{}
	r.userRights(u, c.Directory.SealedOnly)
	return r, nil
}

func (r *report) userRights(u ldapsync.UserProbe, sealed bool) {
	const read, write = "directory.user_reads_keys", "directory.user_writes_keys"
	subject, advice := "user "+u.DN, takeRight(u.Attribute)
	own, severity := "", admin.Error
	if sealed {
		own, severity = ", which is sealed", admin.Warning
	}
	switch {
	case u.ReadsOther == ldapsync.Granted:
		r.add(severity, read, subject, advice, "can read the keys of others (%s)%s", u.Attribute, own)
	case u.FindsOther == ldapsync.Granted:
		r.add(severity, read, subject, advice, "can search by %s, and so try keys of others", u.Attribute)
	case u.ReadsOwn == ldapsync.Granted:
		r.add(severity, read, subject, advice, "can read the own key (%s)%s: a stolen password is enough to get it", u.Attribute, own)
	case u.Others == 0 || u.ReadsOther == ldapsync.Untold:
		r.untold(read, subject, "ask again when somebody else is enrolled", "nobody else's key is there to try it with")
	default:
		r.ok(read, subject, "cannot read keys (%s)", u.Attribute)
	}
	switch {
	case u.WritesOther == ldapsync.Granted:
		r.bad(write, subject, advice, "can write the keys of others (%s), and so log in as them with their passwords", u.Attribute)
	case u.WritesOwn == ldapsync.Granted:
		r.bad(write, subject, advice, "can write the own key (%s): a stolen password is enough to enrol another", u.Attribute)
	case u.WritesOwn == ldapsync.Untold:
		r.untold(write, subject, "look at the access rules of "+u.Attribute, "could not find out whether they can write the own key (%s)", u.Attribute)
	default:
		r.ok(write, subject, "cannot write keys (%s)", u.Attribute)
	}
}
