/*
 * pam_lockstep.so: lets a PAM host ask Lockstep. It starts the helper lockstep-pam
 * for each authentication, relays the conversation between it and the host over a
 * socketpair (wire.h), and turns its result into PAM's. It decides nothing itself.
 *
 * It promises:
 *   - PAM_SUCCESS comes from a well-formed WIRE_ACCEPTED alone, and only when
 *     somebody has answered. Whatever else the helper does, or fails to do, is
 *     PAM_AUTHINFO_UNAVAIL, at most LOCKSTEP_DEADLINE after its last word. Input too
 *     long for a message is refused, since strangers choose its length.
 *   - The host is left as it was: no process, thread, descriptor, signal handler or
 *     signal mask of ours stays, and no SIGCHLD of the host's own children is lost.
 *     There is no state beside pamh, so any number of threads may authenticate.
 *   - The helper gets nothing of the host's surroundings: no environment, descriptor,
 *     signal mask or terminal. A Ctrl-C of whoever types cannot end it.
 *   - It leaves no copy of an answer in the host's memory.
 *
 * Hostile are the user, the network and, in su and sudo, the caller: the limits set
 * for the caller's processes hold for us too, and can make us say
 * PAM_AUTHINFO_UNAVAIL. The helper is trusted to decide, not to be free of faults.
 *
 * Needs Linux 5.4 and glibc 2.34. The next line keeps the go command away:
 */
//go:build ignore

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <security/pam_modules.h>
#include <security/pam_ext.h>

#include "wire.h"

#ifndef LOCKSTEP_HELPER
#define LOCKSTEP_HELPER "/usr/libexec/lockstep/lockstep-pam"
#endif
#ifndef LOCKSTEP_DEADLINE
#define LOCKSTEP_DEADLINE 60000 /* milliseconds for each message; typing does not count */
#endif

enum {
	MESSAGES = 100, /* of a helper, before it is taken for one that has gone mad */
	GO_ON = -1,     /* none of PAM's codes */
	PIDFD = 3,      /* P_PIDFD, for which glibc before 2.36 has no name */
};

struct talk {
	pam_handle_t *pamh;
	int flags;
	bool nullok;
	bool answered; /* there is a password or an answer, and none was denied us since */
	int sock, pidfd;
	sigset_t mask; /* the host's */
	bool pending;  /* SIGCHLD was, before any of ours */
	size_t len;    /* of text */
	struct packet {
		struct wire_head head;
		char text[WIRE_MAX - sizeof(struct wire_head) + 1]; /* a NUL is put after it */
	} packet;
};

static int unavailable(struct talk *t, const char *why)
{
	pam_syslog(t->pamh, LOG_ERR, "%s", why);
	return PAM_AUTHINFO_UNAVAIL;
}

static void begin(struct talk *t, enum wire_type type, uint8_t arg)
{
	t->packet.head = (struct wire_head){WIRE_VERSION, type, arg, 0};
	t->len = 0;
}

/* add puts n octets after the text, or returns false if it would be too long. */
static bool add(struct talk *t, const char *octets, size_t n)
{
	if (n >= sizeof t->packet.text - t->len)
		return false;
	memcpy(t->packet.text + t->len, octets, n);
	t->len += n;
	return true;
}

static bool add_field(struct talk *t, const char *field)
{
	return add(t, field, strlen(field) + 1);
}

/* Neither transmit nor receive waits: a helper that does not read is at fault. What was
 * sent is wiped at once, for the next prompt may stand for hours. */
static bool transmit(struct talk *t)
{
	ssize_t n = send(t->sock, &t->packet, sizeof t->packet.head + t->len, MSG_NOSIGNAL | MSG_DONTWAIT);

	explicit_bzero(&t->packet, sizeof t->packet);
	return n >= 0;
}

/* receive returns false for what is no message, such as the end of the socket. A NUL
 * in the text is a fault, for C would cut the prompt or the password there. */
