package config

import (
	"net/url"
)

// Audit says where the audit trail goes.
type Audit struct {
	File     string // absolute; empty for none
	Syslog   string // tcp:// or tls:// with host and port; empty for none
	CA       []byte // certificates in PEM that Syslog is checked against; nil for those of the system
	Required bool   // nobody gets an answer that is not in File; never without File
}

func readAudit(t *table) Audit {
	c := Audit{
		File:     t.doc.absolute(t.text("file", "")),
		Syslog:   t.text("syslog", ""),
		CA:       t.certificates("ca_file"),
		Required: t.flag("required", false),
	}
	if c.Syslog != "" && !validSyslog(c.Syslog) {
		t.fault("syslog", `want tls:// or tcp://, a host and a port, such as "tls://log.example.com:6514"`)
	}
	if c.Required && c.File == "" {
		t.fault("required", "goes with file: a syslog server does not say what it has got")
	}
	return c
}

func validSyslog(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "tcp" || u.Scheme == "tls") && u.Hostname() != "" && u.Port() != "" &&
		u.User == nil && u.Path == "" && u.RawQuery == "" && u.Fragment == ""
}

// clear reports whether others on the way can read what is sent.
func (c Audit) clear() bool {
	u, err := url.Parse(c.Syslog)
	return err == nil && u.Scheme == "tcp" && !loopback(u.Hostname())
}
