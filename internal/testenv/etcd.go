package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// EtcdCluster is a real etcd cluster, its nodes numbered from 0.
type EtcdCluster struct {
	nodes []*EtcdNode
	tls   *tls.Config // nil without WithEtcdTLS
	web   *http.Client
}

// EtcdNode is one node: a process that can be stopped, killed, frozen and
// started again with what it has on disk. Start returns when it is there for
// its peers; it serves nobody before there is a quorum, for which see
// [EtcdCluster.AwaitHealthy].
type EtcdNode struct {
	daemon
	endpoint string // for clients
	listen   string // for peers
	peerURL  string // as advertised
	data     string
}

type etcdOptions struct {
	tls       bool
	disk      bool
	arguments []string
	peerURL   func(node int, listen string) string
}

// EtcdOption is an option of [Etcd].
type EtcdOption func(*etcdOptions)

// WithEtcdTLS makes the nodes speak TLS to clients, and demand a certificate;
// see [EtcdCluster.TLS].
func WithEtcdTLS() EtcdOption { return func(o *etcdOptions) { o.tls = true } }

// WithEtcdDisk makes the nodes wait for the disk, as they do in earnest, for who
// measures them. Without it they do not, where etcd can be told so: a process that is
// killed loses nothing by that, and a disk that others keep busy holds up a cluster
// for as long as it takes to elect another leader.
func WithEtcdDisk() EtcdOption { return func(o *etcdOptions) { o.disk = true } }

const withoutDisk = "--unsafe-no-fsync"

// canLeaveDisk reports whether this etcd knows withoutDisk, as old ones do not.
var canLeaveDisk = sync.OnceValue(func() bool { return exec.Command("etcd", withoutDisk, "--version").Run() == nil })

// WithEtcdArguments adds to the command line of each node.
func WithEtcdArguments(arguments ...string) EtcdOption {
	return func(o *etcdOptions) { o.arguments = append(o.arguments, arguments...) }
}

// WithEtcdPeerURL sets what each node tells its peers to call it by, so that
// they meet in a proxy of the caller's. It is called once for each node, before
// any of them runs, with the address, host:port, that the node will listen at.
func WithEtcdPeerURL(advertise func(node int, listen string) (url string)) EtcdOption {
	return func(o *etcdOptions) { o.peerURL = advertise }
}

// Etcd starts a cluster of 1 or more nodes on free ports of loopback, and
// returns when it is healthy. It is stopped at the end of t. Without etcd t is
// skipped; see [Tool].
func Etcd(t testing.TB, nodes int, options ...EtcdOption) *EtcdCluster {
	t.Helper()
	program := Tool(t, "etcd")
	o := etcdOptions{peerURL: func(_ int, listen string) string { return "http://" + listen }}
	for _, option := range options {
		option(&o)
	}
	c, dir := &EtcdCluster{}, t.TempDir()
	arguments := []string{"--log-level", "error", "--logger", "zap"}
	if canLeaveDisk() && !o.disk {
		arguments = append(arguments, withoutDisk)
	}
	if o.tls {
		c.certify(t, dir)
		arguments = append(arguments, "--client-cert-auth", "--trusted-ca-file", filepath.Join(dir, "ca.pem"),
			"--cert-file", filepath.Join(dir, "cert.pem"), "--key-file", filepath.Join(dir, "key.pem"))
	}
	c.web = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: c.tls, DisableKeepAlives: true}}
	for i := range nodes {
		c.nodes = append(c.nodes, newEtcdNode(t, i, o, filepath.Join(dir, "node"+strconv.Itoa(i))))
	}
	for i, n := range c.nodes {
		own := append(n.arguments(i, c.peers()), append(arguments, o.arguments...)...)
		n.daemon = daemon{name: "etcd " + strconv.Itoa(i), ready: n.listens, command: func() *exec.Cmd { return exec.Command(program, own...) }}
		t.Cleanup(func() { n.Kill(t) }) // there is nothing to save, and a node alone takes long to stop
		n.Start(t)
	}
	c.AwaitHealthy(t)
	return c
}

func newEtcdNode(t testing.TB, i int, o etcdOptions, data string) *EtcdNode {
	t.Helper()
	scheme := "http"
	if o.tls {
		scheme = "https"
	}
	n := &EtcdNode{
		endpoint: fmt.Sprintf("%s://127.0.0.1:%d", scheme, Port(t)),
		listen:   fmt.Sprintf("127.0.0.1:%d", Port(t)),
		data:     data,
	}
	n.peerURL = o.peerURL(i, n.listen)
	return n
}