static bool receive(struct talk *t)
{
	ssize_t n = recv(t->sock, &t->packet, WIRE_MAX, MSG_TRUNC | MSG_DONTWAIT);

	if (n < (ssize_t)sizeof t->packet.head || n > WIRE_MAX)
		return false;
	t->len = n - sizeof t->packet.head;
	t->packet.text[t->len] = '\0';
	return t->packet.head.version == WIRE_VERSION && t->packet.head.zero == 0 &&
	       strlen(t->packet.text) == t->len;
}

static long long milliseconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* readable waits for that long at most, whatever signals the host gets meanwhile. */
static bool readable(struct talk *t, int ms)
{
	struct pollfd p = {.fd = t->sock, .events = POLLIN};
	long long left = ms, end = milliseconds() + ms;
	int n;

	while ((n = poll(&p, 1, left > 0 ? (int)left : 0)) < 0 && errno == EINTR)
		left = end - milliseconds();
	return n > 0;
}

static void only_sigchld(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
}

/* hush keeps the helper's SIGCHLD from the host by blocking it in this thread. To set
 * SIG_DFL meanwhile would lose those of the host's own children, and two threads that
 * save and restore a handler can leave the wrong one. */
static void hush(struct talk *t)
{
	sigset_t chld;

	only_sigchld(&chld);
	pthread_sigmask(SIG_BLOCK, &chld, &t->mask);
}

/* unhush drops the helper's SIGCHLD. Signals merge, so the host is sent another when
 * one of its children may have had a part in it. */
static void unhush(struct talk *t)
{
	const struct timespec now = {0};
	siginfo_t sent, child = {0};
	sigset_t chld;

	only_sigchld(&chld);
	if (!t->pending && sigtimedwait(&chld, &sent, &now) == SIGCHLD) {
		waitid(P_ALL, 0, &child, WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT);
		if (sent.si_code <= 0 || child.si_pid != 0)
			kill(getpid(), SIGCHLD);
	}
	pthread_sigmask(SIG_SETMASK, &t->mask, NULL);
}

/* spawn starts the helper, in a session of its own: else a Ctrl-C at sudo's prompt would
 * make a refusal a "could not tell". dup2 comes first, for sock may be 0, 1 or 2. */
static int spawn(int sock, pid_t *pid)
{
	char *argv[] = {"lockstep-pam", NULL};
	char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "GOTRACEBACK=none", "GOMAXPROCS=1", NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	if (posix_spawn_file_actions_init(&files) != 0 || posix_spawnattr_init(&attr) != 0)
		return ENOMEM;
	err = posix_spawn_file_actions_adddup2(&files, sock, WIRE_FD);
	for (int fd = 0; err == 0 && fd < WIRE_FD; fd++)
		err = posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
	err = err ?: posix_spawn_file_actions_addclosefrom_np(&files, WIRE_FD + 1)
		  ?: posix_spawnattr_setsigmask(&attr, &none)
		  ?: posix_spawnattr_setsigdefault(&attr, &all)
		  ?: posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID)
		  ?: posix_spawn(pid, LOCKSTEP_HELPER, &files, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return err;
}

/* What whoever calls su or sudo can set, so that the helper fails for want of it. */
static const int limits[] = {RLIMIT_AS, RLIMIT_DATA, RLIMIT_NPROC, RLIMIT_NOFILE};

enum { LIMITS = sizeof limits / sizeof limits[0] };

/* spawn_as_root is spawn, but where the host is setuid the helper gets neither the real
 * user of the caller, who could kill it before it has got to its own credentials, nor
 * the caller's limits, where we may lift them. The system call and not the function of
 * libc: that would change all threads. */
