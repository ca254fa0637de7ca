package metrics

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// whole is a State in which everything is known.
func whole() State {
	used, yes, alarms := 0.5, true, 1
	return State{
		Radius: Radius{Drops: map[string]uint64{"queue full": 3}}, Clients: []ClientState{{Name: "vpn", Requests: 7}},
		Directory: Directory{Mode: "poll"},
		Store:     Store{Engine: "etcd", Free: &Space{1, 2}, Journal: &used, Members: []Member{{Endpoint: "e", Up: true}}, Alarms: &alarms},
		Clock:     Clock{Synchronised: &yes}, Peers: []Peer{{Name: "b"}}, Certificates: []Certificate{{Setting: "store.cert_file"}},
	}
}

var testKinds = []Kind{{Accepted, "none"}, {Refused, "code wrong"}, {Undecided, "none"}}

func newSet(look func() State) *Set {
	s := New(look)
	s.Kinds(testKinds)
	return s
}

func scrape(t testing.TB, s *Set) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", Path, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func TestWhatIsMeasuredIsShown(t *testing.T) {
	s := newSet(whole)
	s.Show([]string{"vpn"})
	c := s.Client("vpn")
	c.Login(1, 20*time.Millisecond)
	c.Login(1, 20*time.Millisecond)
	c.Offset(-40 * time.Second)
	s.PasswordChecked(No, time.Second)
	s.StateWritten(Unknown, time.Millisecond)
	wantLines(t, scrape(t, s),
		`lockstep_logins_total{client="vpn",outcome="accepted",reason="none"} 0`,
		`lockstep_logins_total{client="vpn",outcome="refused",reason="code wrong"} 2`,
		`lockstep_login_duration_seconds_bucket{outcome="refused",le="0.025"} 2`,
		`lockstep_login_duration_seconds_bucket{outcome="refused",le="0.01"} 0`,
		`lockstep_password_check_duration_seconds_count{result="wrong"} 1`,
		`lockstep_store_write_duration_seconds_count{result="unknown"} 1`,
		`lockstep_device_clock_offset_seconds_bucket{le="-30"} 1`,
		`lockstep_device_clock_offset_seconds_bucket{le="-60"} 0`,
		`lockstep_radius_auth_server_access_requests_total{client="vpn"} 7`,
		`lockstep_radius_drops_total{reason="queue full"} 3`,
		`lockstep_client_last_seen_timestamp_seconds{client="vpn"} 0`,
		`lockstep_directory_mode{mode="poll"} 1`,
		`lockstep_store_journal_used_ratio 0.5`,
		`lockstep_clock_synchronised 1`,
	)
	// What nobody measures any more, and what is measured by nobody.
	(*Client)(nil).Login(0, 0)
	(*Client)(nil).Offset(0)
}

func TestWhatIsNotKnownIsNotShown(t *testing.T) {
	text := scrape(t, newSet(func() State { return State{Directory: Directory{Age: -1}} }))
	for _, name := range []string{"lockstep_store_free_bytes", "lockstep_store_journal", "lockstep_etcd", "lockstep_clock_synchronised", "lockstep_replica_age", "lockstep_directory_mode", "lockstep_logins_total"} {
		if strings.Contains(text, "\n"+name) {
			t.Errorf("%s is shown:\n%s", name, text)
		}
	}
}

// A client that is not configured any more is not shown; back again, it counts on.
func TestClientsComeAndGo(t *testing.T) {
	s := newSet(whole)
	const line = `lockstep_logins_total{client="vpn",outcome="accepted",reason="none"} 1`
	s.Client("vpn").Login(0, 0)
	for _, shown := range [][]string{{}, {"vpn"}, {"other"}, {"vpn", "other"}} {
		s.Show(shown)
		if got, want := strings.Contains(scrape(t, s), line), len(shown) > 0 && shown[0] == "vpn"; got != want {
			t.Errorf("with %q, shown is %v", shown, got)
		}
	}
}

// Who can write to the cluster can make up servers: any number, of any name.
func TestHostilePeers(t *testing.T) {
	s := newSet(func() State {
		st := whole()
		st.Peers = nil
		for i := range 1000 {
			st.Peers = append(st.Peers, Peer{Name: "\xff\"\n" + strings.Repeat("x", i)})
		}
		return st
	})
	text := scrape(t, s)
	if n := strings.Count(text, "\nlockstep_peer_clock_ahead_seconds{"); n != mostPeers {
		t.Errorf("%d are shown", n)
	}
	if !strings.Contains(text, `server="`+"\ufffd"+`\"\nx"`) {
		t.Error("a name is not shown as it should be")
	}
}

func TestNothingElseIsServed(t *testing.T) {
	h := newSet(whole).Handler()
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/metrics", 200}, {"HEAD", "/metrics", 200}, {"POST", "/metrics", 405}, {"DELETE", "/metrics", 405}, {"GET", "/", 404},
		{"GET", "/metrics/", 404}, {"GET", "/debug/pprof/", 404}, {"GET", "//metrics", 404}, {"GET", "/x/../metrics", 404}, {"OPTIONS", "*", 404},
	} {
		r := httptest.NewRequest(tt.method, "http://x/", nil)
		r.URL.Path = tt.path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, w.Code, tt.want)
		}
	}
}

// Strangers that connect and say nothing take no more than a few connections.
func TestConnectionsAreBounded(t *testing.T) {
	inner, err := Listen(context.Background(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	l := newLimited(inner.(*limited).Listener, 2)
	came := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			came <- c
		}
	}()
	for range 4 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-came
	<-came
	none := func(what string) {
		t.Helper()
		select {
		case <-came:
			t.Error(what)
		case <-time.After(50 * time.Millisecond):
		}
	}
	none("a third was taken")
	first.Close()
	first.Close() // frees one place and no more
	<-came
	none("a fourth was taken")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("Accept goes on after Close")
	}
}

func TestServer(t *testing.T) {
	l, err := Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	srv := NewServer(newSet(whole), slog.New(slog.NewTextHandler(&log, nil)))
	go srv.Serve(l)
	defer srv.Close()
	reply, err := http.Get("http://" + l.Addr().String() + Path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil || !strings.Contains(string(text), "lockstep_build_info{") || !strings.HasPrefix(reply.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%v, %v:\n%s", err, reply.Header, text)
	}
	if srv.ReadHeaderTimeout == 0 || srv.ReadTimeout == 0 || srv.WriteTimeout == 0 || srv.IdleTimeout == 0 {
		t.Error("there is something that lasts for ever")
	}
}

// BenchmarkLogin is all that is measured of one login that is let in.
func BenchmarkLogin(b *testing.B) {
	s := newSet(whole)
	c := s.Client("vpn")
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		s.PasswordChecked(Yes, time.Since(began))
		began = time.Now()
		s.StateWritten(Yes, time.Since(began))
		c.Login(0, time.Since(began))
		c.Offset(3 * time.Second)
	}
}

func BenchmarkScrape(b *testing.B) {
	s := newSet(whole)
	s.Show([]string{"vpn"})
	for b.Loop() {
		scrape(b, s)
	}
}
