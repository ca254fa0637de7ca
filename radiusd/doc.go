// Package radiusd is a RADIUS server for logins by password and code: PAP over
// UDP (RFC 2865), with Access-Challenge, Status-Server (RFC 5997) and an
// acknowledgement for accounting (RFC 2866).
//
// It knows packets and no users: an [Authenticator] decides. It opens no
// sockets by itself: [Listen] does, or any [net.PacketConn] will do.
//
// # What it promises
//
//   - Every octet from the network is hostile. What is malformed, comes from
//     no client or does not verify is dropped before it touches any state.
//   - An error of the Authenticator and its panic lead to silence, never to a
//     reply: the appliance turns to its next server.
//   - A request is decided once. A retransmission gets the same octets again
//     (RFC 5080, section 2.2.2).
//   - Every reply to an Access-Request or Status-Server begins with a
//     Message-Authenticator (CVE-2024-3596) and ends with the request's
//     Proxy-State.
//   - The attributes that an Authenticator gives leave in an Access-Accept only,
//     and all of them, or there is no reply.
//   - Access-Reject and Access-Challenge leave at a fixed time after their
//     request came, whatever was looked at.
//   - All memory that strangers can make it use is bounded. What exceeds a
//     bound is dropped and counted.
//   - When more comes than can be decided, as much is decided as before, and
//     in time: answers to challenges first, then what came last. The rest is
//     dropped, and never rejected.
//   - Passwords, codes, secrets and State are in no log line, at any level.
//
// # What it does not
//
// CHAP, MS-CHAP and EAP are rejected, with a log line that says what to change
// at the client. There is no proxying, no TCP, no TLS and no CoA. Guessing is
// slowed by the Authenticator, not here.
package radiusd
