package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockstep/config"
	"lockstep/pam"
)

// settings are those of a configuration, by table as it stands in the file, such as
// [[radius.client]], and by name. A value is as it is written, empty if the
// setting has no default.
type settings map[string]map[string]string

var (
	exampleTable = regexp.MustCompile(`^#?(\[+[a-z._]+\]+)$`)
	exampleKey   = regexp.MustCompile(`^(#?)([a-z_]+) *= *(.*)$`)
)

// settingsOf returns the settings of a commented example. Those that are commented
// out have their default; top is what those before the first table are under.
func settingsOf(example, top string) settings {
	all, table := settings{}, top
	for line := range strings.SplitSeq(example, "\n") {
		if m := exampleTable.FindStringSubmatch(line); m != nil {
			table = m[1]
		} else if m := exampleKey.FindStringSubmatch(line); m != nil {
			if m[1] == "" {
				m[3] = ""
			}
			all.set(table, m[2], m[3])
		}
	}
	return all
}

func (s settings) set(table, key, value string) {
	if s[table] == nil {
		s[table] = map[string]string{}
	}
	s[table][key] = value
}

var keyHead = regexp.MustCompile(`^Cm ([a-z_]+)(?: No = (.*))?$`)

// settingsIn returns the settings that a page describes.
func settingsIn(p page) settings {
	all := settings{}
	for _, s := range p.sections {
		for _, i := range s.items {
			if m := keyHead.FindStringSubmatch(i.head); m != nil {
				all.set(s.title, m[1], strings.ReplaceAll(m[2], `\(dq`, `"`))
			}
		}
	}
	return all
}

// The examples are held to the code in their own packages, the pages to them here.
func TestManualHasEverySetting(t *testing.T) {
	// What the example shows of these is no default, but something to begin with.
	shown := []string{"domains", "name", "group", "client"}
	all := pages(t)
	for _, tt := range []struct{ file, example string }{
		{"lockstep.toml.5", config.Example},
		{"pam.toml.5", pam.Example},
	} {
		known, described := settingsOf(tt.example, "Top"), settingsIn(pageNamed(t, all, tt.file))
		delete(known, "[radius.rule.reply]") // whatever the dictionaries have
		for table, keys := range known {
			for key, value := range keys {
				told, ok := described[table][key]
				example := slices.Contains(shown, key) && (table == "[directory]" || table == "[[radius.rule]]")
				switch {
				case !ok:
					t.Errorf("%s: %s in %s is missing", tt.file, key, table)
				case told != value && !example:
					t.Errorf("%s: %s in %s: the default is said to be %s, and is %s", tt.file, key, table, told, value)
				}
			}
		}
		for table, keys := range described {
			for key := range keys {
				if _, ok := known[table][key]; !ok {
					t.Errorf("%s: there is no %s in %s", tt.file, key, table)
				}
			}
		}
	}
}

// The module's arguments are read in the helper, by name.
func TestManualHasEveryArgumentOfTheModule(t *testing.T) {
	code, err := os.ReadFile("../../pam/options.go")
	if err != nil {
		t.Fatal(err)
	}
	var known, described []string
	for _, m := range regexp.MustCompile(`case (?:arg|name) == "([a-z_]+)(?:=\d)?"`).FindAllSubmatch(code, -1) {
		known = append(known, string(m[1]))
	}
	arguments, _ := pageNamed(t, pages(t), "pam_lockstep.8").section("ARGUMENTS")
	for _, i := range arguments.items {
		described = append(described, strings.Fields(i.head)[1])
	}
	slices.Sort(known)
	slices.Sort(described)
	if known = slices.Compact(known); len(known) < 5 || !slices.Equal(known, described) {
		t.Errorf("the helper knows the arguments\n%q\npam_lockstep.8 has\n%q", known, described)
	}
}
