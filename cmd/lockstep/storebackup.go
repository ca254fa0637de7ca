package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/server"
	"lockstep/store"
	"lockstep/store/bolt"
	"lockstep/store/etcd"
)

const backupUsage = `store backup [-config FILE] [-force] [-json] BACKUP

Writes what is kept of each key to the file BACKUP, or to standard output for "-".
The server goes on meanwhile; it is asked over the admin socket. Where none runs,
or with etcd, the store is read. BACKUP is whole or not there, and readable to its
owner alone; one that is there is replaced with -force alone.

In it are when and from where each key was used, where the clocks of the devices are,
and the failures. There are no TOTP keys, no passwords or hashes of them, and not the
keys that servers share. Whoever can change it can have codes accepted again when it
is restored: keep it where root alone can write.
`

const restoreUsage = `store restore [-config FILE] [-yes] [-clock-was-ahead] [-json] BACKUP

Puts what "store backup" wrote in the place of the state file, or into a cluster where
there is nothing below store.prefix. Stop the servers first. The old state file is as
it was until the new one is whole on disk; a cluster lets nobody in until all is there.

What was used since the backup is not known any more. So all codes of up to the restore
count as spent, also of keys that are not in BACKUP:

  - Most people are let in by the next code or the one after it.
  - Whose device is behind, and not known by BACKUP to be, waits for as long as it is
    behind, and a minute.
  - Whose device is ahead by more than half a minute, and not known by BACKUP to be,
    waits up to a day, or is let in after "lockstep user resync".
  - Accounts whose codes the directory checks wait ten minutes.

One thing is left: a code that such a device has shown ahead of its time, and that was
used before the restore, can be used once more, with the password, when its time comes.
Failures and locks are those of BACKUP.

Copying a state file back by hand is no such thing: it is noticed where the file
state.db.lock stays as it is, and not where a whole disk or machine is put back. Then
wait with the start for as long as codes are accepted, or restore a backup.
`

func (a *app) backupStore(args []string) error {
	fs := a.flags("store backup", backupUsage)
	path := configFlag(fs)
	force := fs.Bool("force", false, "replace BACKUP if it is there")
	asJSON := fs.Bool("json", false, "print JSON, to stderr where BACKUP goes to stdout")
	if err := a.parse(fs, args, -1); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return usagef("store backup: want one BACKUP, a file or \"-\"")
	}
	cfg, err := config.Load(*path)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	if fs.Arg(0) == "-" {
		sum, err := a.writeBackup(ctx, cfg, a.out)
		a.record(cfg, admin.Report{Action: "store-backup", Text: "to stdout", Error: failed(err)})
		return a.tellBackup(a.err, sum, *asJSON, err)
	}
	sum, err := a.backupTo(ctx, cfg, fs.Arg(0), *force)
	a.record(cfg, admin.Report{Action: "store-backup", Text: "to " + fs.Arg(0), Error: failed(err)})
	return a.tellBackup(a.out, sum, *asJSON, err)
}

// backupTo writes a backup that gets its name once it is whole and on disk.
func (a *app) backupTo(ctx context.Context, cfg *config.Config, path string, force bool) (store.BackupSummary, error) {
	var sum store.BackupSummary
	if _, err := os.Lstat(path); err == nil && !force {
		return sum, thereAlready(path)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return sum, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if sum, err = a.writeBackup(ctx, cfg, tmp); err != nil {
		return sum, err
	}
	if err := tmp.Sync(); err != nil {
		return sum, err
	}
	if err := give(tmp.Name(), path, force); err != nil {
		return sum, err
	}
	return sum, syncDir(filepath.Dir(path))
}

// give gives a file its name. Without force it replaces none, also none that was made
// meanwhile.
func give(tmp, path string, force bool) error {
	if force {
		return os.Rename(tmp, path)
	}
	err := unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) { // a file system that knows no such thing
		err = os.Link(tmp, path)
	}
	if errors.Is(err, fs.ErrExist) {
		return thereAlready(path)
	}
	if err != nil {
		return fmt.Errorf("name %s: %w", path, err)
	}
	return nil
}

