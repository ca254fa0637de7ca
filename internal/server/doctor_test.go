package server

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/internal/radius"
	"lockstep/internal/testenv"
	"lockstep/ldapsync"
	"lockstep/radiusd"
	"lockstep/store/etcd"
)

// want checks that there is a finding with that ID and severity, and the text in it.
func (r report) want(t *testing.T, id string, severity admin.Severity, text string) {
	t.Helper()
	for _, f := range r {
		if f.ID == id && f.Severity == severity && strings.Contains(f.Text, text) && (f.Advice != "" || severity == admin.OK || severity == admin.Unknown) {
			return
		}
	}
	t.Errorf("no %s %s with %q and an advice in\n%+v", severity, id, text, []admin.Finding(r))
}

func TestCertificatesAreRatedByWhatIsLeft(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name       string
		life, left time.Duration
		want       admin.Severity
		text       string
	}{
		{"a year's, half a year left", 365 * day, 180 * day, admin.OK, "180 days"},
		{"a year's, 29 days left", 365 * day, 29 * day, admin.Warning, "29 days"},
		{"a year's, 6 days left", 365 * day, 6 * day, admin.Error, "6 days"},
		{"over", 365 * day, -time.Minute, admin.Error, "is over since"},
		{"a day's, 20 hours left", day, 20 * time.Hour, admin.OK, "20 hours"},
		{"a day's, 5 hours left", day, 5 * time.Hour, admin.Warning, "5 hours"},
		{"a day's, one hour left", day, time.Hour, admin.Error, "60 min"},
		{"not begun", day, 25 * time.Hour, admin.Warning, "begins on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r report
			r.certificate("x", "y", &x509.Certificate{NotBefore: now.Add(tt.left - tt.life), NotAfter: now.Add(tt.left), DNSNames: []string{"ldap1"}}, now)
			r.want(t, "x", tt.want, tt.text)
		})
	}
}

// Slapd as the server's directory, whose doctor tries it.
func TestDoctorAtSlapd(t *testing.T) {
	t.Parallel()
	slapd := testenv.Slapd(t, testenv.WithTLSFor(90*24*time.Hour, 3*24*time.Hour), testenv.WithSizeLimit(2),
		testenv.WithAccess("access to attrs=entry,oathSecret by * read"))
	for i := range 3 {
		slapd.Add(t, fmt.Sprintf("dn: uid=u%d,%s\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPToken\nuid: u%d\ncn: x\nsn: x\nuserPassword: pw\noathSecret: GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n\n", i, slapd.PeopleDN, i))
	}
	cfg := testConfig(t.TempDir(), "")
	cfg.Directory.URLs, cfg.Directory.BaseDN, cfg.Directory.CA = []string{slapd.TLSURL}, slapd.BaseDN, slapd.CA
	cfg.Directory.BindDN, cfg.Directory.BindPassword, cfg.Directory.Timeout = slapd.ServiceDN, opaque.Text(slapd.ServicePassword), 5*time.Second
	r := report(LocalFindings(t.Context(), cfg, true))
	r.want(t, "directory.certificate", admin.Error, "localhost, 127.0.0.1 lasts until")
	r.want(t, "directory.ca", admin.Error, "lasts until")
	r.want(t, "directory.limits", admin.Error, "raise the limits of the service account")
	r.want(t, "directory.key_read", admin.Error, "anybody can read keys (oathSecret) without a bind")
	r.want(t, "directory.latency", admin.OK, "connected with TLS in")
	r.want(t, "store.file", admin.OK, "not there yet")

	users, err := UserFindings(t.Context(), cfg, "u0", opaque.Text("pw"))
	if err != nil {
		t.Fatal(err)
	}
	report(users).want(t, "directory.user_reads_keys", admin.Error, "can read the keys of others")
	report(users).want(t, "directory.user_writes_keys", admin.OK, "cannot write keys")

	cfg.Directory.CA = nil
	report(LocalFindings(t.Context(), cfg, false)).want(t, "directory.reachable", admin.Error, "its certificate is not accepted")
	slapd.Stop(t)
	report(LocalFindings(t.Context(), cfg, false)).want(t, "directory.reachable", admin.Error, "refused")
}

