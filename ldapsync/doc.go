// Package ldapsync is the directory as Lockstep sees it: who is enrolled, with
// which key, and whether a password is right.
//
// A [Directory] keeps a replica of the enrolled entries in memory, so that
// looking somebody up costs no network: a third of a kilobyte for each, read
// without a lock, and never held up by a refresh. It follows an LDAP server or an
// LDIF file. A server that can tell of changes does (RFC 4533); others are polled.
// A password is checked by a bind at the LDAP server, or against the hashes of the
// file.
//
// # What it promises
//
//   - Nothing is dropped from the replica after an incomplete refresh: a size
//     limit, a lost connection, a broken or an empty file leave the content as
//     it was. What a complete one would drop many of is looked for twice.
//   - Sealed keys stay sealed in memory, and are opened when somebody logs in.
//   - A check of a password costs the directory one bind, and no search but where
//     OpenLDAP's overlay otp has to have checked a code in it. An
//     empty or blank password, or one that holds a NUL, costs none: a server
//     would take an empty one as an anonymous bind that succeeds (RFC 4513,
//     section 5.1.2).
//   - Who is in which group is asked at each login that depends on it, as the
//     service account and on connections that no user's bind went over. What is
//     too much to look at is an error, not a no.
//   - "No" is told apart from "could not tell". A server that is away, slow,
//     or gives an answer that is not about the password never makes a password
//     right or wrong. Another server is asked only if the first has not
//     answered, so that a wrong password counts once.
//   - No more than 256 calls wait for a slow or frozen server, beside those
//     that are being asked about. More are turned away at once, as "could not
//     tell".
//   - An entry that cannot be read as it is meant is unusable and says why;
//     nothing in it is replaced by a default.
//   - Referrals are never followed. They would send the password to a server
//     of the directory's choosing.
//   - Keys and passwords are in no log line and no error.
//
// # What it does not
//
// It computes no codes and keeps no state of logins. It knows groups by their
// lists of members, and no dynamic ones, nor the group of a gidNumber. Where a
// server is polled, the deletion of an entry, or a change that a replica of the
// directory applied late, is noticed at the next full refresh, which is a minute
// away at most in an ordinary directory.
//
// # Hostile input
//
// Names and passwords come from the network and may be anything. A name
// reaches a search filter only in [Directory.Enroll], escaped, as are the DNs
// and names from the directory in the filters for groups. The content of the
// directory is trusted to say who has which key and is in which group, but not
// to be well formed.
//
// A [Directory] is safe for concurrent use.
package ldapsync
