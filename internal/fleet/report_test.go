package fleet

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// made is a report of made-up numbers.
func made() Report {
	s := Defaults()
	s.Users = 1500
	r := newReport(s, []Model{{Name: lockstepName}, {Name: "fixed ±10"}})
	r.add(Phone, []Tally{
		{Users: 1, Logins: 1000, Refused: 1, Resynchronized: 1, Codes: 3500},
		{Users: 1, Logins: 1000, Refused: 3, Resynchronized: 1, Stranded: 2, StrandedUsers: 1, Codes: 21_000}})
	r.add(Token, []Tally{
		{Users: 1, Logins: 234, Codes: 1170},
		{Users: 1, Logins: 234, Refused: 117, Stranded: 117, StrandedUsers: 1, Codes: 4914}})
	return r
}

func TestTable(t *testing.T) {
	const want = `model      codes  refused %  later  later %  stranded
lockstep    3.78      0.081      1    0.081         0
fixed ±10  21.00      9.724      1    0.081         2

           phones              hand             tokens
model       codes  refused %  codes  refused %   codes  refused %
lockstep     3.50      0.100      -          -    5.00      0.000
fixed ±10   21.00      0.300      -          -   21.00     50.000

`
	got := made().Table()
	if !strings.HasPrefix(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	for _, fact := range []string{"1,234 logins of 2 people in 2 years", "80 % phones, 10 % hand, 10 % tokens", "0.3 to 120 days", "seed 1"} {
		if !strings.Contains(got, fact) {
			t.Errorf("nothing of %q in:\n%s", fact, got)
		}
	}
	for line := range strings.Lines(got) {
		if n := utf8.RuneCountInString(line); n > 81 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestJSONHasTheNumbers(t *testing.T) {
	text, err := json.Marshal(made())
	if err != nil {
		t.Fatal(err)
	}
	type tally map[string]float64
	var got struct {
		Settings Settings
		Models   []struct {
			Model string
			All   tally
			Kinds map[string]tally
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := tally{"users": 1, "logins": 1000, "mean_codes": 21, "refused": 3, "refused_percent": 0.3,
		"resynchronized": 1, "resynchronized_percent": 0.1, "stranded": 2, "stranded_users": 1}
	m := got.Models[1]
	if got.Settings != made().Settings || m.Model != "fixed ±10" || m.All["logins"] != 1234 || !reflect.DeepEqual(m.Kinds["phones"], want) {
		t.Errorf("%s\nwant phones %v", text, want)
	}
}