func (n *EtcdNode) arguments(i int, peers string) []string {
	return []string{
		"--name", "node" + strconv.Itoa(i), "--data-dir", n.data, "--initial-cluster", peers,
		"--listen-client-urls", n.endpoint, "--advertise-client-urls", n.endpoint,
		"--listen-peer-urls", "http://" + n.listen, "--initial-advertise-peer-urls", n.peerURL,
	}
}

// peers is the cluster as etcd wants to be told.
func (c *EtcdCluster) peers() string {
	var peers []string
	for i, n := range c.nodes {
		peers = append(peers, fmt.Sprintf("node%d=%s", i, n.peerURL))
	}
	return strings.Join(peers, ",")
}

func (c *EtcdCluster) certify(t testing.TB, dir string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(writeCertificate(t, dir, "127.0.0.1"))
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	c.tls = &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}
}

// Endpoints returns the client URLs of all nodes.
func (c *EtcdCluster) Endpoints() (urls []string) {
	for _, n := range c.nodes {
		urls = append(urls, n.endpoint)
	}
	return urls
}

// TLS returns what a client needs, its certificate included; nil without
// [WithEtcdTLS].
func (c *EtcdCluster) TLS() *tls.Config { return c.tls.Clone() }

// Node returns node i, counted from 0.
func (c *EtcdCluster) Node(i int) *EtcdNode { return c.nodes[i] }

// Nodes returns how many there are.
func (c *EtcdCluster) Nodes() int { return len(c.nodes) }

// AwaitHealthy waits until every node that runs has a leader and says that the
// quorum answers.
func (c *EtcdCluster) AwaitHealthy(t testing.TB) {
	t.Helper()
	for _, n := range c.nodes {
		if n.cmd == nil {
			continue
		}
		var err error
		awaitEvery(electionPause, patience, func() bool { err = c.health(n); return err == nil || n.gone() })
		if err != nil {
			t.Fatalf("%s is not healthy: %v\n%s", n.name, err, c.state())
		}
	}
}

// electionPause is the time between two looks, each of which costs a node more than
// a login does.
const electionPause = 25 * time.Millisecond

// health returns nil if the node says that the quorum answers.
func (c *EtcdCluster) health(n *EtcdNode) error {
	body, err := c.get(n.endpoint + "/health")
	if err == nil && !strings.Contains(body, `"health":"true"`) {
		err = fmt.Errorf("it says %q", body)
	}
	return err
}

// state is what is known of the nodes, for who reads of a failure.
func (c *EtcdCluster) state() string {
	var b strings.Builder
	for _, n := range c.nodes {
		switch {
		case n.cmd == nil:
			fmt.Fprintf(&b, "%s is stopped\n", n.name)
		case n.gone():
			fmt.Fprintf(&b, "%s has ended: %s\n%s", n.name, n.cmd.ProcessState, n.Log())
		default:
			fmt.Fprintf(&b, "%s runs, for clients at %s, for peers at %s\n%s", n.name, n.endpoint, n.listen, n.Log())
		}
	}
	return b.String()
}

// Leader returns the number of the node that leads. There must be one soon.
func (c *EtcdCluster) Leader(t testing.TB) (leader int) {
	t.Helper()
	if !awaitEvery(electionPause, patience, func() bool { leader = c.leads(); return leader >= 0 }) {
		t.Fatalf("etcd has no leader\n%s", c.state())
	}
	return leader
}

// leads returns the number of the node that says that it leads, or -1.
func (c *EtcdCluster) leads() int {
	return slices.IndexFunc(c.nodes, func(n *EtcdNode) bool {
		if n.cmd == nil {
			return false
		}
		body, err := c.get(n.endpoint + "/metrics")
		return err == nil && strings.Contains(body, "\netcd_server_is_leader 1\n")
	})
}

func (c *EtcdCluster) get(url string) (string, error) {
	response, err := c.web.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// Endpoint returns the URL for clients.
func (n *EtcdNode) Endpoint() string { return n.endpoint }

// Address returns the address for clients, host:port, for a proxy.
func (n *EtcdNode) Address() string {
	_, address, _ := strings.Cut(n.endpoint, "://")
	return address
}

// PID returns the id of the process. The node must be running.
func (n *EtcdNode) PID() int { return n.cmd.Process.Pid }

// DataDir returns the directory of the node's data.
func (n *EtcdNode) DataDir() string { return n.data }

// listens says whether the node is there for its peers.
func (n *EtcdNode) listens() bool {
	conn, err := net.Dial("tcp", n.listen)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// Wipe ends the node, deletes its data, and starts it anew as it was at first.
// With one node that makes a new cluster.
func (n *EtcdNode) Wipe(t testing.TB) {
	t.Helper()
	n.Kill(t)
	if err := os.RemoveAll(n.data); err != nil {
		t.Fatal(err)
	}
	n.Start(t)
}
