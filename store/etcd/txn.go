package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"lockstep/verifier"
)

// groupWait is how long a transaction is tried. Those who wait for it may leave
// sooner.
const groupWait = 5 * time.Second

// read answers each of group by what is at its key.
func (s *Store) read(group []*request) {
	request := &pb.TxnRequest{}
	for _, r := range group {
		request.Success = append(request.Success, rangeOp(r.key))
	}
	reply, _, err := s.transact(request, len(group))
	for i, r := range group {
		if err != nil {
			r.answer <- outcome{err: err}
			continue
		}
		is := only(reply.Responses[i].GetResponseRange())
		s.mirror.learn(r.key, is, reply.Header.Revision)
		r.answer <- outcome{is: is}
	}
}

// write has each of group done, or finds out why not. Each is a transaction of
// its own within the one that is sent, so that a conflict is its alone.
func (s *Store) write(group []*request) {
	group = s.dropPassed(group)
	if len(group) == 0 {
		return
	}
	changes := make([]*pb.TxnRequest, len(group))
	for i, r := range group {
		s.mirror.expect(r.key)
		changes[i] = change(r)
	}
	reply, sent, err := s.transact(grouped(changes...), len(group))
	s.noteWrite(err)
	s.groups.Add(1)
	for i, r := range group {
		if err != nil {
			r.answer <- outcome{err: fmt.Errorf("%w: %w", errUnknown, err)}
			continue
		}
		o := s.outcome(r, reply.Responses[i].GetResponseTxn(), reply.Header.Revision)
		o.resent = sent > 1
		r.answer <- o
	}
}

// dropPassed answers those who come too late for sure, so that of many who want
// to change one record only the first costs a transaction.
func (s *Store) dropPassed(group []*request) []*request {
	left := group[:0]
	for _, r := range group {
		// Where nothing shall be there it may have been deleted since.
		if is, ok := s.mirror.passed(r.key, r.old); ok && r.old > 0 {
			r.answer <- outcome{is: is}
		} else {
			left = append(left, r)
		}
	}
	return left
}

func (s *Store) outcome(r *request, reply *pb.TxnResponse, revision int64) outcome {
	if reply.GetSucceeded() {
		is := record{}
		switch {
		case r.same:
			is = record{rev: r.old, value: r.value}
		case r.value != nil:
			is = record{rev: revision, value: r.value}
		}
		s.mirror.learn(r.key, is, revision)
		return outcome{done: true}
	}
	var is record
	if len(reply.GetResponses()) == 1 {
		is = only(reply.Responses[0].GetResponseRange())
	}
	s.mirror.learn(r.key, is, revision)
	return outcome{is: is, done: ours(is.value, r.value)} // by an earlier try
}

// transact returns a reply with n parts.
func (s *Store) transact(request *pb.TxnRequest, n int) (*pb.TxnResponse, int, error) {
	ctx, cancel := context.WithTimeout(s.background, groupWait)
	defer cancel()
	reply, sent, err := ask(ctx, s.cluster, func(ctx context.Context, to *node) (*pb.TxnResponse, error) { return to.txn(ctx, request) })
	if err == nil && len(reply.Responses) != n {
		err = fmt.Errorf("etcd answers %d questions with %d answers", n, len(reply.Responses))
	}
	return reply, sent, err
}

func rangeOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key)}}}
}

// grouped is one transaction in which each of parts is done or not by itself.
func grouped(parts ...*pb.TxnRequest) *pb.TxnRequest {
	all := &pb.TxnRequest{Success: make([]*pb.RequestOp, len(parts))}
	for i, part := range parts {
		all.Success[i] = &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: part}}
	}
	return all
}

// change is: if the revision is the old one then write or delete, else tell
// what is there. One that would change nothing asks for that alone.
func change(r *request) *pb.TxnRequest {
	then := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(r.key), Value: r.value}}}
	switch {
	case r.same:
		then = rangeOp(r.key)
	case r.value == nil:
		then = &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(r.key)}}}
	}
	return &pb.TxnRequest{
		Compare: []*pb.Compare{{
			Key: []byte(r.key), Target: pb.Compare_MOD, Result: pb.Compare_EQUAL,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: r.old},
		}},
		Success: []*pb.RequestOp{then},
		Failure: []*pb.RequestOp{rangeOp(r.key)},
	}
}

// only returns the record of a range of one key.
func only(reply *pb.RangeResponse) record {
	if len(reply.GetKvs()) == 0 {
		return record{}
	}
	return recordOf(reply.Kvs[0])
}

func recordOf(kv *mvccpb.KeyValue) record { return record{rev: kv.ModRevision, value: kv.Value} }

// maxHistory is how far settle goes back.
const maxHistory = 16

// settle finds out whether value was written to key upon revision old, by a try
// whose answer was lost, although there is something else by now. What was there
// before is known to etcd, for a minute at least.
func (s *Store) settle(ctx context.Context, key string, old int64, value []byte, is record) error {
	for back := range maxHistory {
		switch {
		case is.rev == 0 && old == 0 && back > 0:
			// Others have begun with nothing, as this one would have. Even had its
			// value been there and deleted before that, they count now.
			return verifier.ErrConflict
		case is.rev == 0:
			return fmt.Errorf("%w: it was deleted since", errUnknown)
		case ours(is.value, value):
			return nil
		case is.rev <= old:
			return verifier.ErrConflict
		}
		before := &pb.RangeRequest{Key: []byte(key), Revision: is.rev - 1}
		reply, _, err := ask(ctx, s.cluster, func(ctx context.Context, to *node) (*pb.RangeResponse, error) { return to.get(ctx, before) })
		if err != nil {
			return fmt.Errorf("%w: %w", errUnknown, err)
		}
		is = only(reply)
	}
	return fmt.Errorf("%w: it was changed more than %d times since", errUnknown, maxHistory)
}

// noteWrite remembers for Check how the last write went.
func (s *Store) noteWrite(err error) {
	if errors.Is(err, context.Canceled) && s.background.Err() != nil {
		return
	}
	if !s.pulse.wrote(err) {
		return
	}
	if err != nil {
		s.opts.Log.Error("etcd cannot be written", "err", err)
	} else {
		s.opts.Log.Info("etcd can be written again")
	}
}
