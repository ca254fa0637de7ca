package tokenfile

import (
	"encoding/xml"
	"errors"
	"slices"
	"strings"
	"time"

	"lockstep/internal/opaque"
)

// xsdDateTime is how PSKC writes times; the zone is optional.
var xsdDateTime = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02Z07:00", time.DateOnly}

// readPSKC reads a Portable Symmetric Key Container (RFC 6030). Signatures are
// not verified.
func readPSKC(data []byte, o Options) ([]Token, error) {
	x := newXMLReader(data)
	if err := x.root("keycontainer"); err != nil {
		return nil, err
	}
	c := container{vault: vault{password: o.Password, preShared: o.PreSharedKey}}
	for {
		token, err := x.next()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.EndElement:
			return c.tokens, nil
		case xml.StartElement:
			if err := c.take(x, token); err != nil {
				return nil, err
			}
		}
	}
}

// root reads up to the start of the outermost element, which must have this name.
func (x *xmlReader) root(name string) error {
	for {
		token, err := x.next()
		if err != nil {
			return err
		}
		if start, ok := token.(xml.StartElement); ok {
			if !strings.EqualFold(start.Name.Local, name) {
				return x.fault("the outermost element is not a KeyContainer")
			}
			return nil
		}
	}
}

// A container is what has been read of one KeyContainer.
type container struct {
	vault  vault
	tokens batch
}

// take reads a child of the container. How values are encrypted stands before
// them (RFC 6030, section 11), so that one pass will do.
func (c *container) take(x *xmlReader, start xml.StartElement) error {
	n, err := x.tree(start)
	if err != nil {
		return err
	}
	switch n.name {
	case "encryptionkey":
		if c.vault.encryption != nil || len(c.tokens) > 0 {
			return at(n.line, errors.New("a second or late EncryptionKey"))
		}
		c.vault.encryption = n
	case "macmethod":
		if c.vault.mac != nil || len(c.tokens) > 0 {
			return at(n.line, errors.New("a second or late MACMethod"))
		}
		c.vault.mac = n
	case "keypackage":
		return c.keyPackage(n)
	}
	return nil
}

func (c *container) keyPackage(n *node) error {
	device := n.first("deviceinfo")
	for _, key := range n.children {
		if key.name != "key" {
			continue
		}
		t, err := c.token(device, key)
		if err == nil {
			err = c.tokens.add(t)
		}
		if err != nil {
			return at(key.line, err)
		}
	}
	return nil
}

func (c *container) token(device, key *node) (Token, error) {
	t := Token{Line: key.line, Serial: device.value("serialno"), User: login(key.value("userid"))}
	if t.Serial == "" {
		t.Serial = key.attr("id")
	}
	if t.User == "" {
		t.User = login(device.value("userid"))
	}
	t.applyProfile(key.attr("algorithm"))
	t.applyParameters(key.first("algorithmparameters"))
	t.applyPolicy(key.first("policy"))
	t.setDates(device.value("startdate"), device.value("expirydate"), xsdDateTime...)
	return t, c.data(&t, key.first("data"))
}

// applyProfile judges the kind of key by its URI (RFC 6030, section 10, and
// draft-hoyer-keyprov-pskc-algorithm-profiles).
func (t *Token) applyProfile(uri string) {
	uri = strings.ToLower(uri)
	switch profile := uri[strings.LastIndexAny(uri, ":#")+1:]; {
	case !strings.HasPrefix(uri, "urn:ietf:params:xml:ns:keyprov:pskc"):
		t.refuse("a kind of key other than TOTP")
	case profile == "totp":
	case profile == "hotp":
		t.refuse(skipHOTP)
	case strings.Contains(uri, "ocra"):
		t.refuse("OCRA, which answers challenges")
	default:
		t.refuse("a kind of key other than TOTP")
	}
}

func (t *Token) applyParameters(p *node) {
	suite := p.value("suite")
	if suite == "" {
		// As privacyIDEA writes it.
		suite = p.first("suite").attr("hashalgo")
	}
	t.setAlgorithm(suite)
	format := p.first("responseformat")
	t.setDigits(format.attr("length"))
	switch encoding, check := format.attr("encoding"), format.attr("checkdigits"); {
	case encoding != "" && !strings.EqualFold(encoding, "DECIMAL"):
		t.refuse("its codes are not decimal")
	case check != "" && check != "0" && !strings.EqualFold(check, "false"):
		t.refuse("its codes have a check digit")
	}
}

// applyPolicy refuses a key for every condition that Lockstep does not keep, as
// RFC 6030, section 5, asks for.
func (t *Token) applyPolicy(p *node) {
	if p == nil {
		return
	}
	t.setDates(p.value("startdate"), p.value("expirydate"), xsdDateTime...)
	var usages []string
	for _, c := range p.children {
		switch c.name {
		case "startdate", "expirydate":
		case "keyusage":
			usages = append(usages, strings.ToUpper(strings.TrimSpace(c.text.String())))
		case "pinpolicy":
			// A PIN that the device itself asks for does not concern us.
			if !strings.EqualFold(c.attr("pinusagemode"), "Local") {
				t.refuse("its policy asks for a PIN with the code")
			}
		default:
			t.refuse("its policy has a condition that is not known here")
		}
	}
	if len(usages) > 0 && !slices.Contains(usages, "OTP") {
		t.refuse("its policy does not allow one-time passwords")
	}
}

// data reads the key and the period. TimeDrift is left out: Lockstep learns it.
func (c *container) data(t *Token, d *node) error {
	secret, err := c.vault.read(d.first("secret"))
	if err != nil {
		return err
	}
	if secret.clear {
		t.setKey(string(secret.octets), fromBase64)
	} else {
		t.Key = opaque.Of(secret.octets)
	}
	interval, err := c.vault.read(d.first("timeinterval"))
	if err != nil {
		return err
	}
	// privacyIDEA writes 0 for keys that count logins.
	if t.Skip == "" {
		t.setPeriod(string(interval.octets))
	}
	start, err := c.vault.read(d.first("time"))
	if s := string(start.octets); s != "" && s != "0" {
		t.refuse("its time does not begin in 1970")
	}
	return err
}
