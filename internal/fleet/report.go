package fleet

import "encoding/json"

// Report is what came of a run. Marshalled as JSON it holds all that
// [Report.Table] shows.
type Report struct {
	Settings Settings `json:"settings"`
	Results  []Result `json:"models"` // in the order of Fleet.Models
}

// Result is what came of one model.
type Result struct {
	Model string       `json:"model"`
	All   Tally        `json:"all"`
	Kinds [kinds]Tally `json:"-"` // by Kind
}

// Tally adds up logins.
type Tally struct {
	Users          int
	Logins         int
	Refused        int // logins refused at the first try
	Resynchronized int // of them those that got in later, with more codes
	Stranded       int // and those that did not get in
	StrandedUsers  int // users with at least one such login
	Codes          int // sum, over all logins, of the codes acceptable at the first try
}

// MeanCodes returns how many codes could be typed on average to get in, 0
// without a login.
func (t Tally) MeanCodes() float64 { return ratio(t.Codes, t.Logins) }

// RefusedPercent returns the share of logins refused at the first try.
func (t Tally) RefusedPercent() float64 { return 100 * ratio(t.Refused, t.Logins) }

// ResynchronizedPercent returns the share of logins that took more than a code.
func (t Tally) ResynchronizedPercent() float64 { return 100 * ratio(t.Resynchronized, t.Logins) }

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

func (t *Tally) add(u Tally) {
	t.Users += u.Users
	t.Logins += u.Logins
	t.Refused += u.Refused
	t.Resynchronized += u.Resynchronized
	t.Stranded += u.Stranded
	t.StrandedUsers += u.StrandedUsers
	t.Codes += u.Codes
}

func newReport(s Settings, models []Model) Report {
	r := Report{Settings: s}
	for _, m := range models {
		r.Results = append(r.Results, Result{Model: m.Name})
	}
	return r
}

// add adds what one person met, model by model.
func (r *Report) add(k Kind, tallies []Tally) {
	for i, t := range tallies {
		r.Results[i].All.add(t)
		r.Results[i].Kinds[k].add(t)
	}
}

// all returns the counts that are the same for every model.
func (r Report) all() Tally {
	if len(r.Results) == 0 {
		return Tally{}
	}
	return r.Results[0].All
}

// MarshalJSON implements [json.Marshaler].
func (r Result) MarshalJSON() ([]byte, error) {
	type plain Result // without this method
	named := make(map[string]Tally)
	for k, t := range r.Kinds {
		named[Kind(k).String()] = t
	}
	return json.Marshal(struct {
		plain
		Named map[string]Tally `json:"kinds"`
	}{plain(r), named})
}

// MarshalJSON implements [json.Marshaler].
func (t Tally) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Users                 int     `json:"users"`
		Logins                int     `json:"logins"`
		MeanCodes             float64 `json:"mean_codes"`
		Refused               int     `json:"refused"`
		RefusedPercent        float64 `json:"refused_percent"`
		Resynchronized        int     `json:"resynchronized"`
		ResynchronizedPercent float64 `json:"resynchronized_percent"`
		Stranded              int     `json:"stranded"`
		StrandedUsers         int     `json:"stranded_users"`
	}{t.Users, t.Logins, t.MeanCodes(), t.Refused, t.RefusedPercent(),
		t.Resynchronized, t.ResynchronizedPercent(), t.Stranded, t.StrandedUsers})
}
