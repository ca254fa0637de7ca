/*
 * What pam_lockstep.so and lockstep-pam say to each other, over a socketpair of
 * type SOCK_SEQPACKET that the helper inherits as descriptor 3. One packet is one
 * message: a struct wire_head and then its text, of which the length follows from
 * the packet's. Both sides are of one build and one machine.
 *
 *     module                          helper
 *     START    ------------------->             once, first
 *              <------------------- PROMPT      any number of times,
 *     ANSWER   ------------------->             each answered
 *              <------------------- TEXT        any number of times
 *              <------------------- RESULT      once, last
 *
 * Text is octets without a meaning for NUL at the end, except that START separates
 * its fields by it. A message that is none of these, is longer than WIRE_MAX, or
 * comes when it is not its turn, or has a NUL in its text, ends the conversation: the module then returns
 * PAM_AUTHINFO_UNAVAIL, and the helper exits.
 */
#ifndef LOCKSTEP_WIRE_H
#define LOCKSTEP_WIRE_H

#include <stdint.h>

#define WIRE_FD 3
#define WIRE_VERSION 1
#define WIRE_MAX 8192 /* octets of a message, its head included */

enum wire_type {
	WIRE_START = 1,
	WIRE_ANSWER,
	WIRE_PROMPT,
	WIRE_TEXT,
	WIRE_RESULT,
};

/* Of START: flags. PAM_AUTHTOK is there when a module before this one has asked. */
enum wire_start {
	WIRE_HAS_AUTHTOK = 1,
	WIRE_NO_NULL = 2, /* PAM_DISALLOW_NULL_AUTHTOK */
};

/* Of ANSWER. */
enum wire_answer {
	WIRE_ANSWERED = 0,
	WIRE_NO_ANSWER = 1, /* the conversation failed, or gave nothing */
};

/* Of PROMPT and TEXT. */
enum wire_style {
	WIRE_ECHO_OFF = 0,
	WIRE_ECHO_ON = 1,
	WIRE_INFO = 2,
	WIRE_ERROR = 3,
};

/*
 * Of RESULT. The text of WIRE_ACCEPTED, if there is any, becomes PAM_AUTHTOK. It counts
 * only if somebody has answered, or WIRE_HAS_AUTHTOK was said.
 */
enum wire_result {
	WIRE_ACCEPTED = 1,     /* PAM_SUCCESS */
	WIRE_REFUSED = 2,      /* PAM_AUTH_ERR */
	WIRE_UNAVAILABLE = 3,  /* PAM_AUTHINFO_UNAVAIL: nobody could tell */
	WIRE_NOT_ENROLLED = 4, /* PAM_USER_UNKNOWN, or PAM_IGNORE with nullok */
	WIRE_ABORTED = 5,      /* PAM_CONV_ERR: there was no answer */
};

struct wire_head {
	uint8_t version; /* WIRE_VERSION */
	uint8_t type;    /* enum wire_type */
	uint8_t arg;     /* by type: enum wire_start, wire_answer, wire_style, wire_result */
	uint8_t zero;
};

/*
 * The text of START is these fields, each ended by a NUL:
 * service, user, rhost, tty, authtok, and then the module's arguments, one each.
 * What is not known is empty.
 */

#endif
