package main

import (
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var small = []string{"-users", "10", "-years", "0.1"}

func try(args ...string) (status int, out, err string) {
	var o, e strings.Builder
	status = run(args, &o, &e)
	return status, o.String(), e.String()
}

func TestTableAndPlot(t *testing.T) {
	svg := filepath.Join(t.TempDir(), "fleet.svg")
	status, out, err := try(append(small, "-seed", "42", "-svg", svg)...)
	if status != statusOK || !strings.Contains(out, "lockstep") || !strings.Contains(out, "seed 42") || err != "" {
		t.Errorf("status %d, %q, %s", status, err, out)
	}
	text, readErr := os.ReadFile(svg)
	if readErr != nil || xml.Unmarshal(text, new(struct{ XMLName xml.Name })) != nil || !strings.Contains(string(text), "seed 42") {
		t.Errorf("%v, %s", readErr, text)
	}
}

func TestJSON(t *testing.T) {
	_, one, _ := try(append(small, "-json", "-workers", "1")...)
	status, out, err := try(append(small, "-json", "-workers", "4")...)
	if status != statusOK || err != "" || !json.Valid([]byte(out)) || out != one {
		t.Errorf("status %d, %q, %s\nwant, as with one worker:\n%s", status, err, out, one)
	}
}

func TestFlagsReachTheSettings(t *testing.T) {
	o, err := parse(strings.Fields("-seed 2 -users 3 -years 4 -mix hand=1 -min-gap 5 -max-gap 6 -phone-offset 7 -hand-offset 8 " +
		"-hand-drift 9 -token-offset 10 -token-drift 11 -period 60 -entry-min 12 -entry-mean 13 -entry-max 14 " +
		"-retry-min 15 -retry-max 16 -retry-within 17 -tries 18"))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(o.fleet.Settings)
	const want = `{"seed":2,"users":3,"years":4,"mix":"phones=0,hand=1,tokens=0","min_gap_days":5,"max_gap_days":6,` +
		`"phone_offset_s":7,"hand_offset_s":8,"hand_drift_ppm":9,"token_offset_s":10,"token_drift_ppm":11,` +
		`"entry_min_s":12,"entry_mean_s":13,"entry_max_s":14,"retry_min_s":15,"retry_max_s":16,"retry_within_s":17,"tries":18,"period_s":60}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestHelpNamesEveryFlagAndItsDefault(t *testing.T) {
	status, out, err := try("-help")
	if status != statusOK || out != help || err != "" {
		t.Errorf("status %d, %q, %q", status, out, err)
	}
	lines := strings.Split(help, "\n    -")
	flags(&options{}).VisitAll(func(f *flag.Flag) {
		for _, line := range lines {
			if strings.HasPrefix(line, f.Name+" ") {
				return
			}
		}
		t.Errorf("-%s is not in the help", f.Name)
	})
	defaults, parseErr := parse(nil)
	if parseErr != nil {
		t.Fatal(parseErr)
	}
	flags(&defaults).VisitAll(func(f *flag.Flag) {
		if value := f.Value.String(); value != "" && value != "false" && !strings.Contains(help, "["+value) {
			t.Errorf("no [%s] in the help, the default of -%s", value, f.Name)
		}
	})
}

func TestWrongCommandLines(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-nope", "not defined: -nope"},
		{"-users many", "-users"},
		{"-users 0", "users: want 1 to 1000000"},
		{"-mix watches=1", `want shares such as "phones=80,hand=10,tokens=10"`},
		{"-mix phones=0", "mix: want at least one kind of device"},
		{"-years NaN", "years: want"},
		{"-workers -1", "workers: want 0 or more"},
		{"-json fleet.json", `unexpected argument "fleet.json"`},
	} {
		status, out, err := try(strings.Fields(tt.args)...)
		if status != statusUsage || out != "" || !strings.HasPrefix(err, "fleet: error: ") || !strings.Contains(err, tt.want) || !strings.Contains(err, "\nfleet: hint: ") {
			t.Errorf("%s: status %d, %q, %q; want %d and %q", tt.args, status, out, err, statusUsage, tt.want)
		}
	}
}

func TestPlotThatCannotBeWritten(t *testing.T) {
	status, out, err := try(append(small, "-svg", filepath.Join(t.TempDir(), "no", "fleet.svg"))...)
	if status != statusError || !strings.Contains(out, "lockstep") || !strings.Contains(err, "no such file") {
		t.Errorf("status %d, %q; want %d, the table all the same, and the reason", status, err, statusError)
	}
}

func TestBar(t *testing.T) {
	if progress(&strings.Builder{}) != nil {
		t.Error("a bar where there is no terminal")
	}
	var b strings.Builder
	draw := bar(&b)
	for i := range 1000 {
		draw(i+1, 1000)
	}
	text := b.String()
	if n := strings.Count(text, "%"); n != 100 {
		t.Errorf("drawn %d times for 1000 people, want 100", n)
	}
	if last := text[strings.LastIndex(text[:len(text)-1], "\r"):]; strings.TrimSpace(last) != "" {
		t.Errorf("ends with %q, want an empty line", last)
	}
}