func thereAlready(path string) error {
	return &failure{status: statusNo, err: fmt.Errorf("store backup: %s is there already", printable(path)), hint: "-force replaces it"}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeBackup writes a backup to w, and returns what is in it: it is read on its way
// as a restore would read it.
func (a *app) writeBackup(ctx context.Context, cfg *config.Config, w io.Writer) (store.BackupSummary, error) {
	p := a.progress("keys")
	defer p.end()
	out, in := io.Pipe()
	type outcome struct {
		sum store.BackupSummary
		err error
	}
	checked := make(chan outcome, 1)
	go func() {
		sum, err := store.CheckBackup(out, func(done int) { p.step(done, 0) })
		out.CloseWithError(err)
		checked <- outcome{sum, err}
	}()
	err := a.sendBackup(ctx, cfg, io.MultiWriter(w, in))
	in.Close()
	seen := <-checked
	if err == nil {
		err = seen.err
	}
	if err != nil {
		return store.BackupSummary{}, fmt.Errorf("store backup: %w", err)
	}
	return seen.sum, nil
}

// sendBackup has the running server write the backup, or reads the store itself.
func (a *app) sendBackup(ctx context.Context, cfg *config.Config, w io.Writer) error {
	unreached := error(nil)
	if cfg.Store.Engine == "bolt" {
		if cfg.Admin.Socket != "" {
			err := admin.NewClient(cfg.Admin.Socket).Backup(ctx, w)
			if !errors.Is(err, admin.ErrUnreachable) {
				return err
			}
			unreached = err
		}
		if err := isThere("store backup", cfg.Store); err != nil {
			return err
		}
	}
	cfg.Store.Etcd.Compact = false // or it could throw away what is being read
	s, err := server.OpenStore(cfg.Store, "lockstep store backup", slog.New(slog.DiscardHandler), time.Now)
	if errors.Is(err, bolt.ErrInUse) {
		return &failure{status: statusError, err: errors.Join(err, unreached), hint: "a server that runs writes its backups by way of admin.socket"}
	}
	if err != nil {
		return err
	}
	if err = answers(ctx, s); err == nil {
		_, err = store.Backup(ctx, s, w, server.BackupHead(ctx, cfg.Store, s, time.Now()), nil)
	}
	return errors.Join(err, s.Close())
}

// told is what the commands print as JSON.
type told struct {
	store.BackupSummary
	At *time.Time `json:"restored_at,omitempty"` // of a restore
}

func (a *app) tellBackup(w io.Writer, s store.BackupSummary, asJSON bool, err error) error {
	if err != nil {
		return err
	}
	if asJSON {
		err = (&app{out: w}).printJSON(told{BackupSummary: s})
	}
	if err == nil && s.Note != "" {
		err = &failure{status: statusNo, err: fmt.Errorf("store backup: records are left out that cannot be read: %s", s.Note),
			hint: "the backup is good for all others; a key that is left out counts as never seen after a restore"}
	}
	return err
}

// clockSlack is by how much the clocks of the servers of a cluster may differ.
const clockSlack = 30 * time.Second

// clockWait is by how much a backup may be of the future: nobody has to wait for
// longer than that because of it.
const clockWait = 10 * time.Minute

func (a *app) restoreStore(args []string) error {
	fs := a.flags("store restore", restoreUsage)
	path := configFlag(fs)
	yes := fs.Bool("yes", false, "do not ask")
	ahead := fs.Bool("clock-was-ahead", false, "take a backup of the future: the clock of its server was wrong, and this machine's is right")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := a.parse(fs, args, -1); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return usagef("store restore: want one BACKUP, a file")
	}
	cfg, err := config.Load(*path)
	if err != nil {
		return err
	}
	f, err := os.Open(fs.Arg(0))
	if err != nil {
		return err
	}
	defer f.Close()
	sum, err := a.checkBackup(f)
	if err != nil {
		return fmt.Errorf("store restore: %s: %w", fs.Arg(0), err)
	}
	if _, err := restoreMoment(sum, cfg.Store.Engine, *ahead, time.Now()); err != nil {
		return err
	}
	if err := a.agree(cfg.Store, sum, *yes); err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	at, err := a.restoreFrom(ctx, cfg.Store, f, sum, *ahead)
	a.record(cfg, admin.Report{Action: "store-restore", Text: fmt.Sprintf("from %s, of %s", fs.Arg(0), local(sum.Made)), Error: failed(err)})
	if err != nil {
		return fmt.Errorf("store restore: %w", err)
	}
	if *asJSON {
		return a.printJSON(told{sum, &at})
	}
	return a.printLines(fmt.Sprintf("%d keys restored, of %s; codes of up to %s count as spent", sum.Records, local(sum.Made), local(at)))
}

