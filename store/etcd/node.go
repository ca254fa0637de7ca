package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/grpclog"
)

// grpc prints what goes wrong to stderr unless it is told otherwise, and may be
// told only before it is used. Nothing else in this program uses it.
func init() { grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)) }

// node is one member of the cluster, by one of its client URLs. Each has a
// client of its own: one for all would choose by itself whom to ask, and stay
// with a node that is frozen.
type node struct {
	endpoint string
	config   clientv3.Config
	client   atomic.Pointer[clientv3.Client] // nil until it is made
	fault    atomic.Pointer[error]           // why it is not
}

const (
	loginWait   = 2 * time.Second // for etcd to check user and password
	connectWait = 2 * time.Second
	connectGap  = time.Second // at most, between tries
	// grpc takes no shorter time. A node that hangs is passed by sooner, see
	// ask; this is for connections that nobody would close.
	keepalive     = 10 * time.Second
	keepaliveWait = 3 * time.Second
)

func newNode(endpoint string, opts Options) *node {
	n := &node{endpoint: endpoint, config: clientv3.Config{
		Endpoints:            []string{endpoint},
		TLS:                  opts.TLS.Clone(),
		Username:             opts.User,
		Password:             string(opts.Password.Reveal()),
		DialTimeout:          loginWait,
		DialKeepAliveTime:    keepalive,
		DialKeepAliveTimeout: keepaliveWait,
		PermitWithoutStream:  true,
		Logger:               zap.NewNop(),
		MaxUnaryRetries:      1, // that is, none: ask sees to it, and counts
		DialOptions: []grpc.DialOption{
			grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: connectWait, Backoff: backoff.Config{
				BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: connectGap,
			}}),
			grpc.WithNoProxy(), // the environment says nothing about where our data go
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
		},
	}}
	if opts.User != "" {
		n.config.MaxUnaryRetries = 2 // one with a new token
	}
	if n.config.TLS == nil && strings.HasPrefix(endpoint, "https:") {
		n.config.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return n
}

// start makes the client. With a user that asks etcd for a token, and has to be
// tried until it answers; without, an error is one of the settings.
func (n *node) start(ctx context.Context, background *sync.WaitGroup) error {
	n.config.Context = ctx
	if n.config.Username == "" {
		return n.make()
	}
	background.Go(func() {
		for n.make() != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(connectGap / 2):
			}
		}
	})
	return nil
}

func (n *node) make() error {
	client, err := clientv3.New(n.config)
	if err != nil {
		n.fault.Store(&err)
		return err
	}
	n.client.Store(client)
	return nil
}

func (n *node) close() {
	if client := n.client.Load(); client != nil {
		client.Close()
	}
}

var errNotConnected = errors.New("not connected yet")

// conn returns the connection, which may be down.
func (n *node) conn() (*clientv3.Client, error) {
	if client := n.client.Load(); client != nil {
		return client, nil
	}
	if fault := n.fault.Load(); fault != nil {
		return nil, fmt.Errorf("%w: %w", errNotConnected, *fault)
	}
	return nil, errNotConnected
}

// txn and get go past the client's own functions: these build and copy requests anew
// for each try, and wait for a node that is known to be away.
func (n *node) txn(ctx context.Context, request *pb.TxnRequest) (*pb.TxnResponse, error) {
	client, err := n.conn()
	if err != nil {
		return nil, err
	}
	return pb.NewKVClient(client.ActiveConnection()).Txn(ctx, request)
}

func (n *node) get(ctx context.Context, request *pb.RangeRequest) (*pb.RangeResponse, error) {
	client, err := n.conn()
	if err != nil {
		return nil, err
	}
	return pb.NewKVClient(client.ActiveConnection()).Range(ctx, request)
}

func (n *node) compact(ctx context.Context, revision int64) (*pb.CompactionResponse, error) {
	client, err := n.conn()
	if err != nil {
		return nil, err
	}
	return pb.NewKVClient(client.ActiveConnection()).Compact(ctx, &pb.CompactionRequest{Revision: revision})
}
