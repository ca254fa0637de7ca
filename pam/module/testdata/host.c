/*
 * A PAM host with the habits that modules get to know:
 *
 *     host [-c confdir] [-f flags] [-n times] [-m mode] [-q] USER ANSWER...
 *
 * It authenticates USER, which is a script of helper.c (or "-", then PAM asks), in the service "test" of
 * confdir, prints the conversation and the result, and afterwards what an
 * authentication has changed in its process, which should be nothing. Answers:
 *
 *     TEXT          that
 *     @N            N octets
 *     sleep=N:TEXT  TEXT after N milliseconds
 *     !             the conversation fails
 *     !wild         the same, with a pointer left behind that leads nowhere
 *     NULL          success, but no answer
 *     run           what a program that was started to ask has found in its process
 */
#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secret.h"

FILE *out;
bool quiet, with_secret;
const char *user;
int times = 1;
int (*on_prompt)(void);

static const char *confdir = "/etc/pam.d";
static int flags;
static char **answers;

const char *name(int rc)
{
	switch (rc) {
	case PAM_SUCCESS: return "PAM_SUCCESS";
	case PAM_AUTH_ERR: return "PAM_AUTH_ERR";
	case PAM_AUTHINFO_UNAVAIL: return "PAM_AUTHINFO_UNAVAIL";
	case PAM_USER_UNKNOWN: return "PAM_USER_UNKNOWN";
	case PAM_CONV_ERR: return "PAM_CONV_ERR";
	case PAM_PERM_DENIED: return "PAM_PERM_DENIED";
	}
	static char number[20];
	snprintf(number, sizeof number, "%d", rc);
	return number;
}

/* inherits tells if a program that is started now would have a socket or pidfd of ours. */
static bool inherits(void)
{
	for (int fd = 3; fd < 1024; fd++) {
		char path[64], to[256] = "";

		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		if (readlink(path, to, sizeof to - 1) > 0 && fcntl(fd, F_GETFD) == 0 &&
		    (!strncmp(to, "socket:", 7) || !strncmp(to, "anon_inode:", 11)))
			return true;
	}
	return false;
}

/* run_program is what sudo -A does. The program needs its SIGCHLD, as any program. */
static char *run_program(void)
{
	sigset_t mask;
	int status;
	pid_t pid = fork();

	must(pid >= 0);
	if (pid == 0) {
		sigprocmask(SIG_BLOCK, NULL, &mask);
		_exit(sigismember(&mask, SIGCHLD) ? 1 : inherits() ? 2 : 0);
	}
	must(waitpid(pid, &status, 0) == pid);
	static const char *found[] = {"nothing of the module", "SIGCHLD is blocked", "a descriptor of the module"};
	return strdup(found[WEXITSTATUS(status) % 3]);
}

static char *compose(const char *answer)
{
	if (with_secret)
		return secret(malloc(SECRET_LEN + 1));
	if (!strcmp(answer, "run"))
		return run_program();
	if (!strncmp(answer, "sleep=", 6)) {
		usleep(1000 * atoi(answer + 6));
		answer = strchr(answer, ':') + 1;
	}
	if (*answer != '@')
		return strdup(answer);
	size_t n = atoi(answer + 1);
	char *text = malloc(n + 1);
	memset(text, 'a', n);
	text[n] = '\0';
	return text;
}

static int converse(int n, const struct pam_message **message, struct pam_response **response, void *data)
{
	static const char *styles[] = {[PAM_PROMPT_ECHO_OFF] = "off", [PAM_PROMPT_ECHO_ON] = "on",
				       [PAM_ERROR_MSG] = "error", [PAM_TEXT_INFO] = "info"};
	char ***next = data;
	const struct pam_message *m = message[0];

	if (n != 1)
		return PAM_CONV_ERR;
	if (!quiet)
		fprintf(out, "%s: %s\n", styles[m->msg_style], m->msg);
	if (on_prompt)
		on_prompt();
	if (m->msg_style != PAM_PROMPT_ECHO_OFF && m->msg_style != PAM_PROMPT_ECHO_ON) {
		*response = calloc(1, sizeof **response);
		return PAM_SUCCESS;
	}
	const char *answer = with_secret ? "" : **next;
	if (!answer)
		return PAM_CONV_ERR;
	*next += !with_secret;
	if (!strcmp(answer, "!"))
		return PAM_CONV_ERR;
	*response = calloc(1, sizeof **response);
	if (!strcmp(answer, "!wild")) {
		(*response)->resp = (char *)16;
		return PAM_CONV_ERR;
	}
	if (strcmp(answer, "NULL"))
		(*response)->resp = compose(answer);
	return PAM_SUCCESS;
}

