package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// RadclientReply is what radclient received.
type RadclientReply struct {
	Code       string              // such as "Access-Accept"; empty if no reply verified in time
	Attributes map[string][]string // by name, as radclient prints them: text is quoted, State is hexadecimal
	Output     string              // all that it printed, passwords included
}

// Radclient sends one request by FreeRADIUS's radclient and returns the reply.
// It waits for three seconds, longer than a reject is delayed, and does not
// send twice; further options, which come last, can change that.
//
// Server is host:port. Kind is auth, acct or status. The attributes are in
// radclient's syntax, separated by commas or line ends; radclient adds no
// Message-Authenticator unless one is listed, as "Message-Authenticator = 0x00".
func Radclient(t testing.TB, server, kind, secret, attributes string, options ...string) RadclientReply {
	t.Helper()
	program := Tool(t, "radclient")
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	arguments := append([]string{"-x", "-r", "1", "-t", "3", "-S", secretFile}, options...)
	cmd := exec.CommandContext(t.Context(), program, append(arguments, server, kind)...)
	cmd.Stdin = strings.NewReader(attributes + "\n")
	output, err := cmd.CombinedOutput()
	// A reject and silence are not success for radclient, but are here.
	if _, ended := err.(*exec.ExitError); err != nil && !ended {
		t.Fatalf("run radclient: %v", err)
	}
	return parseRadclient(string(output))
}

func parseRadclient(output string) RadclientReply {
	r := RadclientReply{Attributes: make(map[string][]string), Output: output}
	received := false
	for line := range strings.Lines(output) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "\t") {
			var rest string
			rest, received = strings.CutPrefix(line, "Received ")
			if received {
				r.Code, _, _ = strings.Cut(rest, " ")
			}
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if received && ok {
			r.Attributes[name] = append(r.Attributes[name], value)
		}
	}
	return r
}
