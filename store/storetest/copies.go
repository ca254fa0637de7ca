package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"lockstep/store"
)

func halfCopied(t *testing.T, s store.Store) {
	begin := func(mark, want store.CopyMark) func(context.Context) error {
		t.Helper()
		is, end, err := s.BeginCopy(t.Context(), mark)
		if err != nil || is.Empty != want.Empty {
			t.Fatalf("BeginCopy(%v) = %v, %v; want %v", mark, is, err, want)
		}
		wantHalf(t, s)
		return end
	}
	finish := func(end func(context.Context) error, want time.Time) {
		t.Helper()
		if err := end(t.Context()); err != nil {
			t.Fatal(err)
		}
		if at, err := s.Restored(t.Context()); err != nil || !at.Equal(want) {
			t.Errorf("at the end it was restored at %v, %v; want %v", at, err, want)
		}
	}
	empty := store.CopyMark{Empty: true}
	cut := begin(empty, empty)
	swap(t, s, "alice", 0, sample(1))
	again := begin(store.CopyMark{}, empty)
	if err := cut(t.Context()); err == nil {
		t.Error("the end of one copy is that of another that goes on with it")
	}
	wantHalf(t, s)
	finish(again, time.Time{})
	finish(begin(store.CopyMark{Restored: noon}, store.CopyMark{}), noon)
	finish(begin(store.CopyMark{Restored: noon.Add(-time.Hour)}, store.CopyMark{}), noon)
	if err := s.MarkRestored(t.Context(), noon.Add(time.Hour)); err != nil {
		t.Error(err)
	}
}

func wantHalf(t *testing.T, s store.Store) {
	t.Helper()
	if at, err := s.Restored(t.Context()); !errors.Is(err, store.ErrHalfCopied) || !at.IsZero() {
		t.Errorf("half of a copy was restored at %v, %v", at, err)
	}
	if err := s.MarkRestored(t.Context(), noon.Add(-time.Minute)); !errors.Is(err, store.ErrHalfCopied) {
		t.Errorf("half of a copy is marked: %v", err)
	}
}
