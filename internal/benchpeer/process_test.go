package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

func TestUsageOfAProcess(t *testing.T) {
	t.Parallel()
	sh := testenv.Tool(t, "sh")
	p, err := start("busy", filepath.Join(t.TempDir(), "out"), sh, "-c", "while :; do :; done")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	testenv.Eventually(t, "50 ms of CPU time", func() bool {
		u, err := p.usage()
		if err != nil {
			t.Fatal(err)
		}
		return u.cpu > 50*time.Millisecond && u.resident > 0 && u.peak >= u.resident
	})
	if u, _ := p.usage(); u.cpu > time.Minute {
		t.Errorf("%s of CPU time", u.cpu)
	}
}

func TestAProcessThatEndsSaysWhy(t *testing.T) {
	t.Parallel()
	sh := testenv.Tool(t, "sh")
	p, err := start("hasty", filepath.Join(t.TempDir(), "out"), sh, "-c", "echo no such thing >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	err = p.await(t.Context(), time.Minute, func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "hasty ended: exit status 3") || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("%v", err)
	}
	p.stop()
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p, err := start("idle", filepath.Join(t.TempDir(), "out"), testenv.Tool(t, "sleep"), "60")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.await(ctx, time.Minute, func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	p.stop()
	select {
	case <-p.exited:
	default:
		t.Error("still there after stop")
	}
}

func TestOthers(t *testing.T) {
	// 2 s of two processors, of which 1.5 s were busy, and 1 s was ours.
	if got := others(ticks{100, 1000}, ticks{250, 1200}, time.Second); got != 0.25 {
		t.Errorf("%v, want 0.25", got)
	}
	if got := others(ticks{100, 1000}, ticks{110, 1200}, time.Second); got != 0 {
		t.Errorf("%v, want 0", got)
	}
	now, err := readTicks()
	if err != nil || now.busy <= 0 || now.all < now.busy {
		t.Errorf("%+v, %v", now, err)
	}
}
