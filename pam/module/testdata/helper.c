/*
 * A helper that does what the user name says: operations divided by ';', each a
 * letter and its operand. At the end of the script it exits with 0.
 *
 *     p P i e TEXT  prompt (echo off, on), text (info, error)
 *     w             wait for the answer
 *     g             show the last answer
 *     r N TEXT      result N, with that text
 *     R             result WIRE_ACCEPTED with the last answer for text
 *     d             show START
 *     s             show the surroundings: environment, descriptors, signals, session
 *     h HEX         send these octets
 *     l N           send a text of N octets
 *     q N           send N prompts and read no answer
 *     S             send a descriptor along with a text
 *     m N           wait for N milliseconds
 *     x N           exit with N
 *     k N           signal N to itself
 *     c             close the socket
 *     z             do nothing, for ever
 *     f N           random packets, chosen by the seed N, and a random end
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../wire.h"

struct packet {
	struct wire_head head;
	char text[100000];
};

static char answer[WIRE_MAX + 1];
static char started[WIRE_MAX + 1];
static size_t started_len;
static int started_arg;

static void transmit(int type, int arg, const char *text, size_t n)
{
	static struct packet p;

	p.head = (struct wire_head){WIRE_VERSION, type, arg, 0};
	memcpy(p.text, text, n);
	send(WIRE_FD, &p, sizeof p.head + n, MSG_NOSIGNAL);
}

static void say(const char *text)
{
	transmit(WIRE_TEXT, WIRE_INFO, text, strlen(text));
}

/* await returns the length of the next message's text, and ends with the host. */
static size_t await(int type, char *text, int *arg)
{
	static struct packet p;
	ssize_t n = recv(WIRE_FD, &p, sizeof p, 0);

	if (n < (ssize_t)sizeof p.head || p.head.type != type || p.head.version != WIRE_VERSION || p.head.zero != 0)
		_exit(40);
	*arg = p.head.arg;
	memcpy(text, p.text, n - sizeof p.head);
	text[n - sizeof p.head] = '\0';
	return n - sizeof p.head;
}

static void await_answer(void)
{
	int arg;
	size_t n = await(WIRE_ANSWER, answer, &arg);

	if (arg == WIRE_NO_ANSWER && n == 0)
		strcpy(answer, "(none)");
}

static void show_start(void)
{
	char line[WIRE_MAX + 100];

	for (size_t i = 0; i < started_len; i++)
		if (started[i] == '\0')
			started[i] = '|';
	snprintf(line, sizeof line, "start %d %.*s", started_arg, (int)started_len, started);
	say(line);
}

static void show_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[300], to[200] = "", line[600];

		if (e->d_name[0] == '.' || atoi(e->d_name) == dirfd(d))
			continue;
		snprintf(path, sizeof path, "/proc/self/fd/%s", e->d_name);
		if (readlink(path, to, sizeof to - 1) < 0)
			continue;
		if (strchr(to, ':'))
			strchr(to, ':')[0] = '\0';
		snprintf(line, sizeof line, "fd %s %s", e->d_name, to);
		say(line);
	}
	closedir(d);
}

static void show_surroundings(void)
{
	extern char **environ;
	char line[600];
	FILE *f = fopen("/proc/self/status", "r");

	for (char **e = environ; *e; e++)
		say(*e);
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "Sig", 3) && !strstr(line, "SigQ") && !strstr(line, "SigPnd"))
			say(line);
	}
	if (f)
		fclose(f);
	show_descriptors();
	snprintf(line, sizeof line, "real user %d", (int)getuid());
	say(line);
	say(getsid(0) == getpid() ? "own session" : "session of the host");
}

static void send_hex(const char *hex)
{
	unsigned char octets[256];
	size_t n = 0;

	for (; hex[2 * n] && n < sizeof octets; n++)
		sscanf(hex + 2 * n, "%2hhx", &octets[n]);
	send(WIRE_FD, octets, n, MSG_NOSIGNAL);
}

