package ldapsync

import "lockstep/ldapsync/sealed"

// Census counts what people have in the replica. Tokens that are nobody's are left
// out.
type Census struct {
	Keys     int            // all of them
	Sealed   map[string]int // how many of them are sealed, by the ID of the key that opens them; "" for those that are malformed
	SealTo   string         // the ID of the key that new ones are sealed to; "" if they are written in clear
	Overlay  int            // entries for which OpenLDAP's overlay otp wants a code at each bind, if the server has it; 0 if codes are delegated
	Disabled int            // entries, of people or tokens, that the directory has disabled
}

// Census goes through the replica, which takes a second or two for a million.
func (d *Directory) Census() Census {
	c := Census{Sealed: map[string]int{}}
	d.replica.people(func(_ string, records []*record, _ error) bool {
		for _, rec := range records {
			c.add(rec)
			for dn := range rec.each(fieldToken) {
				if token := d.replica.byDN(dn); token != nil && token != rec && token.first(fieldName) == "" {
					c.add(token)
				}
			}
		}
		return true
	})
	if d.sealTo != nil {
		c.SealTo = d.sealTo.ID()
	}
	if d.replica.schema.directory {
		c.Overlay = 0
	}
	return c
}

func (c *Census) add(rec *record) {
	for f, v := range rec.fields() {
		c.count(f, v)
	}
}

func (c *Census) count(f field, v string) {
	switch {
	case f == fieldKey:
		c.Keys++
		if sealed.Sealed(v) {
			id, _ := sealed.KeyID(v)
			c.Sealed[id]++
		}
	case f == fieldDisabled:
		c.Disabled++
	case f == fieldClass && v == classOverlay:
		c.Overlay++
	}
}
