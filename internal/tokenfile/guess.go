package tokenfile

import (
	"bytes"
	"strings"
)

// guess returns the format that data begins like, or "". It never decides what
// is in the file: the reader of the format does, and refuses what is not so.
func guess(data []byte) string {
	line := firstLine(data)
	switch lower := strings.ToLower(line); {
	case strings.HasPrefix(line, "<"):
		return PSKC
	case strings.HasPrefix(line, "["), strings.HasPrefix(line, fernetPrefix):
		return PrivacyIDEA
	case strings.HasPrefix(lower, "otpauth://"):
		return OTPAuth
	case strings.HasPrefix(lower, "dn:"), lower == "version: 1", lower == "version:1":
		return FreeIPA
	}
	cells := cells(line)
	switch {
	case isHeader(cells, csvColumns):
		return CSV
	case isHeader(cells, ideaColumns), ideaLayout(cells) != nil:
		return PrivacyIDEA
	case bytes.Contains(data, []byte("\n\" ")):
		return GoogleAuthenticator
	}
	return ""
}

// firstLine returns the first line that is neither blank nor a comment, or as
// much of it as matters.
func firstLine(data []byte) string {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return string(line[:min(len(line), 4096)])
		}
	}
	return ""
}

// cells cuts a line of CSV roughly, in lower case.
func cells(line string) []string {
	cells := strings.Split(strings.ToLower(line), string(separator(line)))
	for i, c := range cells {
		cells[i] = strings.Trim(c, ` "`)
	}
	return cells
}

// isHeader reports whether every cell names a column.
func isHeader(cells []string, columns map[string]string) bool {
	for _, c := range cells {
		if columns[c] == "" {
			return false
		}
	}
	return true
}
