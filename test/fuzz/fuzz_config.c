// SPDX-License-Identifier: GPL-2.0-or-later
/* build: boot/config.c */
/* Load options, NUL, stasis.cfg: any bytes give a configuration within its limits or one printable
 * error line. */
#include <stdlib.h>
#include <string.h>
#include "boot/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		abort();
}

static void check_error(const struct config_error *e)
{
	size_t n = strnlen(e->text, sizeof e->text);

	require(n > 0 && n < sizeof e->text && strstr(e->text, ": ") != NULL);
	for (size_t i = 0; i < n; i++)
		require(e->text[i] >= ' ' && e->text[i] <= '~');
}

static void check_config(const struct config *c)
{
	require(strnlen(c->kernel, sizeof c->kernel) < sizeof c->kernel);
	require(strnlen(c->initrd, sizeof c->initrd) < sizeof c->initrd);
	require(strnlen(c->append, sizeof c->append) < sizeof c->append);
	require(strnlen(c->options, sizeof c->options) < sizeof c->options);
	require(c->cpus <= HANDOFF_MAX_CPUS && c->n_nics <= HANDOFF_MAX_NICS);
	require(c->hv_base % HV_ALIGN == 0 && c->hv_base && c->hv_base < 1ull << 32);
	require(c->hv_memory % HV_ALIGN == 0 && c->hv_memory);
	require(c->console_port >= 0x100 && c->console_port % 8 == 0);
	require(c->on_reset <= RESET_STOP);
	for (uint32_t i = 0; i < c->n_nics; i++)
		require(c->nics[i].role <= NIC_ROLE_EXPERIMENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config c;
	struct config_error e = {""};
	char *text = malloc(size + 1);
	size_t n;

	require(text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	n = strlen(text);
	config_init(&c);
	if (config_options(&c, text, &e) ||
	    (n < size && config_file(&c, text + n + 1, size - n - 1, &e)) || config_finish(&c, &e))
		check_error(&e);
	check_config(&c);
	free(text);
	return 0;
}