func TestKeyRightsAreRated(t *testing.T) {
	well := ldapsync.KeyRights{Attribute: "oathSecret", Entries: 3, Service: ldapsync.Granted, Anonymous: ldapsync.Denied, AnonymousFinds: ldapsync.Denied, AnonymousWrites: ldapsync.Denied}
	with := func(change func(*ldapsync.KeyRights)) ldapsync.KeyRights {
		k := well
		change(&k)
		return k
	}
	for _, tt := range []struct {
		name   string
		k      ldapsync.KeyRights
		sealed bool
		id     string
		want   admin.Severity
		text   string
	}{
		{"all is well", well, false, "directory.key_read", admin.OK, "cannot be read without a bind"},
		{"anybody reads", with(func(k *ldapsync.KeyRights) { k.Anonymous = ldapsync.Granted }), false, "directory.key_read", admin.Error, "anybody can read"},
		{"anybody reads what is sealed", with(func(k *ldapsync.KeyRights) { k.Anonymous = ldapsync.Granted }), true, "directory.key_read", admin.Warning, "sealed"},
		{"anybody searches", with(func(k *ldapsync.KeyRights) { k.AnonymousFinds = ldapsync.Granted }), false, "directory.key_read", admin.Error, "try keys"},
		{"it could not be told", with(func(k *ldapsync.KeyRights) { k.Anonymous = ldapsync.Untold }), false, "directory.key_read", admin.Unknown, "could not find out"},
		{"anybody writes", with(func(k *ldapsync.KeyRights) { k.AnonymousWrites = ldapsync.Granted }), true, "directory.key_write", admin.Error, "anybody can write"},
		{"the service account may not read", with(func(k *ldapsync.KeyRights) { k.Service = ldapsync.Denied }), false, "directory.key_read", admin.Error, "not read it"},
		{"hidden", ldapsync.KeyRights{Attribute: "oathSecret", Keyless: true}, false, "directory.key_read", admin.Error, "none with the attribute oathSecret"},
		{"nobody enrolled", ldapsync.KeyRights{Attribute: "oathSecret"}, false, "directory.key_rights", admin.Warning, "no entry with oathSecret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r report
			r.keyRights("x", tt.k, tt.sealed)
			r.want(t, tt.id, tt.want, tt.text)
		})
	}
}

func TestSpaceIsRatedByWhatIsLeftAndHowLong(t *testing.T) {
	const gib = 1 << 30
	for _, tt := range []struct {
		name string
		free room
		rate float64
		want admin.Severity
		text string
	}{
		{"much", room{46 * gib, 1e6}, 0, admin.OK, "46 GiB free"},
		{"little", room{gib / 2, 1e6}, 0, admin.Warning, "512 MiB free"},
		{"hardly any", room{10 << 20, 1e6}, 0, admin.Error, "(10485760 bytes)"},
		{"no more files", room{46 * gib, 3}, 0, admin.Error, "room for 3 files more"},
		{"much, and it fills", room{40 * gib, 1e6}, 40 * gib / (10 * 86400), admin.Warning, "lasts 10 days"},
		{"much, and it fills fast", room{40 * gib, 1e6}, 40 * gib / 86400, admin.Error, "lasts 24 hours"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r report
			r.space("/var/lib/lockstep", tt.rate, func(string) (room, error) { return tt.free, nil })
			r.want(t, "store.space", tt.want, tt.text)
		})
	}
}

