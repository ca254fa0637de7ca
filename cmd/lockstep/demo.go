package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/internal/server"
	"lockstep/ldapsync/userpassword"
	"lockstep/verifier"
)

//go:embed demo.ldif
var demoLDIF string

// demoPort is where RADIUS servers listen.
const demoPort = 1812

// person is one of the demo's two.
type person struct {
	name     string
	password string
	key      verifier.Key
}

// code returns the person's code so many steps from now.
func (p person) code(offset int64) string {
	code, err := p.key.Code(p.key.Step(time.Now()) + offset)
	if err != nil {
		// The key was made a moment ago, by newPerson.
		panic(err)
	}
	return code
}

// demonstration is a running demo.
type demonstration struct {
	*app
	dir        string // removed at the end
	alice, bob person
	secret     string
	server     *server.Server
	addr       netip.AddrPort
	log        *reasonLog
	reason     string // that the log gave for the last login of the show
}

func (a *app) demo(args []string) error {
	fs := a.flags("demo", "demo [-once]\n\nRuns a server with a directory of two people in a temporary folder, shows that it works, and\nserves until it is interrupted.\n")
	once := fs.Bool("once", false, "exit when it has been shown: 0 only if all of it held")
	if err := a.parse(fs, args, 0); err != nil {
		return err
	}
	ctx, stopSignals := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stopSignals()
	dir, err := os.MkdirTemp("", "lockstep-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d := &demonstration{app: a, dir: dir}
	if err := d.start(ctx); err != nil {
		return err
	}
	defer d.stop()
	if err := d.introduce(); err != nil {
		return err
	}
	held := d.showAll(ctx)
	switch {
	case ctx.Err() != nil && !*once:
		return nil
	case !held:
		return &failure{status: statusNo, err: errors.New("the demo did not go as it should")}
	case *once:
		return nil
	}
	return d.serveOn(ctx)
}

func (d *demonstration) start(ctx context.Context) error {
	d.alice = newPerson("alice", "wonderland", verifier.SHA1, 6)
	d.bob = newPerson("bob", "builder2000", verifier.SHA256, 8)
	d.secret = rand.Text()
	ldif, err := d.ldif()
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"directory.ldif": ldif, "secret": d.secret + "\n"} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	d.log = newReasonLog(d.err, d.bob.name)
	if d.server, err = d.listen(); err != nil {
		return err
	}
	d.addr = d.server.Addrs()[0]
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := d.server.WaitReady(ctx); err != nil {
		d.stop()
		return err
	}
	return nil
}

// listen takes the usual port, or another where that is taken.
func (d *demonstration) listen() (*server.Server, error) {
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), demoPort)
	s, err := server.Start(d.config(addr), slog.New(d.log))
	if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EACCES) {
		return s, err
	}
	fmt.Fprintf(d.out, "Port %d is taken; another one will do.\n\n", demoPort)
	return server.Start(d.config(netip.AddrPortFrom(addr.Addr(), 0)), slog.New(d.log))
}

func (d *demonstration) config(addr netip.AddrPort) *config.Config {
	return &config.Config{
		Directory: config.Directory{
			URLs:           []string{"ldif:" + filepath.Join(d.dir, "directory.ldif")},
			LoginAttribute: "uid", Schema: "oath", KeyAttribute: "oathSecret", KeyEncoding: "base32",
			Timeout: 2 * time.Second, Pool: 4,
		},
		Store: config.Store{Engine: "bolt", Path: filepath.Join(d.dir, "state.db")},
		Radius: config.Radius{
			Listen: []netip.AddrPort{addr},
			Clients: []config.Client{{
				Name: "demo", Address: netip.MustParsePrefix("127.0.0.0/8"), Secret: opaque.Text(d.secret),
				RequireMessageAuthenticator: true, Factors: "password+code", Challenge: true, RejectDelay: time.Second,
			}},
		},
		Verifier: config.Verifier{MaxFailures: verifier.DefaultMaxFailures, TrustClock: true},
	}
}

func newPerson(name, password string, algorithm verifier.Algorithm, digits int) person {
	key := make([]byte, 32)
	rand.Read(key)
	if algorithm == verifier.SHA1 {
		key = key[:20]
	}
	return person{name, password, verifier.Key{Bytes: opaque.Of(key), Algorithm: algorithm, Digits: digits, Period: 30 * time.Second}}
}

func (d *demonstration) ldif() (string, error) {
	var fill []string
	for _, p := range []person{d.alice, d.bob} {
		hash, err := userpassword.New([]byte(p.password))
		if err != nil {
			return "", err
		}
		fill = append(fill, "{{"+p.name+".hash}}", hash, "{{"+p.name+".key}}", base32.StdEncoding.EncodeToString(p.key.Bytes.Reveal()))
	}
	return strings.NewReplacer(fill...).Replace(demoLDIF), nil
}

func (d *demonstration) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := d.server.Shutdown(ctx); err != nil {
		fmt.Fprintf(d.err, "lockstep: error: %v\n", err)
	}
}

// serveOn shows each new code until ctx ends.
func (d *demonstration) serveOn(ctx context.Context) error {
	fmt.Fprintf(d.out, "\nServing on %s until Ctrl-C. Codes, each good for one login:\n", d.addr)
	for {
		now := time.Now()
		next := d.alice.key.Start(d.alice.key.Step(now) + 1)
		fmt.Fprintf(d.out, "  %s  alice %s  bob %s\n", now.Format(time.TimeOnly), d.alice.code(0), d.bob.code(0))
		select {
		case <-ctx.Done():
			fmt.Fprintln(d.out)
			return nil
		case err := <-d.server.Failed():
			return err
		case <-time.After(time.Until(next)):
		}
	}
}
