/*
 * Done before the Go runtime starts, and so before there is a second thread or
 * anything to be seen: the process gives up what it has from its host and does
 * not need.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../module/wire.h"

/*
 * Undoes a limit that whoever calls sudo or su may have set: for want of memory or
 * descriptors the helper would fail, and that is no refusal. Only root can.
 */
static void
lift(int resource, rlim_t to)
{
	const struct rlimit limit = {to, to};

	(void)setrlimit(resource, &limit);
}

__attribute__((constructor)) static void
harden(void)
{
	const struct rlimit none = {0, 0};
	const pid_t parent = getppid();
	const uid_t uid = geteuid();
	const gid_t gid = uid == 0 ? 0 : getegid(); /* su keeps its caller's */

	/*
	 * sudo and su run with the real ids of who calls them. The ids come first:
	 * changing them takes back what follows. A process that does not get this
	 * far could be stopped or read by that user, and must not be.
	 */
	if ((uid == 0 && setgroups(0, NULL) != 0) || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
		_exit(126);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(126); /* the host has died before that */

	/* Or a key on the terminal that sends a signal would end or stop the helper,
	 * which is no refusal either. The module has done this before; twice does no
	 * harm. */
	(void)setsid();
	lift(RLIMIT_AS, RLIM_INFINITY);
	lift(RLIMIT_DATA, RLIM_INFINITY);
	lift(RLIMIT_CPU, RLIM_INFINITY);
	lift(RLIMIT_NOFILE, 1024);

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#ifdef SYS_close_range /* not of glibc before 2.34; the module closes too */
	(void)syscall(SYS_close_range, WIRE_FD + 1, ~0U, 0);
#endif
	(void)umask(077);
	if (chdir("/") != 0)
		_exit(126);
}
