package tokenfile

import (
	"encoding/xml"
	"errors"
	"strings"
)

// maxNodes bounds an element below the root with all that it contains, and so
// its depth too.
const maxNodes = 2000

// A node is an element. Names are in lower case and without their namespace:
// one exporter writes all names in lower case, and others disagree about the
// namespace of the parameters of PBKDF2.
type node struct {
	name     string
	attrs    []xml.Attr
	text     strings.Builder
	children []*node
	line     int
}

// first returns the first element on the path below n, or nil. n may be nil.
func (n *node) first(path ...string) *node {
	for _, name := range path {
		if n = n.child(name); n == nil {
			return nil
		}
	}
	return n
}

func (n *node) child(name string) *node {
	if n != nil {
		for _, c := range n.children {
			if c.name == name {
				return c
			}
		}
	}
	return nil
}

// value returns the text of the first element on the path below n, without
// spaces around it, or "" if there is none.
func (n *node) value(path ...string) string {
	if n = n.first(path...); n == nil {
		return ""
	}
	return strings.TrimSpace(n.text.String())
}

// attr returns the attribute of n, or "". n may be nil.
func (n *node) attr(name string) string {
	if n != nil {
		for _, a := range n.attrs {
			if strings.EqualFold(a.Name.Local, name) {
				return a.Value
			}
		}
	}
	return ""
}

// An xmlReader reads XML as tokens and small trees. It knows no entities but the
// five of XML, and refuses document type declarations.
type xmlReader struct {
	d      *xml.Decoder
	source *ration
	nodes  int // in the tree being read
}

func newXMLReader(data []byte) *xmlReader {
	source := newRation(data)
	return &xmlReader{d: xml.NewDecoder(source), source: source}
}

// next returns the next start, end or text. The end of the file is an error
// too: who has read the end of the outermost element need not ask. Errors quote
// nothing, unlike those of the library.
func (x *xmlReader) next() (xml.Token, error) {
	for {
		x.source.refill()
		token, err := x.d.Token()
		if errors.Is(err, errRecord) {
			return nil, at(x.line(), errRecord)
		}
		if err != nil {
			return nil, x.fault("not a whole XML document in UTF-8")
		}
		switch token.(type) {
		case xml.Directive:
			return nil, x.fault("document type declarations are not read")
		case xml.StartElement, xml.EndElement, xml.CharData:
			return token, nil
		}
	}
}

func (x *xmlReader) fault(text string) error { return at(x.line(), errors.New(text)) }

func (x *xmlReader) line() int {
	line, _ := x.d.InputPos()
	return line
}

// tree returns the element that begins with start.
func (x *xmlReader) tree(start xml.StartElement) (*node, error) {
	x.nodes = 0
	return x.element(start)
}

func (x *xmlReader) element(start xml.StartElement) (*node, error) {
	if x.nodes++; x.nodes > maxNodes {
		return nil, x.fault("too many elements in one")
	}
	n := &node{name: strings.ToLower(start.Name.Local), attrs: start.Copy().Attr, line: x.line()}
	for {
		token, err := x.next()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			child, err := x.element(token)
			if err != nil {
				return nil, err
			}
			n.children = append(n.children, child)
		case xml.CharData:
			n.text.Write(token)
		case xml.EndElement:
			return n, nil
		}
	}
}
