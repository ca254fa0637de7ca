package verifier

import "bytes"

// split is one way to read what was typed.
type split struct {
	password []byte
	code     []byte
}

// splits returns every way in which typed can hold a code of so many digits:
// at the end, in front, or alone, which is both with nothing left. A separator
// (0 for none) that stands between password and code belongs to neither. Which
// of them is meant is decided by which code verifies.
func splits(typed []byte, digits int, separator byte) []split {
	n := len(typed) - digits
	if n < 0 {
		return nil
	}
	all := make([]split, 0, 2)
	if code := typed[n:]; isDigits(code) {
		all = append(all, split{cutSuffix(typed[:n], separator), code})
	}
	if code := typed[:digits]; n > 0 && isDigits(code) {
		all = append(all, split{cutPrefix(typed[digits:], separator), code})
	}
	return all
}

// alone reads typed as nothing but a code. Spaces are passed over, because
// authenticator apps show a code in two groups.
func alone(typed []byte, digits int) []split {
	code := bytes.ReplaceAll(typed, []byte(" "), nil)
	if len(code) != digits || !isDigits(code) {
		return nil
	}
	return []split{{code: code}}
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func cutSuffix(b []byte, c byte) []byte {
	if c != 0 && len(b) > 0 && b[len(b)-1] == c {
		return b[:len(b)-1]
	}
	return b
}

func cutPrefix(b []byte, c byte) []byte {
	if c != 0 && len(b) > 0 && b[0] == c {
		return b[1:]
	}
	return b
}

func codes(all []split) []uint32 {
	list := make([]uint32, len(all))
	for i, s := range all {
		list[i] = number(s.code)
	}
	return list
}
