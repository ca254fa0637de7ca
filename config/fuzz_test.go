package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

var seeds = []string{
	"", Example, full(), with("client", ""), with("client", `"a.b\n" = 1`),
	"\ufeffa.\"b\" . 'c' = [1, [{x.y = \"\"\"\n\\\"\"\"\"\"}], # ]\n]\n[a.d]\n[[t]]\nx=1\n[[t.u]]\n[t.u.v]\r\n[[t]]\n[[t.u]]\n'x\ty' = '''\n'''''",
	"a = 1979-05-27 07:32:00\nb = { c = [\n1,\n], # x\n d.e = 2 }\n\"\\u00e9\" = 3\n",
	"\xff\xfe",
	"directory = 1\nradius.client = [{}, {address = \"::/0\"}]",
}

func FuzzParse(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse("c.toml", text, fakeFiles)
		if err == nil {
			c.Warnings()
			return
		}
		faults, ok := errors.AsType[Faults](err)
		if !ok || len(faults) == 0 || c != nil {
			t.Fatalf("%v, %T: %v", c, err, err)
		}
		lines := strings.Count(text, "\n") + 1
		for _, fault := range faults {
			if fault.File != "c.toml" || fault.Line < 0 || fault.Line > lines || fault.Message == "" || strings.ContainsFunc(fault.String(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("fault %+q of a text of %d lines", fault, lines)
			}
		}
	})
}

// FuzzIndex holds the index to the library: it has every key that the library
// found, and none besides.
func FuzzIndex(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		places := indexKeys(text)
		values, fault := decode(text)
		if fault != nil {
			return
		}
		var want []string
		paths("", values, &want)
		slices.Sort(want)
		if slices.ContainsFunc(want, func(path string) bool { return len(path) > maxPath }) {
			return
		}
		if got := slices.Sorted(maps.Keys(places)); !slices.Equal(got, want) {
			t.Errorf("the index has\n%q\nthe library\n%q", got, want)
		}
	})
}

func TestIndexOfDeepNestingIsSmall(t *testing.T) {
	const depth = 20_000 // took gigabytes when paths had no limit
	places := indexKeys("a = " + strings.Repeat("[", depth) + strings.Repeat("]", depth))
	size := 0
	for path := range places {
		size += len(path)
	}
	if size > 16<<20 {
		t.Errorf("paths take %d octets", size)
	}
}

// paths appends the paths of all that is in v.
func paths(path string, v any, list *[]string) {
	if path != "" {
		*list = append(*list, path)
	}
	switch v := v.(type) {
	case map[string]any:
		for key, v := range v {
			paths(join(path, key), v, list)
		}
	case []map[string]any:
		for i, v := range v {
			paths(element(path, i), v, list)
		}
	case []any:
		for i, v := range v {
			paths(element(path, i), v, list)
		}
	}
}
