package server

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/config"
	"lockstep/internal/metrics"
	"lockstep/internal/opaque"
	"lockstep/internal/radius"
	"lockstep/internal/testenv"
	"lockstep/radiusd"
	"lockstep/store"
	"lockstep/store/etcd"
	"lockstep/verifier"
)

func measuredConfig(dir string) *config.Config {
	cfg := testConfig(dir, "people.ldif")
	cfg.Store.Engine = "bolt"
	cfg.Metrics.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	return cfg
}

func scrape(t *testing.T, s *Server) string {
	t.Helper()
	reply, err := http.Get("http://" + s.metrics.socket.Addr().String() + metrics.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", reply.Status, err)
	}
	return string(text)
}

func wantSamples(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		if !strings.Contains(text, "\n"+line+"\n") {
			_, is, _ := strings.Cut(text, "\n"+name)
			t.Errorf("no %s, but %s%.60q", line, name, is)
		}
	}
}

// ask returns the code of the reply to what somebody types, 0 if there is none.
func ask(t *testing.T, s *Server, secret, name, typed string) layeh.Code {
	t.Helper()
	c := &radius.Client{Server: s.Addrs()[0].String(), Secret: opaque.Text(secret), RequireMessageAuthenticator: true, Timeout: time.Second, Tries: 1}
	reply, err := c.Exchange(t.Context(), radius.AccessRequest{UserName: name, Password: opaque.Text(typed)})
	if err != nil {
		return 0
	}
	return reply.Code
}

// Real logins are counted as what they are, and nothing that anybody typed, nor
// who it was, is in what is shown.
func TestMetrics(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := people(t, filepath.Join(dir, "people.ldif"), "alicecanary", "bobcanary")
	s := begin(t, measuredConfig(dir))

	alice := keys["alicecanary"]
	code, err := alice.Code(alice.Step(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		secret, name, typed string
		want                layeh.Code
	}{
		{testSecret, "alicecanary", "alicecanary" + code, layeh.CodeAccessAccept},
		{testSecret, "alicecanary", "wrongcanary", layeh.CodeAccessChallenge},
		{testSecret, "bobcanary", "bobcanary" + wrongCode(t, keys["bobcanary"]), 0},
		{testSecret, "nobodycanary", "nobodycanary123456", 0},
		{"another secret, canary", "alicecanary", "alicecanary" + code, 0},
	} {
		if got := ask(t, s, tt.secret, tt.name, tt.typed); tt.want != 0 && got != tt.want {
			t.Errorf("%s, %s: %v, want %v", tt.name, tt.typed, got, tt.want)
		}
	}
	testenv.Eventually(t, "the store's first look", func() bool { return strings.Contains(scrape(t, s), "\nlockstep_ready 1\n") })
	text := scrape(t, s)
	wantSamples(t, text,
		`lockstep_logins_total{client="test",outcome="accepted",reason="none"} 1`,
		`lockstep_logins_total{client="test",outcome="accepted",reason="repeated"} 0`,
		`lockstep_logins_total{client="test",outcome="undecided",reason="none"} 0`,
		`lockstep_login_duration_seconds_count{outcome="accepted"} 1`,
		`lockstep_password_check_duration_seconds_count{result="right"} 1`,
		`lockstep_password_check_duration_seconds_count{result="wrong"} 0`,
		`lockstep_device_clock_offset_seconds_count 1`,
		`lockstep_radius_auth_server_access_requests_total{client="test"} 5`,
		`lockstep_radius_auth_server_access_accepts_total{client="test"} 1`,
		`lockstep_radius_auth_server_bad_authenticators_total{client="test"} 1`,
		`lockstep_client_message_authenticator_required{client="test"} 1`,
		`lockstep_radius_drops_total{reason="bad message authenticator"} 1`,
		`lockstep_directory_healthy 1`, `lockstep_directory_mode{mode="ldif"} 1`, `lockstep_replica_entries 2`,
		`lockstep_store_healthy 1`, `lockstep_store_info{engine="bolt"} 1`, `lockstep_devices_moved_together 0`,
	)
	for _, name := range []string{"lockstep_store_free_bytes ", "lockstep_store_journal_used_ratio ", "lockstep_clock_trusted ", "lockstep_replica_age_seconds ", "process_open_fds ", "go_goroutines ", "lockstep_build_info{"} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("no %s", name)
		}
	}
	wantNothingSecret(t, text, keys, code)
}

