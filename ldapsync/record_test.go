package ldapsync

import "testing"

func TestFirstsAreThoseOfFirst(t *testing.T) {
	var text []byte
	for _, f := range []struct {
		field
		value string
	}{{fieldID, "id"}, {fieldName, ""}, {fieldName, "alice"}, {fieldKey, "one"}, {fieldKey, "two"}, {fieldClass, classToken}, {fieldClass, classParams}} {
		text = appendField(text, f.field, f.value)
	}
	r := &record{text: string(text)}
	all := r.firsts()
	for f := range fieldClass + 1 {
		if got, want := all[f], r.first(f); got != want {
			t.Errorf("field %d: %q, want %q", f, got, want)
		}
		if got, want := r.count(f), len(r.all(f)); got != want {
			t.Errorf("field %d: %d values, want %d", f, got, want)
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