static __thread char **next;
static __thread struct pam_conv conv;

pam_handle_t *begin(void)
{
	pam_handle_t *pamh = NULL;

	conv = (struct pam_conv){converse, &next};
	must(pam_start_confdir("test", user, &conv, confdir, &pamh) == PAM_SUCCESS);
	pam_set_item(pamh, PAM_RHOST, "192.0.2.7");
	pam_set_item(pamh, PAM_TTY, "ssh");
	return pamh;
}

int ask(pam_handle_t *pamh)
{
	int rc;

	next = answers;
	rc = pam_authenticate(pamh, flags);
	if (!quiet && pam_getenv(pamh, "AUTHTOK"))
		fprintf(out, "AUTHTOK=%s\n", pam_getenv(pamh, "AUTHTOK"));
	if (!quiet)
		fprintf(out, "%s\n", name(rc));
	return rc;
}

int authenticate(void)
{
	pam_handle_t *pamh = begin();
	int rc = ask(pamh);

	if (rc == PAM_SUCCESS && pam_setcred(pamh, PAM_ESTABLISH_CRED) != PAM_SUCCESS)
		fprintf(out, "pam_setcred fails\n");
	pam_end(pamh, rc);
	return rc;
}

static void add_descriptors(FILE *f)
{
	for (int fd = 0; fd < 1024; fd++) {
		char path[64], to[256] = "";

		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		if (readlink(path, to, sizeof to - 1) > 0)
			fprintf(f, "%d %s %d\n", fd, to, fcntl(fd, F_GETFD));
	}
}

static void add_status(FILE *f)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[300];

	while (status && fgets(line, sizeof line, status))
		if (strstr(line, "Sig") == line || strstr(line, "Threads") == line || strstr(line, "ShdPnd") == line)
			if (!strstr(line, "SigQ"))
				fputs(line, f);
	if (status)
		fclose(status);
}

char *state(void)
{
	char *text = NULL, cwd[4096] = "";
	size_t n;
	stack_t stack = {0};
	struct sigaction sa = {0};
	FILE *f = open_memstream(&text, &n);

	add_descriptors(f);
	add_status(f);
	sigaltstack(NULL, &stack);
	sigaction(SIGCHLD, NULL, &sa);
	fprintf(f, "stack %p %d\n", stack.ss_sp, stack.ss_flags);
	fprintf(f, "handler %p %#x\n", (void *)sa.sa_handler, sa.sa_flags & ~0x04000000 /* SA_RESTORER, of libc */);
	fprintf(f, "cwd %s umask %o\n", getcwd(cwd, sizeof cwd), umask(umask(0)));
	fprintf(f, "children %d\n", waitpid(-1, NULL, WNOHANG | __WALL) < 0 ? 0 : 1);
	fclose(f);
	return text;
}

static void missing(const char *sign, const char *lines, const char *from)
{
	for (size_t n; *lines; lines += n + (lines[n] != '\0')) {
		char line[600];

		n = strcspn(lines, "\n");
		snprintf(line, sizeof line, "%.*s\n", (int)n, lines);
		if (!strstr(from, line))
			fprintf(out, "changed: %s%s", sign, line);
	}
}

void same(const char *before)
{
	char *after = state();

	missing("-", before, after);
	missing("+", after, before);
	free(after);
}