static int spawn_as_root(int sock, pid_t *pid)
{
	const struct rlimit infinite = {RLIM_INFINITY, RLIM_INFINITY}, some = {1024, 1024};
	struct rlimit was[LIMITS];
	bool lifted[LIMITS];
	uid_t caller = getuid();
	int err;

	if (geteuid() != 0 || caller == 0)
		return spawn(sock, pid);
	if (syscall(SYS_setresuid, 0, -1, -1) != 0)
		return errno;
	for (int i = 0; i < LIMITS; i++)
		lifted[i] = getrlimit(limits[i], &was[i]) == 0 &&
			    setrlimit(limits[i], limits[i] == RLIMIT_NOFILE ? &some : &infinite) == 0;
	err = spawn(sock, pid);
	for (int i = 0; i < LIMITS; i++)
		if (lifted[i])
			setrlimit(limits[i], &was[i]);
	if (syscall(SYS_setresuid, caller, -1, -1) != 0)
		abort(); /* the host would go on as somebody else than it believes */
	return err;
}

/* open_helper opens t->sock and t->pidfd, or leaves nothing behind and returns an errno.
 * The number alone will not do: where the host reaps every child, it may name another
 * process by the time that we end ours. */
static int open_helper(struct talk *t)
{
	int pair[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return errno;
	t->sock = pair[0];
	err = spawn_as_root(pair[1], &pid);
	close(pair[1]);
	if (err == 0 && (t->pidfd = syscall(SYS_pidfd_open, pid, 0)) < 0) {
		err = errno;
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (err != 0)
		close(t->sock);
	return err;
}

/* close_helper ends the helper, which has nothing left to do after its result, and waits
 * for that. It is no fault if the host has reaped it. */
static void close_helper(struct talk *t)
{
	siginfo_t info;

	close(t->sock);
	syscall(SYS_pidfd_send_signal, t->pidfd, SIGKILL, NULL, 0);
	while (waitid((idtype_t)PIDFD, t->pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	close(t->pidfd);
}

/* converse has the host show the packet's text, and ask if answer is given. The host
 * gets its SIGCHLD meanwhile, as it may run a program to ask. */
static int converse(struct talk *t, int style, char **answer)
{
	int rc;

	pthread_sigmask(SIG_SETMASK, &t->mask, NULL);
	rc = pam_prompt(t->pamh, style, answer, "%s", t->packet.text);
	hush(t);
	return rc;
}

static int prompt(struct talk *t, int style)
{
	char *answer = NULL;
	bool fits = true;

	/* What a conversation that failed leaves in answer is undefined. */
	if (converse(t, style, &answer) != PAM_SUCCESS)
		answer = NULL;
	t->answered = answer != NULL;
	begin(t, WIRE_ANSWER, t->answered ? WIRE_ANSWERED : WIRE_NO_ANSWER);
	if (answer != NULL) {
		fits = add(t, answer, strlen(answer));
		explicit_bzero(answer, strlen(answer));
		free(answer);
	}
	if (!fits)
		return PAM_AUTH_ERR;
	return transmit(t) ? GO_ON : unavailable(t, "helper does not listen");
}

static int show(struct talk *t, int style)
{
	if (!(t->flags & PAM_SILENT))
		converse(t, style, NULL);
	return GO_ON;
}

static int accepted(struct talk *t)
{
	if (!t->answered)
		return unavailable(t, "helper accepts without an answer");
	if (t->len > 0 && pam_set_item(t->pamh, PAM_AUTHTOK, t->packet.text) != PAM_SUCCESS)
		return unavailable(t, "cannot set PAM_AUTHTOK");
	return PAM_SUCCESS;
}

/* PAM_DISALLOW_NULL_AUTHTOK is about empty passwords: sshd sets it for everybody, and the
 * modules after this one still ask for theirs. */
static int not_enrolled(struct talk *t)
{
	return t->nullok ? PAM_IGNORE : PAM_USER_UNKNOWN;
}

/* MEANS makes one number of a message's type and its arg. */
#define MEANS(type, arg) ((type) << 8 | (arg))

/* turn does what the next message says. Only GO_ON is not the end. */
static int turn(struct talk *t)
{
	if (!readable(t, LOCKSTEP_DEADLINE))
		return unavailable(t, "helper did not answer in time");
	if (!receive(t))
		return unavailable(t, "helper ended, or is not understood");
	switch (MEANS(t->packet.head.type, t->packet.head.arg)) {
	case MEANS(WIRE_PROMPT, WIRE_ECHO_OFF):
		return prompt(t, PAM_PROMPT_ECHO_OFF);
	case MEANS(WIRE_PROMPT, WIRE_ECHO_ON):
		return prompt(t, PAM_PROMPT_ECHO_ON);
	case MEANS(WIRE_TEXT, WIRE_INFO):
		return show(t, PAM_TEXT_INFO);
	case MEANS(WIRE_TEXT, WIRE_ERROR):
		return show(t, PAM_ERROR_MSG);
	case MEANS(WIRE_RESULT, WIRE_ACCEPTED):
		return accepted(t);
	case MEANS(WIRE_RESULT, WIRE_REFUSED):
		return PAM_AUTH_ERR;
	case MEANS(WIRE_RESULT, WIRE_UNAVAILABLE):
		return PAM_AUTHINFO_UNAVAIL; /* the helper has logged why */
	case MEANS(WIRE_RESULT, WIRE_NOT_ENROLLED):
		return not_enrolled(t);
	case MEANS(WIRE_RESULT, WIRE_ABORTED):
		return PAM_CONV_ERR;
	}
	return unavailable(t, "helper is not understood");
}

/* relay sends the START that is ready, and serves the helper until its result. */
static int relay(struct talk *t)
{
	int rc = GO_ON;
	sigset_t pending;

	t->pending = sigpending(&pending) == 0 && sigismember(&pending, SIGCHLD) == 1;
	if ((errno = open_helper(t)) != 0) {
		pam_syslog(t->pamh, LOG_ERR, "cannot start %s: %m", LOCKSTEP_HELPER);
		return PAM_AUTHINFO_UNAVAIL;
	}
	if (!transmit(t))
		rc = unavailable(t, "helper does not listen");
	for (int i = 0; rc == GO_ON && i < MESSAGES; i++)
		rc = turn(t);
	if (rc == GO_ON)
		rc = unavailable(t, "helper does not come to an end");
	close_helper(t);
	return rc;
}

/* item returns what is known, or NULL. */
static const char *item(struct talk *t, int number)
{
	const void *value = NULL;

	return pam_get_item(t->pamh, number, &value) == PAM_SUCCESS ? value : NULL;
}

/* start makes the START, or returns false if it would be too long. */
static bool start(struct talk *t, int argc, const char **argv)
{
	const int items[] = {PAM_SERVICE, PAM_USER, PAM_RHOST, PAM_TTY};
	const char *authtok = NULL;
	bool fits = true;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "nullok") == 0)
			t->nullok = true;
		if (strcmp(argv[i], "try_first_pass") == 0 || strcmp(argv[i], "use_first_pass") == 0)
			authtok = item(t, PAM_AUTHTOK);
	}
	t->answered = authtok != NULL;
	begin(t, WIRE_START, (authtok ? WIRE_HAS_AUTHTOK : 0) | (t->flags & PAM_DISALLOW_NULL_AUTHTOK ? WIRE_NO_NULL : 0));
	for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
		fits = fits && add_field(t, item(t, items[i]) ?: "");
	fits = fits && add_field(t, authtok ?: "");
	for (int i = 0; i < argc; i++)
		fits = fits && add_field(t, argv[i]);
	return fits;
}

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct talk t = {.pamh = pamh, .flags = flags};
	const char *user;
	int rc = PAM_AUTH_ERR;

	/* Asks, where the host has not. */
	if (pam_get_user(pamh, &user, NULL) != PAM_SUCCESS)
		return PAM_CONV_ERR;
	if (start(&t, argc, argv)) {
		hush(&t);
		rc = relay(&t);
		unhush(&t);
	}
	explicit_bzero(&t.packet, sizeof t.packet);
	return rc;
}

/* No credentials to set is success: PAM_IGNORE would fail a stack of this module alone. */
EXPORTED int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}
