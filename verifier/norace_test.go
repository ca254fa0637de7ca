//go:build !race

package verifier

import "testing"

func long(*testing.T) {}
