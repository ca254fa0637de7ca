package config

// maxSocketPath is what sun_path has room for besides its NUL; unix(7).
const maxSocketPath = 107

func readVerifier(t *table) Verifier {
	return Verifier{
		MaxFailures: t.count("max_failures", 100, 5, 100),
		ForwardOnly: t.flag("forward_only", false),
		TrustClock:  t.flag("trust_clock", false),
	}
}

func readAdmin(t *table) Admin {
	c := Admin{
		Socket: t.doc.absolute(t.text("socket", "/run/lockstep/admin.sock")),
		Group:  t.text("group", ""),
	}
	if len(c.Socket) > maxSocketPath {
		t.fault("socket", "the path is longer than a socket's can be, %d octets", maxSocketPath)
	}
	return c
}

func readLog(t *table) Log {
	var c Log
	level := t.oneOf("level", "info", "debug", "warn", "error")
	// A level that cannot be read has its fault already.
	_ = c.Level.UnmarshalText([]byte(level))
	c.Format = t.oneOf("format", "text", "json")
	return c
}
