// Package pam decides a login for the PAM module: it asks the person, asks
// RADIUS servers, and says what came of it.
//
// The module itself, pam_lockstep.so, is C and does no more than to start a
// program, lockstep-pam, and to pass on what the two say to each other; Go code
// inside sshd or sudo hangs them. This package is what that program does. It
// knows neither descriptors nor PAM: the module's side is a [Conversation].
//
// # What it promises
//
//   - [Accepted] comes from nothing but an Access-Accept that carries a
//     Message-Authenticator and verifies.
//   - Nothing that can be typed leads to [Unavailable], which a PAM stack may
//     pass over. Nor does it lead to a login: what cannot be sent is refused.
//   - What is asked for as a code is sent only if it looks like one. In sshd's
//     password mode every prompt is answered by the same string, so that a
//     directory password would travel as a code.
//   - What sshd answers for people whom it will not let in is not sent.
//   - The time that people take to type does not count.
//   - What was typed is overwritten when the login is over, and is in no log
//     line and no error.
//
// # What it does not
//
// It cannot promise that nothing is left in memory: the packet of a request
// holds the password in the form that RFC 2865, section 5.2, gives it, which
// can be undone by who has the secret, and is left to the garbage collector.
// The process ends soon after.
//
// The person who logs in is hostile, and so are the user name and the remote
// host. The replies of a server that has the secret are believed, but for their
// text, which is made fit for a terminal. The configuration and the module's
// arguments are the administrator's.
package pam
