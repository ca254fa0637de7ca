// Package wire reads a directory's content from one LDAP connection: StartTLS
// and simple bind (RFC 4511), then searches, plain, paged (RFC 2696) or synced
// (RFC 4533), message by message. And it checks passwords, by one bind after the
// other on a connection, with what password policies say of them.
//
// It is for content that is large or that never ends, and for what is asked
// thousands of times a second. Everything else that is asked of a directory is left
// to a general LDAP library.
//
// # What it promises
//
//   - No message is lost and none is made up: a message that cannot be read as
//     its RFC has it is an error, and after an error there are no more messages.
//   - Memory is bounded. A message may have at most [Options.MaxMessage] octets,
//     its memory grows with what arrives and not with the length that it
//     announces, and what is decoded from it takes at most 32 times as much. An
//     entry is read without allocation, once the buffers have grown to the size
//     of entries.
//   - Nothing waits longer than it was told to, and [Conn.Close] ends every wait.
//   - Nothing that arrived in clear is taken for an answer under TLS.
//   - An empty password is never sent with a DN: servers take that for an
//     anonymous bind and call it a success (RFC 4513, section 5.1.2).
//   - Of passwords nothing is kept: what they were sent from is wiped.
//   - An answer is that to the bind that was sent, or none: what comes unasked ends
//     the connection.
//
// # What it does not
//
// It dials nothing, follows no references and no referrals, and decides nothing
// about what it reads: which entries are to be kept after which messages is the
// caller's business.
//
// # Hostile input
//
// Everything that the server sends. Lengths are definite and have up to four
// octets, every one is checked against what is left of what holds it, and the
// depth is that of the messages known here: what is not known is skipped whole.
package wire
