package radiusd

import "time"

// Stuck returns for how long the server has got nowhere with what it has in hand:
// a reader with one packet, or all workers with their logins. It is 0 while
// there is nothing to do. Readers never wait, and a login ends at its Deadline: a
// Stuck that is well beyond that is a fault of the program, which does not go away.
// Where locks are stuck, Stuck is too, and does not return.
func (s *Server) Stuck() time.Duration {
	if s.start() != nil {
		return 0
	}
	now := s.now()
	stuck := s.crew.stuck(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, socket := range s.sockets {
		if since := socket.busy.Load(); since != 0 {
			stuck = max(stuck, now.Sub(time.Unix(0, since)))
		}
	}
	return stuck
}

// stuck returns how long ago the last job ended while others are under way, which
// includes those that wait.
func (c *crew) stuck(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy() == 0 {
		return 0
	}
	return now.Sub(c.moved)
}
