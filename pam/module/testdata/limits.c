/* Hosts that may not do everything. Each authenticates in a process of its own. */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static pam_handle_t *pamh;
static rlim_t limit;

static void set(int resource, rlim_t to)
{
	struct rlimit r = {to, to};

	must(setrlimit(resource, &r) == 0);
}

/* begin_loaded has libpam load its modules, which is not what is tried. */
static pam_handle_t *begin_loaded(void)
{
	pam_handle_t *loaded = begin();

	quiet = true;
	must(ask(loaded) == PAM_SUCCESS);
	quiet = false;
	return loaded;
}

static void no_processes(void)
{
	pamh = begin_loaded();
	set(RLIMIT_NPROC, 0);
	if (geteuid() == 0)
		must(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	ask(pamh);
}

static void processes(void)
{
	apart(no_processes);
}

static void few_descriptors(void)
{
	struct rlimit old, few = {limit, 0};
	char *before = state();

	pamh = begin_loaded();
	must(getrlimit(RLIMIT_NOFILE, &old) == 0);
	few.rlim_max = old.rlim_max;
	must(setrlimit(RLIMIT_NOFILE, &few) == 0);
	ask(pamh);
	must(setrlimit(RLIMIT_NOFILE, &old) == 0);
	same(before);
	free(before);
}

static void files(void)
{
	for (limit = 0; limit < 16; limit++)
		apart(few_descriptors);
}

static rlim_t size(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	must(f && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static void little_memory(void)
{
	pamh = begin_loaded();
	set(RLIMIT_AS, size() + limit);
	ask(pamh);
}

static void no_memory(void)
{
	pamh = begin_loaded();
	set(RLIMIT_AS, limit);
	ask(pamh);
}

/* memory goes from too little for a stack, over too little for the helper, to enough. */
static void memory(void)
{
	for (limit = 0; limit <= 4096; limit = limit ? limit * 8 : 4096)
		apart(no_memory);
	for (limit = 4096; limit <= 64 << 20; limit *= 4)
		apart(little_memory);
}

static const struct {
	const char *name;
	int number;
} calls[] = {
	{"socketpair", SYS_socketpair}, {"clone", SYS_clone}, {"clone3", SYS_clone3}, {"execve", SYS_execve},
	{"dup2", SYS_dup2}, {"openat", SYS_openat}, {"close_range", SYS_close_range}, {"setsid", SYS_setsid},
	{"pidfd_open", SYS_pidfd_open}, {"pidfd_send_signal", SYS_pidfd_send_signal}, {"sendto", SYS_sendto},
	{"poll", SYS_poll}, {"recvfrom", SYS_recvfrom}, {"waitid", SYS_waitid},
	{"rt_sigprocmask", SYS_rt_sigprocmask}, {"rt_sigpending", SYS_rt_sigpending},
	{"rt_sigtimedwait", SYS_rt_sigtimedwait}, {"clock_gettime", SYS_clock_gettime}, {"mmap", SYS_mmap},
};
static int denied;

static void deny(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)denied, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof code[0], code};

	pamh = begin_loaded();
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	ask(pamh);
}

static void seccomp(void)
{
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		fprintf(out, "%s: ", calls[i].name);
		denied = calls[i].number;
		apart(deny);
	}
}

const struct mode limit_modes[] = {
	{"processes", processes}, {"files", files}, {"memory", memory}, {"seccomp", seccomp}, {0},
};