// wrongCode returns digits that are no code of k about now.
func wrongCode(t *testing.T, k verifier.Key) string {
	t.Helper()
	near := map[string]bool{}
	for step := k.Step(time.Now()) - 3000; step < k.Step(time.Now())+3000; step++ {
		code, err := k.Code(step)
		if err != nil {
			t.Fatal(err)
		}
		near[code] = true
	}
	for _, c := range []string{"000001", "222222", "333333", "444444", "555555", "777777"} {
		if !near[c] {
			return c
		}
	}
	t.Fatal("all codes are right")
	return ""
}

func wantNothingSecret(t *testing.T, text string, keys map[string]verifier.Key, code string) {
	t.Helper()
	secrets := []string{"canary", code, testSecret}
	for _, k := range keys {
		secrets = append(secrets, string(k.Bytes.Reveal()))
	}
	for _, secret := range secrets {
		for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.RawStdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
				t.Errorf("%q is shown in\n%s", form, text)
			}
		}
	}
}

// Nobody listens unless the configuration says so, and nothing is measured then.
func TestNoMetricsByDefault(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	people(t, filepath.Join(dir, "people.ldif"), "alice")
	s := begin(t, testConfig(dir, "people.ldif"))
	if s.metrics != nil || s.metrics.storeFor(s.store) != verifier.Store(s.store) || s.metrics.directory(s.dir) != verifier.Directory(s.dir) {
		t.Error("something is measured")
	}
}

// A client's numbers go on where its name stays, and what is not configured any
// more is not shown.
func TestMetricsOverReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := people(t, filepath.Join(dir, "people.ldif"), "alice", "bob")
	s := begin(t, measuredConfig(dir))
	login(t, s, "alice", keys["alice"])

	next := measuredConfig(dir)
	other := next.Radius.Clients[0]
	other.Name, other.Address = "other", netip.MustParsePrefix("192.0.2.0/24")
	next.Radius.Clients = append(next.Radius.Clients, other)
	reload(t, s, next)
	login(t, s, "bob", keys["bob"])
	text := scrape(t, s)
	wantSamples(t, text, `lockstep_logins_total{client="test",outcome="accepted",reason="none"} 2`,
		`lockstep_radius_auth_server_access_accepts_total{client="test"} 2`,
		`lockstep_logins_total{client="other",outcome="accepted",reason="none"} 0`,
		`lockstep_radius_auth_server_access_accepts_total{client="other"} 0`)
	reload(t, s, measuredConfig(dir))
	if text := scrape(t, s); strings.Contains(text, `"other"`) {
		t.Errorf("a client of before is shown:\n%s", text)
	}
}

func reload(t *testing.T, s *Server, cfg *config.Config) {
	t.Helper()
	old := s.clients.Load()
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the new configuration", func() bool { return s.clients.Load() != old })
}

// A port that is taken is told at the start, and nothing is left of it.
func TestMetricsPortTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	people(t, filepath.Join(dir, "people.ldif"), "alice")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := measuredConfig(dir)
	cfg.Metrics.Listen = netip.MustParseAddrPort(taken.Addr().String())
	if _, err := Start(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "listen for metrics") {
		t.Errorf("got %v", err)
	}
	begin(t, measuredConfig(dir)) // the store is free again
}

