package wire

// appendBind appends the LDAPMessage of a simple bind (RFC 4511, section 4.2), in the
// shortest form there is.
func appendBind(b []byte, id int, dn string, password []byte, controls []Control) []byte {
	op, all, message := bindSizes(id, len(dn), len(password), controls)
	b = appendHeader(b, tagSequence, message)
	b = appendInteger(b, id)
	b = appendHeader(b, opBindRequest, op)
	b = appendInteger(b, 3)
	b = append(appendHeader(b, tagOctets, len(dn)), dn...)
	b = append(appendHeader(b, primitive(0), len(password)), password...)
	if all > 0 {
		b = appendHeader(b, constructed(0), all)
	}
	for _, c := range controls {
		b = c.append(b)
	}
	return b
}

// bindSizes returns how many octets the contents of the operation, the controls and
// the message have.
func bindSizes(id, dn, password int, controls []Control) (op, all, message int) {
	op = sizeOf(1) + sizeOf(dn) + sizeOf(password)
	for _, c := range controls {
		all += sizeOf(c.size())
	}
	message = sizeOf(integerSize(id)) + sizeOf(op)
	if all > 0 {
		message += sizeOf(all)
	}
	return op, all, message
}

// bindSize is how many octets [appendBind] appends.
func bindSize(id, dn, password int, controls []Control) int {
	_, _, message := bindSizes(id, dn, password, controls)
	return sizeOf(message)
}

// size is how many octets the content of c has.
func (c Control) size() int {
	n := sizeOf(len(c.OID))
	if c.Critical {
		n += sizeOf(1)
	}
	if c.Value != nil {
		n += sizeOf(len(c.Value))
	}
	return n
}

func (c Control) append(b []byte) []byte {
	b = appendHeader(b, tagSequence, c.size())
	b = append(appendHeader(b, tagOctets, len(c.OID)), c.OID...)
	if c.Critical {
		b = append(appendHeader(b, tagBoolean, 1), 0xff)
	}
	if c.Value != nil {
		b = append(appendHeader(b, tagOctets, len(c.Value)), c.Value...)
	}
	return b
}

// lengthOctets is how many octets follow the first one of a length.
func lengthOctets(size int) (n int) {
	if size < 0x80 {
		return 0
	}
	for ; size > 0; size >>= 8 {
		n++
	}
	return n
}

// sizeOf is how many octets an element has whose content has so many.
func sizeOf(content int) int { return 2 + lengthOctets(content) + content }

func appendHeader(b []byte, tag byte, size int) []byte {
	n := lengthOctets(size)
	if n == 0 {
		return append(b, tag, byte(size))
	}
	b = append(b, tag, 0x80|byte(n))
	for n--; n >= 0; n-- {
		b = append(b, byte(size>>(8*n)))
	}
	return b
}

// integerSize is how many octets the content of an INTEGER has that is not negative.
func integerSize(v int) int {
	n := 1
	for ; v >= 0x80; v >>= 8 {
		n++
	}
	return n
}

func appendInteger(b []byte, v int) []byte {
	n := integerSize(v)
	b = append(b, tagInteger, byte(n))
	for n--; n >= 0; n-- {
		b = append(b, byte(v>>(8*n)))
	}
	return b
}
