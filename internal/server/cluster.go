package server

import (
	"context"
	"errors"
)

// Where etcd does not tell its quota, this is what it has unless configured.
const defaultQuota = 2 << 30

// silence says what err is, for people.
func silence(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
