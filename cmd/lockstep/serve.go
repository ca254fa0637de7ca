package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"lockstep/config"
	"lockstep/internal/loglines"
	"lockstep/internal/server"
)

// shutdownTime bounds how long a stop waits for what is in flight: a login may
// take five seconds, and its rejection one more.
const shutdownTime = 8 * time.Second

func (a *app) serve(args []string) error {
	fs := a.flags("serve", "serve [-config FILE]\n\nAnswers RADIUS requests until SIGTERM or SIGINT. SIGHUP reads the configuration again;\na broken one changes nothing. SIGUSR1 opens the file of the audit trail anew.\n")
	cfg, path, err := a.load(fs, args, 0)
	if err != nil {
		return err
	}
	level := &slog.LevelVar{}
	lines := loglines.NewWriter(a.err)
	defer lines.Close() // when nobody logs any more, and before main says why it ends
	log := logger(lines, cfg, level, toJournal(a.err, os.Getenv("JOURNAL_STREAM")))
	warn(log, cfg)

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go tuneMemory(ctx)
	s, err := server.Start(cfg, log)
	if err != nil {
		return &failure{status: statusError, err: err, hint: startHint(err)}
	}
	notify(log, "READY=1")
	return a.wait(s, log, level, path, signals)
}

// wait serves until a signal or a failure ends it.
func (a *app) wait(s *server.Server, log *slog.Logger, level *slog.LevelVar, path string, signals <-chan os.Signal) error {
	dog := watchdog(log, s.Alive)
	defer dog.stop()
	for {
		select {
		case <-dog.due:
			dog.feed()
		case err := <-s.Failed():
			return errors.Join(err, stop(s, log))
		case sig := <-signals:
			if sig == syscall.SIGUSR1 {
				s.FollowAudit()
				continue
			}
			if sig != syscall.SIGHUP {
				log.Info("stopping", "signal", sig.String())
				return stop(s, log)
			}
			notifyReloading(log)
			reload(s, log, level, path)
			notify(log, "READY=1")
		}
	}
}

func reload(s *server.Server, log *slog.Logger, level *slog.LevelVar, path string) {
	cfg, err := config.Load(path)
	if err == nil {
		err = s.Reload(cfg)
	}
	s.Reloaded(err)
	var faults config.Faults
	switch {
	case errors.As(err, &faults):
		for _, f := range faults {
			log.Error("configuration is wrong, the old one goes on", "err", f.String())
		}
	case err != nil:
		log.Error("configuration is not taken, the old one goes on", "err", err)
	default:
		level.Set(cfg.Log.Level)
		warn(log, cfg)
		log.Info("configuration read again, in use when its directory has been read")
	}
}

func stop(s *server.Server, log *slog.Logger) error {
	notify(log, "STOPPING=1")
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	err := s.Shutdown(ctx)
	if err == nil {
		log.Info("stopped")
	}
	return err
}

func logger(lines *loglines.Writer, cfg *config.Config, level *slog.LevelVar, journal bool) *slog.Logger {
	level.Set(cfg.Log.Level)
	options := &slog.HandlerOptions{Level: level}
	build := func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, options) }
	if cfg.Log.Format == "json" {
		build = func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, options) }
	}
	h := build(lines)
	if journal {
		h = newJournalHandler(lines, level, cfg.Log.Format == "text", build)
	}
	return slog.New(loglines.Handler(h, lines))
}

func warn(log *slog.Logger, cfg *config.Config) {
	for _, w := range cfg.Warnings() {
		log.Warn("configuration is weak", "why", w)
	}
}

func startHint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program has that port; \"ss -lunp\" shows which"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has that address; see \"listen\" in the configuration"
	case errors.Is(err, syscall.EACCES):
		return "is it started as the right user?"
	}
	return ""
}
