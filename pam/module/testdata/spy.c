/*
 * A module for the same stack as pam_lockstep.so, to do what an application cannot:
 *
 *     spy.so set=TEXT   sets PAM_AUTHTOK
 *     spy.so secret     sets PAM_AUTHTOK to the secret of host.c
 *     spy.so            puts PAM_AUTHTOK into the PAM environment, as AUTHTOK
 *     spy.so yes        says PAM_SUCCESS; otherwise it says PAM_IGNORE
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include <security/pam_modules.h>
#include <security/pam_ext.h>

#include "secret.h"

static void show(pam_handle_t *pamh)
{
	const void *value = NULL;
	char line[600] = "AUTHTOK=(none)";

	if (pam_get_item(pamh, PAM_AUTHTOK, &value) == PAM_SUCCESS && value)
		snprintf(line, sizeof line, "AUTHTOK=%s", (const char *)value);
	pam_putenv(pamh, line);
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)flags;
	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "yes"))
			return PAM_SUCCESS;
		if (!strncmp(argv[i], "set=", 4))
			pam_set_item(pamh, PAM_AUTHTOK, argv[i] + 4);
		if (!strcmp(argv[i], "secret")) {
			char text[SECRET_LEN + 1];

			pam_set_item(pamh, PAM_AUTHTOK, secret(text));
			explicit_bzero(text, sizeof text);
		}
	}
	if (argc == 0)
		show(pamh);
	return PAM_IGNORE;
}

int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}
