package main

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"time"
)

// dog is systemd's watchdog: it has to be fed again and again, or it ends the
// service. It is fed by the same loop that takes signals, and only after the server
// has been looked at.
type dog struct {
	due      <-chan time.Time // nil where there is no watchdog
	stop     func()
	log      *slog.Logger
	alive    func(context.Context) error
	patience time.Duration // for alive
}

// watchdog returns the dog that the environment speaks of (sd_watchdog_enabled(3)).
// It is fed three times as often as it must be, so that one late or failed look is
// none too many.
func watchdog(log *slog.Logger, alive func(context.Context) error) dog {
	every := watchdogTime(os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")) / 3
	if every == 0 || os.Getenv("NOTIFY_SOCKET") == "" {
		return dog{stop: func() {}}
	}
	tick := time.NewTicker(every)
	return dog{due: tick.C, stop: tick.Stop, log: log, alive: alive, patience: every / 2}
}

// watchdogTime returns the time after which the watchdog ends this process, 0 for
// never.
func watchdogTime(usec, pid string) time.Duration {
	if pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n < 0 || n > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return time.Duration(n) * time.Microsecond
}

// feed tells systemd that the server lives, if it does.
func (d dog) feed() {
	ctx, cancel := context.WithTimeout(context.Background(), d.patience)
	defer cancel()
	if err := d.alive(ctx); err != nil {
		d.log.Error("the server does not work any more, its watchdog is left to end it", "err", err)
		return
	}
	notify(d.log, "WATCHDOG=1")
}
