// Package faults is the fault suite, and has no code but its tests: real servers
// under a load of logins, real faults, and a checker that knows every code that
// was sent.
//
// # What is run
//
// Three lockstep servers, three etcd nodes and slapd, and beside them one server
// with a store of its own. All are processes on loopback, and all that they say to
// one another goes through proxies of the suite, which cut, hold, delay, lose and
// repeat it. One of the servers has a clock that the suite can step. A supervisor
// starts again what ended by itself, as systemd does; nothing else lends a hand.
//
// # What is asserted
//
//   - No code is accepted twice, except for the same login, repeated within 10 s at
//     another server. An Accept counts by the server's log, too, if its reply was lost.
//   - No right login that is not a repetition is told no, and whoever goes on gets
//     in with the third code at the latest once a fault is over.
//     The table says how many refusals of right logins were excused, and by what;
//     more than a few are a fault.
//   - Whatever was accepted is known as spent after everything was killed at once.
//   - Wrong codes and wrong passwords are never accepted.
//   - A server that cannot reach the quorum is silent to logins and to
//     Status-Server.
//   - All servers are back by themselves after each fault.
//
// The checker has tests of its own, which show it histories where each of these
// is broken.
//
// # How to run it
//
// "make test" runs a short form of about a minute. "make test-faults" goes
// through all faults again and again for LOCKSTEP_FAULTS, a duration such as 30m.
// LOCKSTEP_FAULTS_SEED=N repeats a run: the order of the faults, and all that is
// drawn by lot. What the scheduler and the network do is not repeated by it.
// LOCKSTEP_FAULTS_ONLY=TEXT leaves all faults out whose name has no TEXT in it.
// FAULTS_TABLE names a file for the table. A run that fails keeps its logs and
// says where.
package faults