func TestSpaceTrend(t *testing.T) {
	var s spaceTrend
	now, free := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), uint64(100<<30)
	look := func(string) (room, error) { return room{free, 1e6}, nil }
	for range 1000 {
		if s.look("/", now, look); now.Minute() == 59 {
			free -= 1 << 30
		}
		now = now.Add(time.Minute)
	}
	if got := s.rate(now) * 3600 / (1 << 30); got < 0.9 || got > 1.1 {
		t.Errorf("%g GiB an hour, want 1", got)
	}
	if n := len(s.past); n > 101 {
		t.Errorf("%d remembered", n)
	}
	free += 200 << 30
	if s.look("/", now.Add(time.Hour), look); s.rate(now) != 0 {
		t.Error("a trend where room was made")
	}
}

// A disk that is really full: a tmpfs of 1 MiB.
func TestDoctorOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var r report
	r.stoppedStore(t.Context(), config.Store{Engine: "bolt", Path: filepath.Join(dir, "lockstep", "state.db")}, time.Now())
	r.want(t, "store.space", admin.Error, "0 bytes free")
}

// What a client does wrong is seen in what it has sent.
func TestDoctorAboutClients(t *testing.T) {
	dir := t.TempDir()
	keys := people(t, filepath.Join(dir, "p.ldif"), "alice")
	cfg := testConfig(dir, "p.ldif")
	cfg.Radius.Clients = append(cfg.Radius.Clients, config.Client{Name: "other", Address: netip.MustParsePrefix("192.0.2.1/32"), Secret: opaque.Text(testSecret), RequireMessageAuthenticator: true})
	cfg.Radius.Clients[0].Address = netip.MustParsePrefix("127.0.0.1/32")
	s := begin(t, cfg)
	all := func() report { return s.doctor(t.Context()) }
	all().want(t, "client.seen", admin.OK, "nothing came from 127.0.0.1/32 since the server began")
	all().want(t, "clients.unknown", admin.OK, "nothing came from addresses that belong to no client")

	send(t, s, "127.0.0.1", "another secret", rfc2865.UserPassword_Type)
	testenv.Eventually(t, "the packet to be read", func() bool { return s.radius.Clients()[0].BadAuthenticators == 1 })
	all().want(t, "client.secret", admin.Error, "nobody was let in")
	login(t, s, "alice", keys["alice"])
	all().want(t, "client.secret", admin.Warning, "1 of 2 requests with another secret")
	send(t, s, "127.0.0.1", testSecret, rfc2865.CHAPPassword_Type)
	testenv.Eventually(t, "the packet to be read", func() bool { return s.radius.Clients()[0].CHAP == 1 })
	all().want(t, "client.method", admin.Error, "1 of 3 requests were by CHAP")
	send(t, s, "127.0.0.7", testSecret, rfc2865.UserPassword_Type)
	testenv.Eventually(t, "the packet to be read", func() bool { _, n := s.radius.Strangers(1); return n == 1 })
	all().want(t, "clients.unknown", admin.Warning, "1 packet from addresses that belong to no client, last from 127.0.0.7")
	all().want(t, "client.message_authenticator", admin.OK, "sent with each request")
	all().want(t, "socket.queue", admin.OK, "none was dropped")
	all().want(t, "store.writable", admin.OK, "a write is on disk after")
	for _, f := range all() {
		if f.ID == "" || f.Subject == "" || f.Text == "" || f.Severity == "" || (f.Severity == admin.Error || f.Severity == admin.Warning) && f.Advice == "" {
			t.Errorf("incomplete: %+v", f)
		}
	}
}

