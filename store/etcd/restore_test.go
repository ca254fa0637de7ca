package etcd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/store"
	"lockstep/verifier"
)

var restoredAt = time.UnixMilli(1_700_000_000_123).UTC()

func backupBytes(t *testing.T, s store.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := store.Backup(t.Context(), s, &b, store.BackupHead{Made: restoredAt}, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func reader(t *testing.T, b []byte) *store.BackupReader {
	t.Helper()
	r, err := store.NewBackupReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func all(t *testing.T, s store.Store) map[string]verifier.State {
	t.Helper()
	got := map[string]verifier.State{}
	if err := s.List(t.Context(), func(id string, state verifier.State) error { got[id] = state; return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

// A cluster takes a backup where there is nothing, once; while that is not whole nobody
// is told that it is well, and to begin again does it.
func TestRestore(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	from := open(t, Options{Endpoints: c.Endpoints(), Prefix: newPrefix()})
	want := map[string]verifier.State{}
	for i := range 600 {
		id, s := fmt.Sprintf("key:%04d", i), verifier.State{Floor: 1, Spent: []int64{int64(i) + 5}}
		if err := from.CompareAndSwap(t.Context(), id, 0, s); err != nil {
			t.Fatal(err)
		}
		want[id] = s
	}
	b := backupBytes(t, from)
	if err := from.Restore(t.Context(), reader(t, b), restoredAt, nil); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("over other States: %v", err)
	}
	prefix := newPrefix()
	server, to := open(t, Options{Endpoints: c.Endpoints(), Prefix: prefix}), open(t, Options{Endpoints: c.Endpoints(), Prefix: prefix})
	if at, err := server.Restored(t.Context()); !at.IsZero() || err != nil {
		t.Errorf("at first: %v, %v", at, err)
	}
	if err := to.Restore(t.Context(), reader(t, b[:len(b)-5]), restoredAt, nil); !errors.Is(err, store.ErrBackup) {
		t.Errorf("cut short: %v", err)
	}
	testenv.Eventually(t, "the server to hear of it", func() bool {
		_, err := server.Restored(t.Context())
		return errors.Is(err, ErrHalfRestored)
	})
	if err := to.MarkRestored(t.Context(), restoredAt); !errors.Is(err, ErrHalfRestored) {
		t.Errorf("half of it counts as whole: %v", err)
	}
	if err := to.Restore(t.Context(), reader(t, b), restoredAt, nil); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the server to hear of the end", func() bool {
		at, err := server.Restored(t.Context())
		return err == nil && at.Equal(restoredAt)
	})
	if got := all(t, server); !reflect.DeepEqual(got, want) {
		t.Errorf("%d of %d records, or others", len(got), len(want))
	}
	if err := server.MarkRestored(t.Context(), restoredAt.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if at, err := server.Restored(t.Context()); !at.Equal(restoredAt.Add(time.Hour)) || err != nil {
		t.Errorf("marked again: %v, %v", at, err)
	}
}

// dump is what a release has left in a cluster.
type dump struct {
	Records map[string]string // by key, below the prefix: the value in base64
	States  map[string]verifier.State
	Cluster string // the key, in base64
}

const dumpEnv = "LOCKSTEP_WRITE_FIXTURE"

func TestWriteDump(t *testing.T) {
	release := os.Getenv(dumpEnv)
	if release == "" {
		t.Skip(dumpEnv + " names no release")
	}
	d := dump{Records: map[string]string{}, States: map[string]verifier.State{
		"key:1":                   {},
		"key:2":                   {Floor: 3, Spent: []int64{9, 58_333_333}, Recent: []verifier.Spent{{Step: 9, At: noon, By: "vpn"}}, Last: verifier.Login{From: 7, Server: 9, Input: 11}},
		"delegated:uid=alice,x=é": {Failures: 4, Sources: []verifier.SourceFailures{{Source: "home", Count: 4, Last: noon, Input: 3, Kind: verifier.Denied}}},
	}}
	for id, s := range d.States {
		value, err := encodeRecord(s)
		if err != nil {
			t.Fatal(err)
		}
		d.Records["state/"+id] = base64.StdEncoding.EncodeToString(value)
	}
	ring := firstKeys()
	value, err := encodeKeyring(ring)
	if err != nil {
		t.Fatal(err)
	}
	d.Records["keys/shared"] = base64.StdEncoding.EncodeToString(value)
	d.Records["restored"] = base64.StdEncoding.EncodeToString(encodeRestored(restoredAt))
	d.Cluster = base64.StdEncoding.EncodeToString(ring.Cluster)
	text, err := json.MarshalIndent(d, "", "\t")
	if err == nil {
		err = os.MkdirAll("testdata", 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join("testdata", release+".json"), append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What every release since has written into a cluster is read as it was meant.
func TestRecordsOfEarlierReleasesAreRead(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	c := testenv.Etcd(t, 1)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d dump
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		s := open(t, Options{Endpoints: c.Endpoints(), Prefix: newPrefix(), Now: func() time.Time { return noon }})
		for key, value := range d.Records {
			raw, err := base64.StdEncoding.DecodeString(value)
			if err == nil {
				err = s.swap(t.Context(), s.opts.Prefix+key, 0, raw)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := all(t, s); !reflect.DeepEqual(got, d.States) {
			t.Errorf("%s: %+v; want %+v", name, got, d.States)
		}
		if keys, err := s.Keys(t.Context()); err != nil || base64.StdEncoding.EncodeToString(keys.Cluster.Reveal()) != d.Cluster {
			t.Errorf("%s: the keys: %v", name, err)
		}
		if at, err := s.Restored(t.Context()); err != nil || !at.Equal(restoredAt) {
			t.Errorf("%s: restored at %v, %v", name, at, err)
		}
	}
}

func TestANewerRecordIsRefused(t *testing.T) {
	value, err := encodeRecord(verifier.State{})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, headBytes} {
		newer := bytes.Clone(value)
		newer[at] = 9
		if _, err := decodeRecord(newer); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "written by a newer lockstep") {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}
