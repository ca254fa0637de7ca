package admin

import (
	"context"
	"net/http"
)

// update has the server look at once at what has changed in the directory.
func (h handler) update(w http.ResponseWriter, r *http.Request) {
	err := h.users.Update(r.Context())
	err = h.audit(r, err, "action", "update")
	respond(w, struct{}{}, err)
}

func (h handler) sealingKeys(w http.ResponseWriter, r *http.Request) {
	ids, err := h.users.SealingKeys(r.Context())
	respond(w, ids, err)
}

// SealingKeys returns the IDs of the private keys by which the server opens sealed
// keys.
func (c *Client) SealingKeys(ctx context.Context) (ids []string, err error) {
	err = c.do(ctx, "GET", "/v1/sealing-keys", nil, &ids)
	return ids, err
}

// Update has the server read at once what has changed in the directory, for who
// has just changed something. It returns when that has been read.
func (c *Client) Update(ctx context.Context) error {
	return c.do(ctx, "POST", "/v1/update", nil, &struct{}{})
}
