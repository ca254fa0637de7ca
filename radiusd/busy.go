package radiusd

// Busy is how much there is to do at one moment.
type Busy struct {
	Deciding   int // requests that the Authenticator has
	Limit      int // how many of them there may be at present; see Server.Workers
	Waiting    int // fresh requests that wait for a worker
	Challenged int // answers to challenges that do
	Delayed    int // replies that wait for their time
}

// Busy returns what there is to do now. It must not be called before the fields
// of s are set.
func (s *Server) Busy() Busy {
	if s.start() != nil {
		return Busy{}
	}
	c := s.crew
	c.mu.Lock()
	defer c.mu.Unlock()
	return Busy{
		Deciding: c.busy(), Limit: c.limit,
		Waiting: c.queues[fresh].len, Challenged: c.queues[challenged].len,
		Delayed: int(s.delayed.Load()),
	}
}