// Each kind of decision has a place of its own, a kind of reason that is new too:
// it belongs into the range that measure.go goes through.
func TestEveryDecisionHasItsKind(t *testing.T) {
	for _, tt := range []struct {
		d    verifier.Decision
		want metrics.Kind
	}{
		{verifier.Decision{Outcome: verifier.Accepted}, metrics.Kind{Outcome: metrics.Accepted, Reason: "none"}},
		{verifier.Decision{Outcome: verifier.Accepted, Repeated: true}, metrics.Kind{Outcome: metrics.Accepted, Reason: "repeated"}},
		{verifier.Decision{Outcome: verifier.Accepted, Resynchronized: true}, metrics.Kind{Outcome: metrics.Accepted, Reason: "resynchronized"}},
		{verifier.Decision{Outcome: verifier.Challenged}, metrics.Kind{Outcome: metrics.Challenged, Reason: "none"}},
		{verifier.Decision{Outcome: verifier.Challenged, NextCode: true}, metrics.Kind{Outcome: metrics.Challenged, Reason: "out of step"}},
		{verifier.Decision{Reason: verifier.Reason{Kind: 1000}}, metrics.Kind{Outcome: metrics.Refused, Reason: "none"}},
		{verifier.Decision{Reason: verifier.Reason{Kind: -1}}, metrics.Kind{Outcome: metrics.Refused, Reason: "none"}},
	} {
		if got := kinds[kindOf(tt.d)]; got != tt.want {
			t.Errorf("%+v counts as %+v, want %+v", tt.d, got, tt.want)
		}
	}
	for k := verifier.None; k <= verifier.Denied; k++ {
		want := metrics.Kind{Outcome: metrics.Refused, Reason: k.String()}
		if got := kinds[kindOf(verifier.Decision{Reason: verifier.Reason{Kind: k}})]; got != want {
			t.Errorf("%v counts as %+v", k, got)
		}
	}
	if got := kinds[kindUndecided]; got.Outcome != metrics.Undecided || len(kinds) != kindUndecided+1 {
		t.Errorf("undecided is %+v, of %d", got, len(kinds))
	}
	defer func() {
		if recover() == nil {
			t.Errorf("there is a kind after %v, which measure.go does not count", verifier.Denied)
		}
	}()
	_ = (verifier.Denied + 1).String()
}

type fakeAsked struct{ err error }

func (f fakeAsked) Account(string) (verifier.Account, error) { return verifier.Account{}, nil }
func (f fakeAsked) CheckPassword(context.Context, verifier.Account, opaque.Bytes) (verifier.PasswordInfo, error) {
	return verifier.PasswordInfo{}, f.err
}
func (f fakeAsked) Load(context.Context, string) (verifier.State, verifier.Version, error) {
	return verifier.State{}, 0, nil
}
func (f fakeAsked) CompareAndSwap(context.Context, string, verifier.Version, verifier.State) error {
	return f.err
}
func (f fakeAsked) CheckPasswordMeanwhile(_ context.Context, _ verifier.Account, _ opaque.Bytes, meanwhile func() (late func())) (verifier.PasswordInfo, error) {
	meanwhile()
	return verifier.PasswordInfo{}, f.err
}
func (f fakeAsked) Authenticate(context.Context, *radiusd.Request) (radiusd.Answer, error) {
	return radiusd.Answer{}, f.err
}