// send sends an Access-Request from an address of loopback, with a password or with CHAP.
func send(t *testing.T, s *Server, from, secret string, with layeh.Type) {
	t.Helper()
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(s.Addrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	attributes := []radius.Attribute{{Type: rfc2865.UserName_Type, Value: []byte("alice")}}
	password := []byte("password")
	if with == rfc2865.CHAPPassword_Type {
		password, attributes = nil, append(attributes, radius.Attribute{Type: with, Value: make([]byte, 17)})
	}
	packet, err := radius.NewRequest(layeh.CodeAccessRequest, []byte(secret), password, attributes...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
}

func TestClientsAreRatedByWhatTheySent(t *testing.T) {
	now := time.Now()
	began := now.Add(-30 * 24 * time.Hour)
	for _, tt := range []struct {
		name     string
		required bool
		stats    radiusd.ClientStats
		id       string
		want     admin.Severity
		text     string
	}{
		{"never seen in a month", true, radiusd.ClientStats{}, "client.seen", admin.Warning, "nothing came from 192.0.2.1/32 in the 30 days"},
		{"not seen for weeks", true, radiusd.ClientStats{LastSeen: now.Add(-20 * 24 * time.Hour), Requests: 1}, "client.seen", admin.Warning, "since"},
		{"seen just now", true, radiusd.ClientStats{LastSeen: now.Add(-5 * time.Second), Requests: 9, Accepts: 7, Rejects: 2}, "client.seen", admin.OK, "5 s ago; 9 requests: 7 accepted, 2 rejected"},
		{"without what is required", true, radiusd.ClientStats{LastSeen: now, Requests: 9, NoMessageAuthenticator: 9}, "client.message_authenticator", admin.Error, "9 requests without"},
		{"without what is not required", false, radiusd.ClientStats{LastSeen: now, Requests: 9, NoMessageAuthenticator: 2}, "client.message_authenticator", admin.Warning, "2 of 9 requests without"},
		{"with what is not required", false, radiusd.ClientStats{LastSeen: now, Requests: 9}, "client.message_authenticator", admin.Warning, "sent none of 9 so"},
		{"impatient", true, radiusd.ClientStats{LastSeen: now, Requests: 100, Duplicates: 30}, "client.retransmits", admin.Warning, "30 of 100"},
		{"malformed", true, radiusd.ClientStats{LastSeen: now, Requests: 100, Malformed: 1}, "client.malformed", admin.Warning, "1 of its packets"},
		{"unanswered", true, radiusd.ClientStats{LastSeen: now, Requests: 100, Unanswered: 20, Dropped: 20}, "client.unanswered", admin.Warning, "40 of 100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r report
			r.client(config.Client{Name: "vpn", Address: netip.MustParsePrefix("192.0.2.1/32"), RequireMessageAuthenticator: tt.required}, tt.stats, began, now)
			r.want(t, tt.id, tt.want, tt.text)
		})
	}
}

func TestQuorumIsRatedByWhatCanBeSpared(t *testing.T) {
	well, away := etcd.Member{Version: "3.5.9"}, etcd.Member{Err: context.DeadlineExceeded}
	for _, tt := range []struct {
		name    string
		members []etcd.Member
		want    admin.Severity
		text    string
	}{
		{"all of three", []etcd.Member{well, well, well}, admin.OK, "3 of 3 members answer; 1 of these can be spared"},
		{"two of three", []etcd.Member{well, well, away}, admin.Warning, "if one more goes away"},
		{"one of three", []etcd.Member{well, away, away}, admin.Error, "1 of 3 members answer, and 2 are needed"},
		{"four of five", []etcd.Member{well, well, well, well, away}, admin.OK, "4 of 5 members answer; 1 of these"},
		{"the only one", []etcd.Member{well}, admin.OK, "one member only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r report
			r.cluster(etcd.Health{Members: tt.members, Alarms: []string{"NOSPACE at node 1"}})
			r.want(t, "etcd.quorum", tt.want, tt.text)
			r.want(t, "etcd.alarm", admin.Error, "NOSPACE")
		})
	}
}

// A cluster that no server has open, with one member down.
func TestDoctorAtEtcd(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 3)
	store := config.Store{Engine: "etcd", Etcd: config.Etcd{Endpoints: c.Endpoints(), Prefix: "/lockstep/"}}
	dead := (c.Leader(t) + 1) % 3
	c.Node(dead).Kill(t)
	var r report
	r.stoppedStore(t.Context(), store, time.Now())
	r.want(t, "etcd.member", admin.Error, "")
	r.want(t, "etcd.member", admin.OK, "leads, answers in")
	r.want(t, "etcd.quorum", admin.Warning, "2 of 3 members answer: if one more goes away")
}

