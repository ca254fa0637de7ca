package server

import (
	"fmt"

	"lockstep/admin"
)

// report is what the doctor has found so far. Its methods add to it; the ID says what
// was looked at, to programs, and stays the same from one version to the next.
type report []admin.Finding

func (r *report) add(severity admin.Severity, id, subject, advice, format string, args ...any) {
	*r = append(*r, admin.Finding{ID: id, Subject: subject, Severity: severity, Text: fmt.Sprintf(format, args...), Advice: advice})
}

func (r *report) ok(id, subject, format string, args ...any) {
	r.add(admin.OK, id, subject, "", format, args...)
}

func (r *report) warn(id, subject, advice, format string, args ...any) {
	r.add(admin.Warning, id, subject, advice, format, args...)
}

func (r *report) bad(id, subject, advice, format string, args ...any) {
	r.add(admin.Error, id, subject, advice, format, args...)
}

// untold is for what could not be found out.
func (r *report) untold(id, subject, advice, format string, args ...any) {
	r.add(admin.Unknown, id, subject, advice, format, args...)
}