// What comes of a question is passed on as it is, and counted as what it is.
func TestMeasuringPassesOn(t *testing.T) {
	for _, tt := range []struct {
		err               error
		password, written string
	}{
		{nil, "right", "written"},
		{&verifier.PasswordError{Cause: "expired"}, "wrong", "unknown"},
		{verifier.ErrConflict, "unknown", "conflict"},
		{errors.New("away"), "unknown", "unknown"},
	} {
		m := &measuring{set: metrics.New(func() metrics.State { return metrics.State{} })}
		m.set.Kinds(kinds)
		m.set.Show([]string{"vpn"})
		f := fakeAsked{tt.err}
		called := false
		early, ok := m.directory(f).(verifier.Waiting)
		if !ok {
			t.Fatal("what is measured cannot wait any more")
		}
		if _, err := early.CheckPasswordMeanwhile(t.Context(), verifier.Account{}, opaque.Bytes{}, func() func() { called = true; return nil }); err != tt.err || !called {
			t.Errorf("CheckPasswordMeanwhile: %v, want %v; called: %v", err, tt.err, called)
		}
		if err := (timedStore{f, m.set}).CompareAndSwap(t.Context(), "", 0, verifier.State{}); err != tt.err {
			t.Errorf("CompareAndSwap: %v, want %v", err, tt.err)
		}
		c := radiusd.Client{Name: "vpn", Auth: f}
		m.countUndecided(&c)
		if _, err := c.Auth.Authenticate(t.Context(), &radiusd.Request{}); err != tt.err {
			t.Errorf("Authenticate: %v, want %v", err, tt.err)
		}
		undecided := "0"
		if tt.err != nil {
			undecided = "1"
		}
		wantSamples(t, handled(m), `lockstep_password_check_duration_seconds_count{result="`+tt.password+`"} 1`,
			`lockstep_store_write_duration_seconds_count{result="`+tt.written+`"} 1`,
			`lockstep_logins_total{client="vpn",outcome="undecided",reason="none"} `+undecided)
	}
}

func handled(m *measuring) string {
	w := httptest.NewRecorder()
	m.set.Handler().ServeHTTP(w, httptest.NewRequest("GET", metrics.Path, nil))
	return w.Body.String()
}

type fakeShared struct {
	store.Store
	older bool
}

func (f fakeShared) Older(verifier.Version, time.Duration) bool { return f.older }

// A store that knows how old its versions are must go on saying so, or a login that
// comes again at another server is refused.
func TestMeasuringKeepsAger(t *testing.T) {
	m := &measuring{set: metrics.New(func() metrics.State { return metrics.State{} })}
	for _, older := range []bool{true, false} {
		ager, ok := m.storeFor(fakeShared{older: older}).(verifier.Ager)
		if !ok || ager.Older(1, time.Second) != older {
			t.Errorf("Older is there: %v", ok)
		}
	}
	if _, ok := m.storeFor(struct{ store.Store }{}).(verifier.Ager); ok {
		t.Error("a store without Older has one")
	}
}

// What the members of a cluster say, and the clocks of the other servers, are shown;
// a member is asked no more often than every few seconds.
func TestMeasuringCluster(t *testing.T) {
	cluster := &countedCluster{fakeCluster: fakeCluster{peers: []store.Peer{{Name: "b", Ahead: -3 * time.Second, Seen: time.Unix(1000, 0)}, {Name: "a"}}},
		health: etcd.Health{Alarms: []string{"NOSPACE at node 1"}, Members: []etcd.Member{{Endpoint: "https://e1:2379", DBSize: 5, Quota: 7}, {Endpoint: "https://e2:2379", Err: errors.New("away")}}}}
	s := &Server{cfg: &config.Config{Store: config.Store{Engine: "etcd"}}, ctx: t.Context(), sharing: &sharing{name: "a", store: cluster}}
	m := &measuring{server: s}
	m.set = metrics.New(func() metrics.State { return metrics.State{Store: m.lookAtStore(), Peers: m.lookAtPeers()} })
	m.set.Kinds(kinds)
	handled(m)
	wantSamples(t, handled(m),
		`lockstep_etcd_member_up{endpoint="https://e1:2379"} 1`, `lockstep_etcd_member_up{endpoint="https://e2:2379"} 0`,
		`lockstep_etcd_member_database_bytes{endpoint="https://e1:2379"} 5`, `lockstep_etcd_member_quota_bytes{endpoint="https://e1:2379"} 7`,
		`lockstep_etcd_alarms 1`, `lockstep_store_info{engine="etcd"} 1`,
		`lockstep_peer_clock_ahead_seconds{server="b"} -3`, `lockstep_peer_last_seen_timestamp_seconds{server="b"} 1000`)
	if cluster.asked != 1 {
		t.Errorf("the cluster was asked %d times", cluster.asked)
	}
}

type countedCluster struct {
	fakeCluster
	health etcd.Health
	asked  int
}

func (c *countedCluster) Health(context.Context) etcd.Health { c.asked++; return c.health }