void apart(void (*f)(void))
{
	pid_t pid;
	int status;

	fflush(out);
	must((pid = fork()) >= 0);
	if (pid == 0) {
		f();
		fflush(out);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		must(errno == EINTR);
	if (status)
		fprintf(out, "process ended with %#x\n", status);
}

/* verdict leaves the conversation out. */
static void verdict(void)
{
	quiet = true;
	fprintf(out, "%s\n", name(authenticate()));
}

static void plain(void)
{
	for (int i = 0; i < times; i++)
		authenticate();
}

/* begin_fork is what sshd does for keyboard-interactive. */
static pam_handle_t *shared;

static void ask_shared(void)
{
	ask(shared);
}

static void begin_fork(void)
{
	shared = begin();
	apart(ask_shared);
	pam_end(shared, PAM_SUCCESS);
}

static void once(void)
{
	authenticate();
}

static void auth_fork_auth(void)
{
	authenticate();
	apart(once);
	authenticate();
}

static void same_after_one(void)
{
	char *before = state();

	authenticate();
	same(before);
	free(before);
}

/* descriptors leaves many open to the helper, and then closes all. */
static void many_descriptors(void)
{
	for (int i = 0; i < 300; i++)
		must(open("/etc/passwd", O_RDONLY) >= 0);
	for (int fd = 60; fd < 300; fd += 7)
		close(fd);
	same_after_one();
	closefrom(20);
	same_after_one();
	closefrom(3);
	same_after_one();
}

static void descriptors(void)
{
	apart(many_descriptors);
}

/* bare has none of the first descriptors open, as some daemons. */
static void closes_all(void)
{
	must(out = fdopen(dup2(1, 50), "w"));
	for (int fd = 4; fd >= 0; fd--) {
		close(fd);
		same_after_one();
	}
}

static void bare(void)
{
	apart(closes_all);
}

/* counts finds the secret in all that this process can write, its stack included. */
static int counts(void)
{
	const unsigned char *end = masked + SECRET_LEN - SECRET_END;
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[500], perms[8];
	int found = 0;

	while (maps && fgets(line, sizeof line, maps)) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, perms) != 3 || strncmp(perms, "rw", 2))
			continue;
		for (const unsigned char *p = (void *)from; p + SECRET_END <= (unsigned char *)to; p++) {
			int i = 0;

			while (i < SECRET_END && (p[i] ^ SECRET_MASK) == end[i])
				i++;
			found += i == SECRET_END;
		}
	}
	if (maps)
		fclose(maps);
	return found;
}

static int count_at_prompt(void)
{
	return fprintf(out, "copies at a prompt: %d\n", counts());
}

static void search(void)
{
	pam_handle_t *pamh;
	char *text;

	quiet = with_secret = true;
	on_prompt = count_at_prompt;
	must(text = malloc(SECRET_LEN + 1));
	secret(text);
	fprintf(out, "copies before: %d\n", counts());
	explicit_bzero(text, SECRET_LEN);
	free(text);
	pamh = begin();
	fprintf(out, "%s\n", name(ask(pamh)));
	fprintf(out, "copies after: %d\n", counts());
	pam_end(pamh, PAM_SUCCESS);
}

/* fuzz lets the helper live times random lives. */
static void fuzz(void)
{
	int seen[PAM_INCOMPLETE + 1] = {0};

	quiet = true;
	for (int i = 0; i < times; i++) {
		static char script[20];

		snprintf(script, sizeof script, "f%d", i);
		user = script;
		seen[authenticate()]++;
	}
	for (int rc = 0; rc <= PAM_INCOMPLETE; rc++)
		if (seen[rc])
			fprintf(out, "%s\n", name(rc));
}

/* su: the real user is the caller, and stays so. */
static void of_a_stranger(void)
{
	must(setresuid(65534, 0, 0) == 0);
	plain();
	must(getuid() == 65534 && geteuid() == 0);
	must(setresuid(0, 0, 0) == 0);
}

static const struct mode modes[] = {
	{"setuid", of_a_stranger},
	{"plain", plain}, {"verdict", verdict}, {"begin-fork", begin_fork}, {"auth-fork-auth", auth_fork_auth},
	{"descriptors", descriptors}, {"bare", bare}, {"search", search}, {"fuzz", fuzz}, {0},
};

static void (*find(const char *mode))(void)
{
	const struct mode *all[] = {modes, signal_modes, limit_modes};

	for (int i = 0; i < 3; i++)
		for (const struct mode *m = all[i]; m->name; m++)
			if (!strcmp(m->name, mode))
				return m->run;
	fprintf(stderr, "host: no mode %s\n", mode);
	exit(98);
}

static void *nothing(void *p)
{
	return p;
}

int main(int argc, char **argv)
{
	void (*run)(void) = plain;
	char *before;
	pthread_t first;

	out = stdout;
	/* Libc takes a signal for itself with the first thread. */
	must(pthread_create(&first, NULL, nothing, NULL) == 0 && pthread_join(first, NULL) == 0);
	for (int c; (c = getopt(argc, argv, "+c:f:n:m:q")) != -1;) {
		switch (c) {
		case 'c': confdir = optarg; break;
		case 'f': flags = strtol(optarg, NULL, 0); break;
		case 'n': times = atoi(optarg); break;
		case 'm': run = find(optarg); break;
		case 'q': quiet = true; break;
		default: return 98;
		}
	}
	user = strcmp(argv[optind], "-") ? argv[optind] : NULL;
	answers = argv + optind + 1;
	before = state();
	run();
	same(before);
	free(before);
	return 0;
}
