package build

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestLine(t *testing.T) {
	vcs := []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"},
		{Key: "vcs.time", Value: "2026-05-01T10:00:00Z"},
		{Key: "vcs.modified", Value: "true"},
	}
	clean := append(vcs[:2:2], debug.BuildSetting{Key: "vcs.modified", Value: "false"})
	at := " " + runtime.GOOS + "/" + runtime.GOARCH
	for _, tt := range []struct {
		name    string
		version string
		vcs     []debug.BuildSetting
		stamp   string
		want    string
	}{
		{"of a tag", "v1.2.0", clean, "", "p v1.2.0 (0123456789ab, 2026-05-01T10:00:00Z) go1.26.0" + at},
		{"with changes", "v1.2.0+dirty", vcs, "", "p v1.2.0+dirty (0123456789ab, dirty, 2026-05-01T10:00:00Z) go1.26.0" + at},
		{"of a package", "v1.2.0", clean, "1.2.0-1", "p 1.2.0-1 (0123456789ab, 2026-05-01T10:00:00Z) go1.26.0" + at},
		{"of a package without revision", "(devel)", nil, "1.2.0-1", "p 1.2.0-1 go1.26.0" + at},
		{"of nothing that is known", "(devel)", nil, "", "p devel go1.26.0" + at},
		{"without a module", "", nil, "", "p devel go1.26.0" + at},
		{"of a short revision", "", []debug.BuildSetting{{Key: "vcs.revision", Value: "17"}}, "", "p devel (17) go1.26.0" + at},
	} {
		t.Run(tt.name, func(t *testing.T) {
			info := &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: tt.version}, Settings: tt.vcs}
			if got := of(info, tt.stamp).Line("p"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestWhatTheToolchainDoesNotSay(t *testing.T) {
	b := of(&debug.BuildInfo{}, "")
	if b.Version != Unknown || b.Go != runtime.Version() {
		t.Errorf("of an empty build info: %+v", b)
	}
	if b := Get(); b.Version == "" || b.Go == "" {
		t.Errorf("of this program: %+v", b)
	}
}
