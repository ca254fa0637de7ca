package ldapsync

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parameters are the values of the three parameter attributes, unparsed.
type parameters struct{ algorithm, digits, period []string }

func (d *digest) parameters() (p parameters) {
	if d.count[fieldAlgorithm]+d.count[fieldDigits]+d.count[fieldPeriod] == 0 {
		return p
	}
	for f, v := range d.of.fields() {
		switch f {
		case fieldAlgorithm:
			p.algorithm = append(p.algorithm, v)
		case fieldDigits:
			p.digits = append(p.digits, v)
		case fieldPeriod:
			p.period = append(p.period, v)
		}
	}
	return p
}

// or returns p with what it lacks from q.
func (p parameters) or(q parameters) parameters {
	if len(p.algorithm) == 0 {
		p.algorithm = q.algorithm
	}
	if len(p.digits) == 0 {
		p.digits = q.digits
	}
	if len(p.period) == 0 {
		p.period = q.period
	}
	return p
}

var defaults = Enrolment{Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second}

// parse returns p as an Enrolment without key. Absent values are SHA1, 6 and
// 30 s; a value that cannot be read is an error, never a default.
func (s *schema) parse(p parameters) (e Enrolment, err error) {
	e = defaults
	if len(p.algorithm) > 0 {
		var known bool
		if e.Algorithm, known = s.algorithms[strings.ToLower(p.algorithm[0])]; !known || len(p.algorithm) > 1 {
			return e, fmt.Errorf("%s %.100q: want one of SHA1, SHA256 or SHA512, as the schema names them", s.algorithm, p.algorithm)
		}
	}
	if len(p.digits) > 0 {
		if e.Digits, err = number(s.digits, p.digits); err != nil {
			return e, err
		}
	}
	if len(p.period) > 0 {
		seconds, err := number(s.period, p.period)
		if err != nil {
			return e, err
		}
		if s.fixPeriod && seconds < 5 {
			seconds = 30 // as FreeIPA itself does
		}
		// Limited first, or a great number would wrap round to a good one.
		e.Period = time.Duration(min(max(seconds, 0), 1000)) * time.Second
	}
	return e, e.checkParameters()
}

func number(attr string, values []string) (int, error) {
	n, err := strconv.Atoi(values[0])
	if err != nil || len(values) > 1 {
		return 0, fmt.Errorf("%s %.100q: want one number", attr, values)
	}
	return n, nil
}

func (e Enrolment) checkParameters() error {
	switch {
	case e.Algorithm != "SHA1" && e.Algorithm != "SHA256" && e.Algorithm != "SHA512":
		return fmt.Errorf("algorithm %q: want SHA1, SHA256 or SHA512", e.Algorithm)
	case e.Digits != 6 && e.Digits != 8:
		return fmt.Errorf("%d digits: want 6 or 8", e.Digits)
	case e.Period < 15*time.Second || e.Period > 2*time.Minute || e.Period%time.Second != 0:
		return fmt.Errorf("period %s: want 15 s to 120 s, whole seconds", e.Period)
	}
	return nil
}

// checked returns e with its defaults in place.
func (e Enrolment) checked() (Enrolment, error) {
	e.Algorithm = cmp.Or(e.Algorithm, defaults.Algorithm)
	e.Digits = cmp.Or(e.Digits, defaults.Digits)
	e.Period = cmp.Or(e.Period, defaults.Period)
	if err := checkKey(e.Key.Len()); err != nil {
		return e, err
	}
	return e, e.checkParameters()
}

// write returns the parameters of e as they are written.
func (s *schema) write(e Enrolment) parameters {
	return parameters{
		algorithm: []string{s.algorithmValue(e.Algorithm)},
		digits:    []string{strconv.Itoa(e.Digits)},
		period:    []string{strconv.Itoa(int(e.Period / time.Second))},
	}
}

// algorithmValue is the shortest of the values that mean algorithm.
func (s *schema) algorithmValue(algorithm string) (value string) {
	for v, name := range s.algorithms {
		if name == algorithm && (value == "" || len(v) < len(value)) {
			value = v
		}
	}
	return value
}
