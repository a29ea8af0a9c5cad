// SPDX-License-Identifier: GPL-2.0-or-later
/* build: boot/config.c boot/config_keys.c boot/config_nic.c boot/config_text.c boot/config_value.c boot/disk_place.c */
/* Load options, NUL, stasis.cfg: any bytes give a configuration within its limits or one printable
 * error line. */
#include <stdlib.h>
#include <string.h>
#include "boot/config.h"
#include "test/fuzz/fuzz.h"

static void check_error(const struct config_error *e)
{
	size_t n = strnlen(e->text, sizeof e->text);

	REQUIRE(n > 0 && n < sizeof e->text && strstr(e->text, ": ") != NULL);
	for (size_t i = 0; i < n; i++)
		REQUIRE(e->text[i] >= ' ' && e->text[i] <= '~');
}

static void check_config(const struct config *c)
{
	REQUIRE(strnlen(c->kernel, sizeof c->kernel) < sizeof c->kernel);
	REQUIRE(strnlen(c->initrd, sizeof c->initrd) < sizeof c->initrd);
	REQUIRE(strnlen(c->append, sizeof c->append) < sizeof c->append);
	REQUIRE(strnlen(c->options, sizeof c->options) < sizeof c->options);
	REQUIRE(c->cpus <= HANDOFF_MAX_CPUS && c->n_nics <= HANDOFF_MAX_NICS);
	REQUIRE(c->hv_base % HV_ALIGN == 0 && c->hv_base && c->hv_base < 1ull << 32);
	REQUIRE(c->hv_memory % HV_ALIGN == 0 && c->hv_memory);
	REQUIRE(c->console_port >= 0x100 && c->console_port % 8 == 0);
	REQUIRE(c->on_reset <= RESET_STOP);
	for (uint32_t i = 0; i < c->n_nics; i++)
		REQUIRE(c->nics[i].role <= NIC_ROLE_EXPERIMENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config c;
	struct config_error e = {""};
	char *text = malloc(size + 1);
	size_t n;

	REQUIRE(text != NULL);
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
