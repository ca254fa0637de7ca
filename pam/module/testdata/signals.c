/* Hosts with children, threads and signals of their own. */
#include "host.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void count(int number)
{
	(void)number;
	caught++;
}

static void reap(int number)
{
	int saved = errno;

	(void)number;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	errno = saved;
}

static void handle(int number, void (*handler)(int), int flags)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};

	must(sigaction(number, &sa, NULL) == 0);
}

/* times_and_same authenticates in a host that has set itself up, and undoes that. */
static void times_and_same(void)
{
	char *before = state();

	for (int i = 0; i < times; i++)
		authenticate();
	same(before);
	free(before);
	handle(SIGCHLD, SIG_DFL, 0);
}

static void ignore(void)
{
	handle(SIGCHLD, SIG_IGN, 0);
	times_and_same();
}

static void no_zombies(void)
{
	handle(SIGCHLD, count, SA_NOCLDWAIT);
	times_and_same();
}

static void reaper(void)
{
	handle(SIGCHLD, reap, 0);
	times_and_same();
}

/* counter counts what it is told of children: it has none. */
static void counter(void)
{
	caught = 0;
	handle(SIGCHLD, count, 0);
	times_and_same();
	fprintf(out, "signals: %d\n", caught);
}

/* A timer interrupts all that can be interrupted. */
static void timer(void)
{
	struct itimerval often = {{0, 100}, {0, 100}}, never = {0};

	handle(SIGALRM, count, 0);
	must(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (int i = 0; i < times; i++)
		authenticate();
	must(setitimer(ITIMER_REAL, &never, NULL) == 0);
	handle(SIGALRM, SIG_DFL, 0);
}

/* all_blocked is sudo before it runs its command. */
static void all_blocked(void)
{
	sigset_t all, old;

	sigfillset(&all);
	must(sigprocmask(SIG_SETMASK, &all, &old) == 0);
	times_and_same();
	must(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

static pid_t child;

static int child_dies(void)
{
	siginfo_t info;

	must((child = fork()) >= 0);
	if (child == 0)
		_exit(0);
	must(waitid(P_PID, child, &info, WEXITED | WNOWAIT) == 0);
	return 0;
}

static void child_dies_soon(void)
{
	must((child = fork()) >= 0);
	if (child == 0) {
		usleep(random() % 4000);
		_exit(0);
	}
}

static bool told(int fd)
{
	struct signalfd_siginfo info;
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 1000) == 1 && read(fd, &info, sizeof info) == sizeof info;
}

static int nudge(void)
{
	return kill(getpid(), SIGCHLD);
}

/* A host that learns of its children by signalfd, and loses none: of those that died
 * before, at any time, or in the conversation. Nor does it lose the signal of a child
 * that it has reaped, or one that it has sent to itself. */
static void by_signalfd(void)
{
	sigset_t chld, old;
	int fd, lost = 0;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	must(sigprocmask(SIG_BLOCK, &chld, &old) == 0);
	must((fd = signalfd(-1, &chld, SFD_CLOEXEC)) >= 0);
	for (int i = 0; i < times; i++) {
		int kind = i % 5;

		if (kind == 1)
			child_dies_soon();
		if (kind == 0 || kind == 3)
			child_dies();
		if (kind == 3)
			must(waitpid(child, NULL, 0) == child);
		on_prompt = kind == 2 ? child_dies : kind == 4 ? nudge : NULL;
		authenticate();
		on_prompt = NULL;
		lost += !told(fd);
		if (kind < 3)
			must(waitpid(child, NULL, 0) == child);
	}
	/* Of a child that died after its signal was taken for another's. */
	while (sigtimedwait(&chld, NULL, &(struct timespec){0}) == SIGCHLD)
		;
	close(fd);
	must(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
	fprintf(out, "lost: %d\n", lost);
}

/* The same by a handler: a child is there to be reaped, so it must have been called. */
static void by_handler(void)
{
	int lost = 0;

	handle(SIGCHLD, count, 0);
	for (int i = 0; i < times; i++) {
		caught = 0;
		child_dies_soon();
		authenticate();
		while (waitpid(child, NULL, 0) != child)
			;
		lost += caught == 0;
	}
	handle(SIGCHLD, SIG_DFL, 0);
	fprintf(out, "lost: %d\n", lost);
}

static void *reap_always(void *end)
{
	while (!__atomic_load_n((bool *)end, __ATOMIC_SEQ_CST))
		if (waitpid(-1, NULL, 0) < 0)
			usleep(50);
	return NULL;
}

/* reaper_thread takes every child as soon as it is dead. */
static void reaper_thread(void)
{
	pthread_t thread;
	bool end = false;

	must(pthread_create(&thread, NULL, reap_always, &end) == 0);
	for (int i = 0; i < times; i++)
		authenticate();
	__atomic_store_n(&end, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
}

static void *ten(void *failed)
{
	for (int i = 0; i < 10; i++)
		if (authenticate() != PAM_SUCCESS)
			__atomic_add_fetch((int *)failed, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* threads authenticate at the same time, in a process that has a handler. */
static void threads(void)
{
	pthread_t thread[8];
	int failed = 0;
	char *before;

	quiet = true;
	handle(SIGCHLD, count, 0);
	before = state();
	for (int i = 0; i < 8; i++)
		must(pthread_create(&thread[i], NULL, ten, &failed) == 0);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	same(before);
	free(before);
	handle(SIGCHLD, SIG_DFL, 0);
	fprintf(out, "failed: %d\n", failed);
}

static void *noise(void *end)
{
	while (!__atomic_load_n((bool *)end, __ATOMIC_SEQ_CST)) {
		struct passwd entry, *found;
		char text[2000];
		void *memory = malloc(1 + random() % 100000), *library = dlopen("libm.so.6", RTLD_NOW);

		getpwnam_r("root", &entry, text, sizeof text, &found);
		free(memory);
		if (library)
			dlclose(library);
	}
	return NULL;
}

/* busy has threads in malloc, dlopen and getpwnam, which a fork without exec hangs on. */
static void busy(void)
{
	pthread_t thread[4];
	bool end = false;
	int failed = 0;

	quiet = true;
	for (int i = 0; i < 4; i++)
		must(pthread_create(&thread[i], NULL, noise, &end) == 0);
	for (int i = 0; i < times; i++)
		failed += authenticate() != PAM_SUCCESS;
	__atomic_store_n(&end, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	fprintf(out, "failed: %d\n", failed);
}

const struct mode signal_modes[] = {
	{"ignore", ignore}, {"no-zombies", no_zombies}, {"reaper", reaper}, {"counter", counter}, {"timer", timer},
	{"all-blocked", all_blocked}, {"signalfd", by_signalfd}, {"handler", by_handler},
	{"reaper-thread", reaper_thread}, {"threads", threads}, {"busy", busy}, {0},
};
