// Package audit keeps the trail of what was decided and of what administrators
// did: a file, a syslog server, or both, apart from the log and not filtered by
// its level.
//
// # The form
//
// The trail is a chain of records, one JSON object a line, all of it printable
// ASCII:
//
//	{"seq":8,"time":"2026-03-01T12:00:00.000000Z","event":"login",...,"hash":"<64 hex digits>"}
//
// seq is one more than that of the record before. hash is the SHA-256 of the 32
// octets of the hash before, followed by the line up to, and without, its
// `,"hash":`. The first record, of seq 1, follows 32 octets of zero.
//
// Beside records there are headers. A file begins with one, and so does what a
// process adds to a file. A header says behind which record it stands, and is no
// part of the chain itself:
//
//	{"after":7,"prev":"<hash of record 7>","time":...,"event":"file",...,"hash":...}
//
// Its hash is made in the same way. "torn" and "torn_sha256" describe what a
// process that was killed has left of a line just before; "lost" says how many
// records before this place were not written.
// The record behind a "lost" is of the event "lost-at-file", and says it again.
//
// # What it promises
//
//   - Records are in the order in which they were given, and none is missing
//     unless a header or a record of the event "lost" says how many.
//   - [Verifier] finds every line that was changed, left out, added or moved by
//     somebody who did not make all hashes from there on anew.
//   - The chain goes on after a restart, after a process was killed in the middle
//     of a line, and from a file to the one that follows it.
//   - With Required, [Trail.Record] returns nil only when the operating system has
//     the record for the file. Without it Record never waits.
//   - Memory is bounded. So is each line, at [MaxLine] octets, whatever is in it.
//
// # What it does not
//
// Headers are no part of the chain, and anybody can make one: that a fragment was
// found, and when a process began, they only claim. Where the first file begins,
// its header claims, too: records before it may have been taken away.
//
// There is no key. Whoever can write the file can make the chain anew, and can cut
// off its end: what is there proves nothing about that to somebody who has no hash
// of it from another place. The syslog server is that place, or the log, where the
// head of the chain is put down from time to time. Nothing is synced to the disk
// record by record: power loss takes what the kernel has not written yet. TCP
// syslog confirms nothing: a server that is killed loses what it had not read.
//
// Names in records come from the network and are hostile, and so are files that
// are verified. Records hold no passwords, codes, keys or secrets if the caller
// gives none.
package audit
