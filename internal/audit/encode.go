package audit

import (
	"log/slog"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// MaxLine is the most octets of a line, with its newline. Syslog servers take
// messages of 8192 octets (RFC 5425, section 4.3.1).
const MaxLine = 8000

const (
	maxText = 1024          // octets of an encoded string
	maxBody = MaxLine - 400 // of what the caller gives; the rest is for seq, hash, prev and the like
)

const timeForm = "2006-01-02T15:04:05.000000Z" // also RFC 5424, section 6.2.3

// appendBody appends what a line says after its first members: `"time":...` up to
// the last fact. Facts that have no room are left out, and "cut" says so.
func appendBody(b []byte, at time.Time, event string, facts []slog.Attr) []byte {
	start := len(b)
	b = append(b, `"time":"`...)
	b = at.UTC().AppendFormat(b, timeForm)
	b = append(b, `","event":`...)
	b = appendText(b, event)
	for _, fact := range facts {
		before := len(b)
		b = append(b, ',')
		b = appendText(b, fact.Key)
		b = append(b, ':')
		b = appendValue(b, fact.Value)
		if len(b)-start > maxBody {
			return append(b[:before], `,"cut":true`...)
		}
	}
	return b
}

func appendValue(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindFloat64:
		if f := v.Float64(); !math.IsNaN(f) && !math.IsInf(f, 0) { // which JSON has not
			return strconv.AppendFloat(b, f, 'g', -1, 64)
		}
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	case slog.KindTime:
		b = append(b, '"')
		b = v.Time().UTC().AppendFormat(b, timeForm)
		return append(b, '"')
	}
	return appendText(b, v.String())
}

// appendText appends s as a JSON string of printable ASCII, so that it can do
// nothing to a terminal, nor to a syslog server (RFC 5424, section 6.4). What is
// not UTF-8 becomes U+FFFD. A long one ends in an ellipsis.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	start := len(b)
	for i := 0; i < len(s); {
		if len(b)-start > maxText-12 {
			b = append(b, `\u2026`...)
			break
		}
		c := s[i]
		if c >= ' ' && c <= '~' {
			if c == '"' || c == '\\' {
				b = append(b, '\\')
			}
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		b = appendEscape(b, r)
		i += n
	}
	return append(b, '"')
}

func appendEscape(b []byte, r rune) []byte {
	if r >= 0x10000 { // a surrogate pair (RFC 8259, section 7)
		r -= 0x10000
		b = appendEscape(b, 0xd800+r>>10)
		r = 0xdc00 + r&0x3ff
	}
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}