func TestUDPTable(t *testing.T) {
	all := map[uint64]udpQueue{}
	parseUDP([]byte(`   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 0100007F:0714 00000000:0000 07 00000000:00000240 00:00000000 00000000     0        0 4711 2 0000000000000000 17
  101: short line
  102: 0100007F:0714 00000000:0000 07 nothing 00:00000000 00000000     0        0 x 2 0000000000000000 17
`), all)
	if len(all) != 1 || all[4711] != (udpQueue{0x240, 17}) {
		t.Errorf("%+v", all)
	}
	var r report
	r.socket("s", 8<<20, all[4711], true)
	r.want(t, "socket.queue", admin.Warning, "the kernel has dropped 17 packets")
	r = nil
	r.socket("s", 416<<10, udpQueue{}, true)
	r.want(t, "socket.queue", admin.Warning, "holds 208 KiB")
}

func TestSecretFilesThatOthersCanReplace(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	var r report
	r.secrets([]string{filepath.Join(open, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "b")})
	r.want(t, "config.secrets", admin.Warning, open)
	r.want(t, "config.secrets", admin.OK, "1 secret file")
}

func TestSwapAndFiles(t *testing.T) {
	var r report
	r.swap([]byte("Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n/dev/zram0 partition 1 0 5\n"), nil)
	r.want(t, "server.swap", admin.Warning, "to /dev/sda2, and keys")
	r = nil
	r.swap([]byte("/dev/sda2 partition 1 0 -2\n"), []byte("0\n"))
	r.want(t, "server.swap", admin.OK, "MemorySwapMax=0")
	r = nil
	r.files(descriptors{95, 100}, 1)
	r.files(descriptors{10, 200}, 64)
	r.want(t, "server.files", admin.Error, "95 of 100")
	r.want(t, "server.files", admin.Warning, "there can be 256")
}

func TestKeepersOfTheClock(t *testing.T) {
	proc := t.TempDir()
	for pid, comm := range map[string]string{"1": "systemd", "7": "chronyd", "8": "ntpd"} {
		if err := os.MkdirAll(filepath.Join(proc, pid), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "comm"), []byte(comm+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := keepersIn(proc); fmt.Sprint(got) != "[chrony ntpd]" {
		t.Errorf("%q", got)
	}
	for out, want := range map[string]admin.Severity{
		"A9FEA97B,169.254.169.123,4,1772366400.1,0.000012,0.00001,0.00002,-5.1,0.0,0.03,0.0004,0.0002,16.1,Normal\n": admin.OK,
		"A9FEA97B,169.254.169.123,4,1772366400.1,-2.5,0.00001,0.00002,-5.1,0.0,0.03,0.0004,0.0002,16.1,Normal\n":     admin.Error,
		"7F7F0101,,0,0.0,0.000000,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised\n":                                admin.Error,
	} {
		var r report
		if r.chrony([]byte(out)); len(r) != 1 || r[0].Severity != want {
			t.Errorf("%q: %+v, want %s", out, r, want)
		}
	}
	var r report
	if r.chrony([]byte("506 Cannot talk to daemon\n")); r != nil {
		t.Errorf("%+v", r)
	}
}

// What hangs is told, and does not keep the rest from being told.
func TestTheDoctorWaitsForNothingThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		hang := make(chan bool)
		defer close(hang)
		got := together(ctx,
			func(r *report) { r.ok("first", "first", "well") },
			func(r *report) { <-hang },
			func(r *report) { <-ctx.Done(); r.ok("last", "last", "no answer in time") })
		var ids []string
		for _, f := range got {
			ids = append(ids, f.ID)
		}
		if want := []string{"first", "doctor.late", "last"}; !slices.Equal(ids, want) {
			t.Errorf("found %q, want %q", ids, want)
		}
	})
}

func TestTheDoctorSeesOneAtATime(t *testing.T) {
	var s Server
	s.consulting.Lock()
	if _, err := s.consulted(t.Context()); err == nil {
		t.Error("the doctor sees two at once")
	}
}
