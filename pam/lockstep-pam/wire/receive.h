#ifndef LOCKSTEP_RECEIVE_H
#define LOCKSTEP_RECEIVE_H

#include <sys/types.h>

#include "../../module/wire.h"

/* Where the module's messages are received: outside the memory that Go manages,
 * never in swap or a core. */
extern unsigned char lockstep_message[WIRE_MAX];

/* Keeps lockstep_message where it is. What the limits of the host do not allow is
 * left undone. */
void lockstep_guard(void);

/* Receives one message, without waiting. Returns its length, which is more than
 * WIRE_MAX where it did not fit; 0 when the module has gone; -1 with errno. */
ssize_t lockstep_receive(int fd);

void lockstep_wipe(void);

#endif
