/* What the hosts of host.c, signals.c and limits.c have in common. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>

#include <security/pam_appl.h>

extern FILE *out;
extern bool quiet;           /* nothing of the conversation is printed */
extern bool with_secret;     /* every answer is the secret */
extern const char *user;     /* the script of helper.c */
extern int times;            /* -n */
extern int (*on_prompt)(void); /* called in each conversation, if set */

/* begin starts PAM, end ends it; authenticate does all three and prints the result. */
pam_handle_t *begin(void);
int ask(pam_handle_t *pamh);
int authenticate(void);
const char *name(int rc);

/* state describes what an authentication may not change; same prints what it did. */
char *state(void);
void same(const char *before);

/* must ends the program when a step of the test itself fails. */
#define must(ok) do { if (!(ok)) { perror(#ok); exit(99); } } while (0)

/* apart runs f in a process of its own and waits for it. */
void apart(void (*f)(void));

struct mode {
	const char *name;
	void (*run)(void);
};
extern const struct mode signal_modes[], limit_modes[];
