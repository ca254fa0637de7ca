package server

import (
	"log/slog"
	"sync"
	"time"

	"lockstep/verifier"
)

// alarms follows whether the devices of many users move together, which names
// this server's clock as the suspect.
type alarms struct {
	log *slog.Logger

	mu    sync.Mutex // guards the rest
	on    bool
	last  verifier.Alarm
	ended time.Time // of last; zero while it is on, or if there was none
}

// look takes in what the verifier says at now, and logs a change.
func (a *alarms) look(alarm verifier.Alarm, on bool, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case on && (!a.on || (alarm.Moved > 0) != (a.last.Moved > 0)):
		a.log.Warn("the devices of many users have moved together, this server's clock is the suspect",
			"moved", alarm.Moved.String(), "users", alarm.Users, "of", alarm.Of, "hint", alarmAdvice)
	case !on && a.on:
		a.ended = now
		a.log.Info("the devices of users do not move together any more")
	}
	if a.on = on; on {
		a.last, a.ended = alarm, time.Time{}
	}
}

const alarmAdvice = "compare this machine's clock with another (chronyc tracking, timedatectl) before you set any device"

// moved tells of an alarm that is on, or ended within a day.
func (r *report) moved(a *alarms) {
	const id = "clock.moved"
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.on:
		r.bad(id, "clock", alarmAdvice, "%s", a.last.String())
	case a.ended.IsZero() || time.Since(a.ended) > 24*time.Hour:
		r.ok(id, "clock", "the devices of users do not move together, as they would seem to if this clock moved")
	default:
		r.ok(id, "clock", "%s; over since %s", a.last.String(), a.ended.Local().Format(time.DateTime))
	}
}
