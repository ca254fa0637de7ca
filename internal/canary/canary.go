// Package canary finds secrets in what a program has written: logs, errors,
// replies, files, memory. It is imported by tests only.
//
// A secret seldom gets out as it is. So a [Finder] looks for every run of eight
// octets of a value, and for them in hexadecimal with and without separators, in
// decimal and octal, in base32 and base64 however they are aligned, quoted as Go and
// JSON do, percent-encoded, and in UTF-16; lines may be folded, and letters may be
// of either case. It promises to find these. It does not promise to find what was
// compressed, encrypted, hashed or reversed, nor fewer than eight octets of a value.
//
// Codes have six to eight digits, which may be somewhere by accident. They are found
// only where they stand alone, and [Finder.Chance] says how likely that is.
package canary

import (
	"cmp"
	"fmt"
	"slices"
)

// Leak is a secret that was found. It holds nothing of it.
type Leak struct {
	Name   string // of the secret
	Form   string // how it was written
	Offset int    // of the first octet that shows it
}

// String says what was found, and where.
func (l Leak) String() string { return fmt.Sprintf("%s as %s at octet %d", l.Name, l.Form, l.Offset) }

// Finder looks for secrets. The zero Finder knows none. It may be used by several
// goroutines at once when all secrets have been added.
type Finder struct {
	patterns map[uint64][]pattern // by their first octets
	seen     filter               // which of those there are
	codes    map[int]map[string]bool
}

// pattern is a run of octets that gives a secret away.
type pattern struct {
	name, form string
	text       string // folded
	alone      bool   // found only where no digit comes before or after
}

// head is how many octets of a pattern are looked up at once. None is shorter.
const head = 6

// filter tells quickly that something is not in a set, and else that it may be.
type filter [1 << 15]uint64

//go:norace
func (f *filter) place(x uint64) (word, bit uint64) {
	h := x * 0x9e3779b97f4a7c15 >> 43 // 21 bits
	return h >> 6, 1 << (h & 63)
}

func (f *filter) add(x uint64) {
	word, bit := f.place(x)
	f[word] |= bit
}

//go:norace
func (f *filter) has(x uint64) bool {
	word, bit := f.place(x)
	return f[word]&bit != 0
}

// fold makes letters of ASCII small.
var fold = func() (table [256]byte) {
	for i := range table {
		table[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			table[i] += 'a' - 'A'
		}
	}
	return table
}()

func folded(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = fold[b[i]]
	}
	return string(b)
}

// join puts the octets of a head into a number.
func join(text string) (x uint64) {
	for i := range head {
		x = x<<8 | uint64(text[i])
	}
	return x
}

func (f *Finder) add(p pattern) {
	p.text = folded(p.text)
	if f.patterns == nil {
		f.patterns = map[uint64][]pattern{}
	}
	x := join(p.text)
	for _, there := range f.patterns[x] {
		if there.text == p.text && there.name == p.name {
			return
		}
	}
	f.patterns[x] = append(f.patterns[x], p)
	f.seen.add(x)
}

// Find returns where data gives secrets away, in the order of data: the first place
// of each secret in each form. None is nil.
func (f *Finder) Find(data []byte) (leaks []Leak) {
	found := map[[2]string]bool{}
	for at, x := f.next(data, 0); at < len(data); at, x = f.next(data, at+1) {
		for _, p := range f.patterns[x] {
			if kind := [2]string{p.name, p.form}; !found[kind] && p.is(data, at) {
				found[kind] = true
				leaks = append(leaks, Leak{p.name, p.form, at})
			}
		}
	}
	slices.SortStableFunc(leaks, func(a, b Leak) int { return cmp.Compare(a.Offset, b.Offset) })
	return leaks
}

// next returns the first place from at on where a pattern may begin, and its head;
// the length of data if there is none. The race detector would have it take an hour
// for the memory of a process.
//
//go:norace
func (f *Finder) next(data []byte, at int) (int, uint64) {
	const mask = 1<<(8*head) - 1
	x := uint64(0)
	for i := at; i < len(data); i++ {
		x = (x<<8 | uint64(fold[data[i]])) & mask
		if i >= at+head-1 && f.seen.has(x) {
			return i - head + 1, x
		}
	}
	return len(data), 0
}

// is reports whether the pattern is in data at that place.
func (p *pattern) is(data []byte, at int) bool {
	end := at + len(p.text)
	if end > len(data) {
		return false
	}
	for i := range len(p.text) {
		if fold[data[at+i]] != p.text[i] {
			return false
		}
	}
	return !p.alone || (at == 0 || !isDigit(data[at-1])) && (end == len(data) || !isDigit(data[end]))
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }
