// SPDX-License-Identifier: GPL-2.0-or-later
/* The keys: what each takes, and where it goes. */
#include <string.h>
#include "boot/config_internal.h"

#define SYSLOG_PORT  514 /* RFC 5426, 3.3 */
#define CONTROL_PORT 4789
#define NODE_MAX     999999

#define NIC_SETTLE_DEFAULT 2000
#define NIC_SETTLE_MAX	   100000

#define COUNT(names) (sizeof(names) / sizeof(*(names)))

/* --- the guest --- */

static bool set_text(char *out, size_t size, const char *value)
{
	size_t n = strlen(value);

	if (n >= size)
		return false;
	memcpy(out, value, n + 1);
	return true;
}

static bool set_name(char *out, const char *value)
{
	return *value && set_text(out, CONFIG_NAME_MAX, value);
}

static bool set_kernel(struct config *c, const char *value)
{
	return set_name(c->kernel, value);
}

static bool set_initrd(struct config *c, const char *value)
{
	return set_name(c->initrd, value);
}

static bool set_append(struct config *c, const char *value)
{
	return set_text(c->append, sizeof c->append, value);
}

static bool set_cpus(struct config *c, const char *value)
{
	return config_u32(value, 1, HANDOFF_MAX_CPUS, &c->cpus);
}

static bool set_mib(uint64_t *bytes, uint64_t min, uint64_t max, const char *value)
{
	uint64_t v;

	if (!config_number(value, min, max, &v))
		return false;
	*bytes = v << 20;
	return true;
}

static bool set_memory(struct config *c, const char *value)
{
	return set_mib(&c->memory, 64, 1ull << 32, value);
}

static bool set_on_reset(struct config *c, const char *value)
{
	static const char *const names[] = {[RESET_REBOOT] = "reboot", [RESET_STOP] = "stop"};

	return config_choice(value, names, COUNT(names), &c->on_reset);
}

/* --- its disk --- */

static bool set_disk(struct config *c, const char *value)
{
	return set_name(c->disk, value);
}

static bool set_disk_room(struct config *c, const char *value)
{
	return set_mib(&c->disk_room, 32, 1ull << 20, value);
}

static bool set_golden(struct config *c, const char *value)
{
	return disk_place_parse(value, &c->golden);
}

static bool set_store(struct config *c, const char *value)
{
	return disk_place_parse(value, &c->store);
}

static bool set_disk_errors(struct config *c, const char *value)
{
	static const char *const names[] = {
		[DISK_ERRORS_REPORT] = "report", [DISK_ERRORS_FREEZE] = "freeze"};

	return config_choice(value, names, COUNT(names), &c->disk_errors);
}

static bool set_on_no_disk(struct config *c, const char *value)
{
	static const char *const names[] = {[NO_DISK_START] = "start", [NO_DISK_STOP] = "stop"};

	return config_choice(value, names, COUNT(names), &c->on_no_disk);
}

/* --- the hypervisor --- */

static bool set_hv_base(struct config *c, const char *value)
{
	uint64_t v;

	if (!config_number(value, HV_ALIGN, UINT32_MAX, &v) || v % HV_ALIGN)
		return false;
	c->hv_base = v;
	return true;
}

static bool set_hv_memory(struct config *c, const char *value)
{
	uint64_t v;

	if (!set_mib(&v, 16, 512, value) || v % HV_ALIGN)
		return false;
	c->hv_memory = v;
	return true;
}

static bool set_console(struct config *c, const char *value)
{
	const char *comma = strchr(value, ',');
	size_t n = comma ? (size_t)(comma - value) : strlen(value);
	uint64_t port, baud = 115200;
	char name[8];

	if (n >= sizeof name)
		return false;
	memcpy(name, value, n);
	name[n] = 0;
	if (!strcmp(name, "com1"))
		port = 0x3f8;
	else if (!strcmp(name, "com2"))
		port = 0x2f8;
	else if (n < 3 || name[1] != 'x' || !config_number(name, 0, UINT64_MAX, &port))
		return false;
	if (comma && !config_number(comma + 1, 0, UINT64_MAX, &baud))
		return false;
	/* eight registers; below 100h there are no UARTs but the board's own devices */
	if (port < 0x100 || port > 0xfff8 || port % 8)
		return false;
	/* the 16550's divisor is 16 bits of 115200 Hz */
	if (baud && (baud > 115200 || 115200 % baud || 115200 / baud > 0xffff))
		return false;
	c->console_port = (uint16_t)port;
	c->console_baud = (uint32_t)baud;
	return true;
}

static bool set_iommu(struct config *c, const char *value)
{
	static const char *const names[] = {[IOMMU_ON] = "on", [IOMMU_OFF] = "off"};

	return config_choice(value, names, COUNT(names), &c->iommu);
}

static bool set_freeze_mark(struct config *c, const char *value)
{
	return config_port(value, &c->freeze_mark);
}

/* --- networks --- */

static bool set_ip(struct config *c, const char *value)
{
	const char *bits;

	if (!strcmp(value, "dhcp"))
		return true;
	return config_ip(value, '/', &c->ip, &bits) && bits &&
	       config_u32(bits, 1, 30, &c->ip_prefix);
}

static bool set_gateway(struct config *c, const char *value)
{
	const char *rest;

	return config_ip(value, 0, &c->gateway, &rest);
}

static bool set_nic_settle(struct config *c, const char *value)
{
	return config_u32(value, 0, NIC_SETTLE_MAX, &c->nic_settle);
}

static bool set_syslog(struct config *c, const char *value)
{
	const char *port;

	c->syslog_port = SYSLOG_PORT;
	return config_ip(value, ':', &c->syslog_ip, &port) &&
	       (!port || config_port(port, &c->syslog_port));
}

static bool set_control_key(struct config *c, const char *value)
{
	size_t n = strlen(value);

	if (n != 2 * (size_t)HANDOFF_KEY_SIZE)
		return false;
	for (size_t i = 0; i < n; i += 2) {
		int high = config_hex_digit(value[i]), low = config_hex_digit(value[i + 1]);

		if (high < 0 || low < 0)
			return false;
		c->control_key[i / 2] = (uint8_t)(high << 4 | low);
	}
	c->control_key_size = (uint32_t)(n / 2);
	return true;
}

static bool set_control_port(struct config *c, const char *value)
{
	return config_port(value, &c->control_port);
}

static bool set_experiment(struct config *c, const char *value)
{
	return config_number(value, 1, INT64_MAX, &c->experiment);
}

static bool set_node(struct config *c, const char *value)
{
	return config_u32(value, 0, NODE_MAX, &c->node);
}

static bool set_ptp(struct config *c, const char *value)
{
	static const char *const names[] = {[PTP_MODE_ON] = "on",
					    [PTP_MODE_OFF] = "off",
					    [PTP_MODE_MASTER] = "master",
					    [PTP_MODE_SLAVE] = "slave"};

	return config_choice(value, names, COUNT(names), &c->ptp);
}

/* --- all of them --- */

#define PLACE_USE "use ahci0, nvme0:2, name:PARTITION or nbd://ADDRESS:PORT/EXPORT"

const struct config_key config_keys[] = {
	{"kernel", set_kernel, "give a file name", false},
	{"initrd", set_initrd, "give a file name", false},
	{"append", set_append, "it is too long", false},
	{"disk", set_disk, "give a file name", false},
	{"disk_room", set_disk_room, "use MiB, 32 or more", false},
	{"golden", set_golden, PLACE_USE, false},
	{"store", set_store, PLACE_USE, false},
	{"on_no_disk", set_on_no_disk, "use start or stop", false},
	{"disk_errors", set_disk_errors, "use report or freeze", false},
	{"cpus", set_cpus, "use 1 to 256", false},
	{"memory", set_memory, "use MiB, 64 or more", false},
	{"hv_base", set_hv_base, "use a multiple of 0x200000 below 4 GiB", false},
	{"hv_memory", set_hv_memory, "use MiB, even, 16 to 512", false},
	{"console", set_console, "use com1, com2 or 0xPORT, then ,BAUD", false},
	{"on_reset", set_on_reset, "use reboot or stop", false},
	{"ip", set_ip, "use dhcp or ADDRESS/BITS, as 10.0.0.5/24", false},
	{"gateway", set_gateway, "use an address, as 10.0.0.1", false},
	{"syslog", set_syslog, "use ADDRESS or ADDRESS:PORT", false},
	{"iommu", set_iommu, "use on or off", false},
	{"freeze_mark", set_freeze_mark, "use an I/O port, as 0x2ff", false},
	{"nic_settle", set_nic_settle, "use microseconds, 0 to 100000", false},
	{"control_key", set_control_key, "use 64 hex digits", true},
	{"control_port", set_control_port, "use 1 to 65535", false},
	{"experiment", set_experiment, "use a number, 1 to 9223372036854775807", false},
	{"node", set_node, "use a number, 0 to 999999", false},
	{"ptp", set_ptp, "use on, off, master or slave", false},
};
const unsigned config_n_keys = COUNT(config_keys);
_Static_assert(COUNT(config_keys) <= 32, "config.given has a bit per key");

void config_defaults(struct config *c)
{
	c->hv_base = HV_BASE_DEFAULT;
	c->hv_memory = HV_SIZE_DEFAULT;
	c->disk_room = DISK_ROOM_DEFAULT;
	c->console_port = 0x3f8;
	c->console_baud = 115200;
	c->on_reset = RESET_REBOOT;
	c->nic_settle = NIC_SETTLE_DEFAULT;
	c->control_port = CONTROL_PORT;
}
