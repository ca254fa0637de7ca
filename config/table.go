package config

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// document is one configuration file while it is being checked.
type document struct {
	file    string // as the caller named it
	dir     string // absolute; relative paths start here
	places  map[string]place
	files   files
	tables  []*table // all that were read
	faults  []placedFault
	faulty  map[string]bool // paths that have a fault
	secrets []string        // paths of secret files
}

type placedFault struct {
	Fault
	offset int
}

// table is one table of the document. Its getters note which keys there are;
// what the file holds besides is unknown.
type table struct {
	doc    *document
	path   string // "" at the top
	values map[string]any
	known  []string
	broken bool // is no table, which has been said: no faults from it
}

// fault reports key, which may be an element such as listen[1]. Only the first
// fault of a key counts, so that a check need not ask whether an earlier one
// has failed. A key that is missing has the line of its table.
func (t *table) fault(key, format string, args ...any) {
	path := key
	if t.path != "" {
		path = t.path + "." + key
	}
	d := t.doc
	if t.broken || d.faulty[path] {
		return
	}
	d.faulty[path] = true
	at, ok := d.places[path]
	if !ok {
		at = d.places[t.path]
	}
	d.faults = append(d.faults, placedFault{Fault{File: d.file, Line: at.line, Key: path, Message: fmt.Sprintf(format, args...)}, at.offset})
}

// sorted returns the faults in the order of the file, those without a line last.
func (d *document) sorted() Faults {
	slices.SortStableFunc(d.faults, func(a, b placedFault) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Compare(a.offset, b.offset)
	})
	var faults Faults
	for _, f := range d.faults {
		faults = append(faults, f.Fault)
	}
	return faults
}

func (d *document) table(path string, values map[string]any) *table {
	t := &table{doc: d, path: path, values: values}
	d.tables = append(d.tables, t)
	return t
}

// sub returns the table under key, an empty one if there is none.
func (t *table) sub(key string) *table {
	t.known = append(t.known, key)
	v, there := t.values[key]
	values, ok := v.(map[string]any)
	sub := t.doc.table(join(t.path, key), values)
	if there && !ok {
		t.fault(key, "want a table: [%s]", sub.path)
	}
	sub.broken = t.broken || there && !ok
	return sub
}

// subs returns the tables of the array of tables under key.
func (t *table) subs(key string) (subs []*table) {
	t.known = append(t.known, key)
	path := join(t.path, key)
	v, there := t.values[key]
	switch v := v.(type) {
	case []map[string]any: // [[key]]
		for i, values := range v {
			subs = append(subs, t.doc.table(element(path, i), values))
		}
	case []any: // key = [{…}]
		for i, v := range v {
			values, ok := v.(map[string]any)
			if !ok {
				t.fault(element(key, i), "want a table: [[%s]]", path)
			}
			subs = append(subs, t.doc.table(element(path, i), values))
			subs[i].broken = !ok
		}
	default:
		if there {
			t.fault(key, "want a table with two pairs of brackets for each: [[%s]]", path)
		}
	}
	return subs
}

func get[T any](t *table, key, want string, fallback T) T {
	t.known = append(t.known, key)
	v, ok := t.values[key]
	if !ok {
		return fallback
	}
	typed, ok := v.(T)
	if !ok {
		t.fault(key, "want %s", want)
		return fallback
	}
	return typed
}

func (t *table) text(key, fallback string) string {
	return get(t, key, "a string, in quotes", fallback)
}

// required returns a string that must be there and not be empty.
func (t *table) required(key, example string) string {
	v := t.text(key, "")
	if v == "" {
		t.fault(key, "required; for example %q", example)
	}
	return v
}

func (t *table) flag(key string, fallback bool) bool {
	return get(t, key, "true or false", fallback)
}

func (t *table) count(key string, fallback, low, high int) int {
	want := fmt.Sprintf("a whole number from %d to %d", low, high)
	v := get(t, key, want, int64(fallback))
	if v < int64(low) || v > int64(high) {
		t.fault(key, "want %s", want)
		return fallback
	}
	return int(v)
}

func (t *table) duration(key string, fallback, low, high time.Duration) time.Duration {
	const want = `a duration such as "3s"`
	text := get(t, key, want, fallback.String())
	v, err := time.ParseDuration(text)
	if err != nil {
		t.fault(key, "want "+want)
	} else if v < low || v > high {
		t.fault(key, "want a duration from %s to %s", low, high)
	}
	return v
}

// oneOf returns a string that must be one of choices, the first by default.
func (t *table) oneOf(key string, choices ...string) string {
	v := t.text(key, choices[0])
	if !slices.Contains(choices, v) {
		quoted := make([]string, len(choices))
		for i, choice := range choices {
			quoted[i] = fmt.Sprintf("%q", choice)
		}
		t.fault(key, "want %s", strings.Join(quoted, " or "))
	}
	return v
}

func (t *table) list(key string, fallback ...string) []string {
	const want = `a list of strings, such as ["one", "two"]`
	t.known = append(t.known, key)
	v, there := t.values[key]
	if !there {
		return fallback
	}
	elements, ok := v.([]any)
	if !ok {
		t.fault(key, "want "+want)
		return fallback
	}
	texts := make([]string, len(elements))
	for i, v := range elements {
		if texts[i], ok = v.(string); !ok {
			t.fault(element(key, i), "want a string, in quotes")
		}
	}
	return texts
}

// absolute returns path as seen from the directory of the configuration, and
// "" as it is.
func (d *document) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.dir, path)
}

// unknown reports the keys of the file that no getter has asked for. It never
// shows a value: somebody may have put the secret where its file's name belongs.
func (d *document) unknown() {
	for _, t := range d.tables {
		for _, key := range slices.Sorted(maps.Keys(t.values)) {
			if slices.Contains(t.known, key) {
				continue
			}
			message := "no such setting"
			if hint := d.meant(t, key); hint != "" {
				message += fmt.Sprintf("; did you mean %q?", hint)
			}
			t.fault(join("", key), "%s", message)
		}
	}
}
