#define _GNU_SOURCE
#include "receive.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* On pages of its own, since that is what mlock and madvise work on. */
unsigned char lockstep_message[WIRE_MAX] __attribute__((aligned(WIRE_MAX)));

void
lockstep_guard(void)
{
	(void)mlock(lockstep_message, sizeof(lockstep_message));
	(void)madvise(lockstep_message, sizeof(lockstep_message), MADV_DONTDUMP);
}

ssize_t
lockstep_receive(int fd)
{
	ssize_t n;

	do
		/* MSG_TRUNC: the length that was sent, not what was left of it. Descriptors
		 * that come along are closed by the kernel, as there is no room for them. */
		n = recv(fd, lockstep_message, sizeof(lockstep_message), MSG_DONTWAIT | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	return n;
}

void
lockstep_wipe(void)
{
	explicit_bzero(lockstep_message, sizeof(lockstep_message));
}
