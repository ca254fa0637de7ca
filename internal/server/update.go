package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"lockstep/verifier"
)

// updateTime bounds how long somebody who has enrolled people waits for the
// directory to be read. What it misses is seen in due time all the same.
const updateTime = 5 * time.Second

// Update reads at once what has changed in the directory.
func (u users) Update(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	if err := u.dir.current.Load().Update(ctx); err != nil {
		return fmt.Errorf("look at the directory: %w", err)
	}
	return nil
}

// SealingKeys returns the IDs of the private keys in use.
func (u users) SealingKeys(context.Context) ([]string, error) {
	return u.dir.current.Load().Opens(), nil
}

// pending tells whether no code of the keys has been right yet: none at a login, and
// none at enrolment that this server was told of.
func pending(st verifier.Standing) bool {
	return !slices.ContainsFunc(st.Tokens, func(t verifier.TokenStanding) bool {
		return len(t.Recent) > 0 || !t.Clock.At.IsZero()
	})
}
