package server

import (
	"context"
	"io"
	"time"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/build"
	"lockstep/store"
)

// beginRestored takes in whether the store was restored, before the first login. Of
// a store that several servers share that is known only once it answers, and nobody
// gets in before.
func (s *Server) beginRestored() error {
	if _, shared := s.store.(common); shared {
		return nil
	}
	return s.takeRestored(s.ctx)
}

// takeRestored tells the verifier when the store was restored. An error means that
// nobody may be let in.
func (s *Server) takeRestored(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keysTime)
	defer cancel()
	at, err := s.store.Restored(ctx)
	if err == nil {
		s.verifier.SetRestored(at)
	}
	return err
}

// tellUnfit says in the log when a store that answers begins to be one by which nobody
// may be let in, and when it ends. It returns err.
func (s *Server) tellUnfit(err error) error {
	if unfit := err != nil; unfit != s.unfit && s.ctx.Err() == nil {
		s.unfit = unfit
		if unfit {
			s.log.Error("the store is not fit to decide by, nobody is let in", "err", err)
		} else {
			s.log.Info("the store is fit to decide by again")
		}
	}
	return err
}

// restoredTold is how long the doctor tells of a restore: by then it keeps nobody
// out any more.
const restoredTold = 48 * time.Hour

// restored tells of a restore that may still keep somebody out.
func (r *report) restored(ctx context.Context, s *Server, now time.Time) {
	at, err := s.store.Restored(ctx)
	if err != nil || at.IsZero() || now.Sub(at) > restoredTold {
		return // an error is that of the store
	}
	r.add(admin.OK, "store.restored", "store", "who is refused since, because a device is ahead, is let in by lockstep user resync",
		"restored at %s: codes of up to then count as spent", at.Local().Format(time.DateTime))
}

// backup writes a backup of the store, while logins go on.
func (s *Server) backup(ctx context.Context, w io.Writer) error {
	_, err := store.Backup(ctx, s.store, w, BackupHead(ctx, s.cfg.Store, s.store, time.Now()), nil)
	return err
}

// BackupHead returns the head of a backup that is made now of what c names.
func BackupHead(ctx context.Context, c config.Store, from store.Store, now time.Time) store.BackupHead {
	head := store.BackupHead{Made: now.UTC().Truncate(time.Millisecond), Engine: c.Engine, Program: build.Get().Version}
	head.Restored, _ = from.Restored(ctx) // for people
	return head
}

// Backup implements [admin.Users].
func (u users) Backup(ctx context.Context, w io.Writer) error { return u.backup(ctx, w) }