func (a *app) checkBackup(f *os.File) (store.BackupSummary, error) {
	p := a.progress("reading keys")
	defer p.end()
	return store.CheckBackup(f, func(done int) { p.step(done, 0) })
}

// restoreMoment returns up to when codes count as spent: now, or the latest time that
// the backup knows of, as this machine's clock may have been put back.
func restoreMoment(sum store.BackupSummary, engine string, wasAhead bool, now time.Time) (time.Time, error) {
	at := now
	if !wasAhead && sum.Newest.After(now) {
		if wait := sum.Newest.Sub(now); wait > clockWait {
			return at, &failure{status: statusNo, err: fmt.Errorf("store restore: the backup has a time that is %s ahead of this machine's clock: %s", wait.Round(time.Second), local(sum.Newest)),
				hint: "put the clock right first; if it is right, and was wrong before the backup was made, -clock-was-ahead takes it"}
		}
		at = sum.Newest
	}
	if engine == "etcd" {
		at = at.Add(clockSlack)
	}
	return at.UTC().Truncate(time.Millisecond), nil
}

// agree says what a restore means, and asks.
func (a *app) agree(c config.Store, sum store.BackupSummary, yes bool) error {
	what := "the state file " + c.Path
	if c.Engine == "etcd" {
		what = "the cluster, below " + c.Etcd.Prefix
	}
	fmt.Fprintf(a.err, `lockstep: %s becomes what it was at %s, of %d keys.
lockstep: What was used, counted or learned since is forgotten. So that no code is good twice, all
lockstep: of up to now count as spent: most people wait a minute, or less; those whose device is
lockstep: behind as long as that; those whose device is ahead, and was set or enrolled since, a
lockstep: day, or "lockstep user resync"; and accounts whose codes the directory checks ten minutes.
`, printable(what), local(sum.Made), sum.Records)
	if sum.Note != "" {
		fmt.Fprintf(a.err, "lockstep: warning: the backup lacks records: %s\n", printable(sum.Note))
	}
	if yes {
		return nil
	}
	answer, err := a.ask("Restore it (yes or no)? ", true)
	if err != nil {
		return &failure{status: statusUsage, err: err, hint: "-yes restores without asking"}
	}
	if strings.TrimSpace(string(answer.Reveal())) != "yes" {
		return &failure{status: statusNo, err: errors.New("store restore: nothing was changed")}
	}
	return nil
}

func (a *app) restoreFrom(ctx context.Context, c config.Store, f *os.File, sum store.BackupSummary, wasAhead bool) (at time.Time, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return at, err
	}
	backup, err := store.NewBackupReader(f)
	if err != nil {
		return at, err
	}
	p := a.progress("keys")
	defer p.end()
	step := func(done int) { p.step(done, sum.Records) }
	if c.Engine != "etcd" {
		if at, err = restoreMoment(sum, c.Engine, wasAhead, time.Now()); err != nil {
			return at, err
		}
		return at, stopped(bolt.Restore(ctx, c.Path, backup, at, step))
	}
	c.Etcd.Compact = false
	s, err := openStopped(ctx, c, "store restore")
	if err != nil {
		return at, err
	}
	// When the servers are known to be stopped.
	if at, err = restoreMoment(sum, c.Engine, wasAhead, time.Now()); err == nil {
		err = s.(*etcd.Store).Restore(ctx, backup, at, step)
	}
	return at, errors.Join(err, s.Close())
}

func stopped(err error) error {
	if errors.Is(err, bolt.ErrInUse) {
		return &failure{status: statusError, err: err, hint: "stop the server first"}
	}
	return err
}
