package ldapsync

import (
	"slices"
	"testing"
)

func TestADigestIsWhatTheRecordSays(t *testing.T) {
	var text []byte
	for _, f := range []struct {
		field
		value string
	}{{fieldID, "id"}, {fieldName, ""}, {fieldName, "alice"}, {fieldKey, "one"}, {fieldKey, "two"}, {fieldClass, classToken}, {fieldClass, classParams}} {
		text = appendField(text, f.field, f.value)
	}
	r := &record{text: string(text)}
	d := r.digest()
	for f := range fieldClass + 1 {
		if got, want := d.first[f], r.first(f); got != want {
			t.Errorf("field %d: %q, want %q", f, got, want)
		}
		if got, want := d.all(f), r.all(f); !slices.Equal(got, want) {
			t.Errorf("field %d: %q, want %q", f, got, want)
		}
	}
}

// A token's entry has one serial number. It belongs to the first of its keys.
func TestTheFirstKeyOfAnEntryHasItsSerial(t *testing.T) {
	b := builder{}
	b.add(Token{}, "S1", true)
	b.add(Token{}, "S1", false)
	b.add(Token{}, "", true)
	for i, want := range []string{"S1", "2", "3"} {
		if got := b.account.Tokens[i].Name; got != want {
			t.Errorf("token %d is called %q, want %q", i, got, want)
		}
	}
}
