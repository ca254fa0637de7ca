package config

import (
	"regexp"
	"slices"
	"strings"
)

var indices = regexp.MustCompile(`\[\d+\]`)

// meant returns the setting that somebody who wrote the unknown key in t most
// likely had in mind, "" if none is near: one of t spelt nearly so, or one
// that bears the name in another table.
func (d *document) meant(t *table, key string) string {
	best, least := "", 3
	for _, known := range t.known {
		distance := editDistance(key, known)
		if len(key) >= 4 && strings.Contains(known, key) {
			distance = 1
		}
		if distance < least && distance < len(key)/2+1 {
			best, least = known, distance
		}
	}
	if best != "" {
		return best
	}
	for _, other := range d.tables {
		if other != t && slices.Contains(other.known, key) {
			return indices.ReplaceAllString(join(other.path, key), "")
		}
	}
	return ""
}

// editDistance counts the octets to insert, delete or change to get from a to b
// (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
