package bolt

// JournalUsed returns how much is used of the log's present file, or of the table
// in memory if that is more: 0 to about 1, where the next begins and the state file
// takes in what there is. It waits for nobody.
func (s *Store) JournalUsed() float64 { return s.filled() }