static void send_long(size_t n)
{
	static char text[100000];

	memset(text, 'x', sizeof text);
	transmit(WIRE_TEXT, WIRE_INFO, text, n - sizeof(struct wire_head));
}

static void send_descriptor(void)
{
	struct wire_head head = {WIRE_VERSION, WIRE_TEXT, WIRE_INFO, 0};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {&head, sizeof head};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};

	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	*(int *)CMSG_DATA(CMSG_FIRSTHDR(&m)) = 0;
	sendmsg(WIRE_FD, &m, MSG_NOSIGNAL);
}

/* random_packet is often nearly right, and never a well-formed WIRE_ACCEPTED. */
static void random_packet(void)
{
	static unsigned char p[3 * WIRE_MAX];
	static const size_t lengths[] = {0, 1, 3, 4, 5, 20, 300, WIRE_MAX - 1, WIRE_MAX, WIRE_MAX + 1, 2 * WIRE_MAX, sizeof p};
	size_t n = lengths[random() % (sizeof lengths / sizeof lengths[0])];

	if (random() % 2)
		n = 4 + random() % 60;
	for (size_t i = 0; i < n; i++)
		p[i] = random() % 8 ? 'a' + random() % 26 : random();
	p[0] = random() % 20 ? WIRE_VERSION : random();
	p[1] = random() % 10 ? WIRE_PROMPT + random() % 3 : random();
	p[2] = random() % 10 ? random() % 6 : random();
	p[3] = random() % 20 ? 0 : random();
	if (p[1] == WIRE_RESULT && p[2] == WIRE_ACCEPTED)
		p[2] = 7;
	send(WIRE_FD, p, n, MSG_NOSIGNAL);
}

static void random_life(unsigned seed)
{
	char text[sizeof(struct packet)];

	srandom(seed);
	for (int i = random() % 12; i > 0; i--) {
		random_packet();
		if (random() % 2)
			recv(WIRE_FD, text, sizeof text, MSG_DONTWAIT);
	}
	switch (random() % 5) {
	case 0:
		raise(SIGKILL);
	case 1:
		close(WIRE_FD);
		pause();
	case 2:
		_exit(random() % 256);
	}
}

static void perform(const char *op)
{
	const char *rest = op + 1;
	int arg;

	switch (*op) {
	case 'p': transmit(WIRE_PROMPT, WIRE_ECHO_OFF, rest, strlen(rest)); break;
	case 'P': transmit(WIRE_PROMPT, WIRE_ECHO_ON, rest, strlen(rest)); break;
	case 'i': say(rest); break;
	case 'e': transmit(WIRE_TEXT, WIRE_ERROR, rest, strlen(rest)); break;
	case 'w': await_answer(); break;
	case 'g': say(answer); break;
	case 'r': arg = strtol(rest, (char **)&rest, 10); transmit(WIRE_RESULT, arg, rest, strlen(rest)); break;
	case 'R': transmit(WIRE_RESULT, WIRE_ACCEPTED, answer, strlen(answer)); break;
	case 'd': show_start(); break;
	case 's': show_surroundings(); break;
	case 'h': send_hex(rest); break;
	case 'l': send_long(atoi(rest)); break;
	case 'q': for (int i = atoi(rest); i > 0; i--) transmit(WIRE_PROMPT, WIRE_ECHO_OFF, "?", 1); break;
	case 'S': send_descriptor(); break;
	case 'm': usleep(1000 * atoi(rest)); break;
	case 'x': _exit(atoi(rest));
	case 'k': raise(atoi(rest)); break;
	case 'c': close(WIRE_FD); break;
	case 'z': for (;;) pause();
	case 'f': random_life(atoi(rest)); break;
	}
}

int main(void)
{
	static char script[WIRE_MAX + 1];
	size_t n = await(WIRE_START, started, &started_arg);

	started_len = n;
	strcpy(script, started + strlen(started) + 1); /* the second field */
	for (char *s = script, *op; (op = strsep(&s, ";"));)
		perform(op);
	return 0;
}
