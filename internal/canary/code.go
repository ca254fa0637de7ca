package canary

import (
	"fmt"
	"math"
	"strconv"
)

// Code adds a code of 6 to 8 digits to what is looked for. It is found where no digit
// comes before or after it: in clear, in two halves, as a number in hexadecimal, and
// in the forms of a value.
func (f *Finder) Code(name, digits string) {
	if len(digits) < 6 || len(digits) > 8 {
		panic(fmt.Sprintf("canary: %s has %d digits", name, len(digits)))
	}
	if f.codes == nil {
		f.codes = map[int]map[string]bool{}
	}
	if f.codes[len(digits)] == nil {
		f.codes[len(digits)] = map[string]bool{}
	}
	f.codes[len(digits)][digits] = true
	half := len(digits) / 2
	f.add(pattern{name: name, form: "it is", text: digits, alone: true})
	for _, sep := range []string{" ", "-"} {
		f.add(pattern{name: name, form: "two halves", text: digits[:half] + sep + digits[half:], alone: true})
	}
	// Tracebacks show numbers so.
	if n, err := strconv.Atoi(digits); err == nil && n > 0xffff {
		for _, end := range []string{",", ")", " ", "\n", `"`} {
			f.add(pattern{name: name, form: "a number in hex", text: fmt.Sprintf("0x%x", n) + end})
		}
	}
	f.octets(name, "", []byte(digits), len(digits))
	wide := little([]byte(digits))
	f.windows(name, "UTF-16LE", pieces(wide, "%c"), "", len(wide))
	f.octets(name, "UTF-16LE ", wide, len(wide))
}

// Chance returns how many codes should be found in data in clear if all the runs of
// digits in it were random.
//
//go:norace
func (f *Finder) Chance(data []byte) (expected float64) {
	run := 0
	for i := range len(data) + 1 {
		if i < len(data) && isDigit(data[i]) {
			run++
			continue
		}
		if n := len(f.codes[run]); n > 0 {
			expected += float64(n) / math.Pow10(run)
		}
		run = 0
	}
	return expected
}
