package bolt

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/store"
	"lockstep/verifier"
)

// fixtureEnv names the release to write a fixture of; see testdata/README.
const fixtureEnv = "LOCKSTEP_WRITE_FIXTURE"

var fixtureTime = time.UnixMilli(1_750_000_000_250).UTC()

// fixtureStates are what a fixture holds: something in every field, with the least
// and the most that there is.
func fixtureStates() map[string]verifier.State {
	clock := verifier.Clock{At: fixtureTime, Offset: verifier.Offsets{Low: -540 * time.Second, High: -531 * time.Second}, Rate: verifier.Rates{Low: -2000, High: 60_000},
		Since: fixtureTime.Add(-time.Hour), Start: verifier.Offsets{Low: -545 * time.Second, High: -530 * time.Second}}
	former := clock
	former.Offset = verifier.Offsets{Low: time.Second, High: 78 * time.Second}
	all := map[string]verifier.State{
		"key:00000000000000000000000000000001": {},
		"key:00000000000000000000000000000002": {Floor: -7, Spent: []int64{1, 2, 300, 58_333_333}, Clock: clock,
			Recent: []verifier.Spent{{Step: 58_333_333, At: fixtureTime, By: "vpn"}, {Step: 300, At: fixtureTime.Add(-time.Hour), By: "admin"}},
			Last:   verifier.Login{From: 1<<63 | 1, Server: 5, Input: 0xfffe}},
		"key:00000000000000000000000000000003": {Former: former, Far: verifier.Far{At: fixtureTime, Source: "2001:db8::1", Steps: []int64{-5, 58_333_300, 58_334_000}}, Failures: 100,
			Sources: []verifier.SourceFailures{{Source: "192.0.2.1", Count: 7, Last: fixtureTime, Input: 513, Kind: verifier.Denied}, {Source: "näher\x00", Count: 1, Last: fixtureTime, Kind: verifier.WrongCode}}},
		"delegated:uid=alice,dc=example,dc=org": {Recent: []verifier.Spent{{Step: 65_536, At: fixtureTime, By: "ssh"}}, Failures: 2},
		"\xff odd \x00 id":                      {Failures: 1<<32 - 1},
	}
	return all
}

func TestWriteFixture(t *testing.T) {
	release := os.Getenv(fixtureEnv)
	if release == "" {
		t.Skip(fixtureEnv + " names no release")
	}
	dir := filepath.Join("testdata", release)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{limits: limits{first: 4 << 10, segment: 4 << 10, table: 8 << 10, chunk: 100}})
	if release != "before-restore" {
		if err := s.MarkRestored(t.Context(), fixtureTime); err != nil {
			t.Fatal(err)
		}
	}
	states := fixtureStates()
	for range 20 { // so that there are a file and two segments
		for id, state := range states {
			_, v, _ := s.Load(t.Context(), id)
			if err := s.CompareAndSwap(t.Context(), id, v, state); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.CompareAndSwap(t.Context(), "deleted", 0, states["delegated:uid=alice,dc=example,dc=org"]); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), "deleted"); err != nil {
			t.Fatal(err)
		}
	}
	var backup bytes.Buffer
	if _, err := store.Backup(t.Context(), s, &backup, store.BackupHead{Made: fixtureTime, Restored: fixtureTime, Engine: "bolt", Program: release}, nil); err != nil {
		t.Fatal(err)
	}
	pack(t, filepath.Join(dir, "backup.gz"), backup.Bytes())
	packAll(t, dir, "killed", copyState(t, path))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	packAll(t, dir, "closed", path)
	// Ids are bytes, and JSON is text: they are quoted as Go does.
	text, err := json.MarshalIndent(quoted(states), "", "\t")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "states.json"), append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func pack(t *testing.T, name string, data []byte) {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = os.WriteFile(name, b.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// packAll packs a state file and its log into a folder of dir.
func packAll(t *testing.T, dir, folder, path string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(path + "*")
	for _, name := range names {
		if data, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		} else if name != lockPath(path) {
			pack(t, filepath.Join(dir, folder, filepath.Base(name)+".gz"), data)
		}
	}
}

func unpack(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What every release since has written is read, as it was meant: a file that was
// closed, one that was killed, and a backup.
func TestFilesOfEarlierReleasesAreRead(t *testing.T) {
	releases, err := filepath.Glob(filepath.Join("testdata", "*", "states.json"))
	if err != nil || len(releases) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, name := range releases {
		dir := filepath.Dir(name)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]verifier.State
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		for _, folder := range []string{"closed", "killed"} {
			t.Run(filepath.Base(dir)+" "+folder, func(t *testing.T) {
				to := t.TempDir()
				names, _ := filepath.Glob(filepath.Join(dir, folder, "*.gz"))
				if folder == "killed" && len(names) < 2 {
					t.Error("there is no log")
				}
				for _, name := range names {
					if err := os.WriteFile(filepath.Join(to, strings.TrimSuffix(filepath.Base(name), ".gz")), unpack(t, name), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				s := open(t, filepath.Join(to, "state.db"), Options{})
				wantStates(t, s, want)
				restored := fixtureTime
				if strings.HasSuffix(dir, "before-restore") {
					restored = time.Time{}
				}
				wantRestored(t, s, restored)
				write(t, s, "new", 1)
			})
		}
		t.Run(filepath.Base(dir)+" backup", func(t *testing.T) {
			r, err := store.NewBackupReader(bytes.NewReader(unpack(t, filepath.Join(dir, "backup.gz"))))
			path := filepath.Join(t.TempDir(), "state.db")
			if err == nil {
				err = Restore(t.Context(), path, r, fixtureTime, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			bare := map[string]verifier.State{}
			for id, s := range want {
				bare[id] = store.Bare(s)
			}
			wantStates(t, open(t, path, Options{}), bare)
		})
	}
}

func wantStates(t *testing.T, s store.Store, want map[string]verifier.State) {
	t.Helper()
	got := map[string]verifier.State{}
	if err := s.List(context.Background(), func(id string, state verifier.State) error { got[id] = state; return nil }); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(quoted(got), normal(t, want)) {
		t.Errorf("%+v; want %+v", got, want)
	}
}

// quoted has ids that JSON can hold.
func quoted(states map[string]verifier.State) map[string]verifier.State {
	all := map[string]verifier.State{}
	for id, s := range states {
		all[strings.Trim(strconv.QuoteToASCII(id), `"`)] = s
	}
	return all
}

// normal is states as a store returns them: empty lists are nil.
func normal(t *testing.T, states map[string]verifier.State) map[string]verifier.State {
	t.Helper()
	all := map[string]verifier.State{}
	for id, s := range states {
		same, err := store.Decode(store.Encode(s))
		if err != nil {
			t.Fatal(err)
		}
		all[id] = same
	}
	return all
}
