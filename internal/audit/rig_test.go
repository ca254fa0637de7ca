package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func fileOptions(path string) Options { return Options{File: path, Host: "here", Log: quiet()} }

func mustOpen(t testing.TB, o Options, dial dialer) *Trail {
	t.Helper()
	trail, err := open(o, dial)
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

func mustClose(t testing.TB, trail *Trail) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := trail.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// session adds n records to the file at path, as one process.
func session(t testing.TB, path string, n int) {
	t.Helper()
	trail := mustOpen(t, fileOptions(path), nil)
	for i := range n {
		trail.Record(t.Context(), "login", slog.String("user", fmt.Sprint("u", i)), slog.String("result", "accept"))
	}
	mustClose(t, trail)
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func verify(files ...[]byte) (*Verifier, error) {
	v := &Verifier{}
	for i, b := range files {
		if err := v.File(fmt.Sprint("file", i+1), bytes.NewReader(b)); err != nil {
			return v, err
		}
	}
	return v, nil
}

func why(err error) string {
	if bad := (*BadLine)(nil); errors.As(err, &bad) {
		return fmt.Sprintf("%s:%d: %s", bad.File, bad.Line, bad.Why)
	}
	return fmt.Sprint(err)
}

// records returns the lines of the files that are records, decoded.
func records(t testing.TB, files ...[]byte) (all []map[string]any) {
	t.Helper()
	for _, b := range files {
		for line := range strings.Lines(string(b)) {
			var r map[string]any
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if r["seq"] != nil {
				all = append(all, r)
			}
		}
	}
	return all
}

func tempFile(t testing.TB) string { return filepath.Join(t.TempDir(), "audit.log") }
