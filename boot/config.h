/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration: key=value, from the image's load options and from stasis.cfg. Pure: text in,
 * struct config out. The keys, with defaults and examples, are in docs/boot.md; the table of them
 * is in config_keys.c.
 *
 * Use: config_init, then config_options (if there are any), then config_file (if there is one),
 * then config_finish. A key given in the options overrides the file's. Every function returns 0, or
 * -1 with one line in e->text of the form "what is wrong: what to do" (printable ASCII, no
 * newline).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "boot/handoff.h"

#define CONFIG_NAME_MAX	 256   /* file names, NUL included */
#define CONFIG_FILE_MAX	 16384 /* bytes of a stasis.cfg */
#define CONFIG_FILE_NAME "stasis.cfg"

struct config {
	char kernel[CONFIG_NAME_MAX];
	char initrd[CONFIG_NAME_MAX]; /* empty: none */
	char disk[CONFIG_NAME_MAX];   /* golden image; empty: no disk */
	char append[HANDOFF_CMDLINE];
	uint32_t cpus;			 /* 0 = all */
	uint32_t on_reset;		 /* enum reset_action */
	uint64_t memory;		 /* bytes, 0 = all */
	uint64_t hv_base;		 /* HV_ALIGN multiple */
	uint64_t hv_memory;		 /* bytes, HV_ALIGN multiple */
	uint64_t disk_room;		 /* bytes for what the guest writes */
	struct disk_place golden, store; /* on disks or NBD servers */
	uint32_t on_no_disk;		 /* enum no_disk_action */
	uint32_t disk_errors;		 /* enum disk_errors_action */
	uint32_t iommu;			 /* enum iommu_use */
	uint16_t console_port;
	uint32_t console_baud; /* 0: as the firmware set it */
	uint32_t n_nics;
	struct nic_config nics[HANDOFF_MAX_NICS];
	uint32_t ip;		     /* addresses are numbers, 10.0.0.5 = 0x0a000005; 0 = DHCP */
	uint32_t ip_prefix;	     /* bits */
	uint32_t gateway, syslog_ip; /* 0 = none */
	uint32_t nic_settle;	     /* us */
	uint16_t freeze_mark;	     /* I/O port, 0 = none */
	uint16_t syslog_port, control_port;
	uint32_t control_key_size; /* bytes; 0: no control server */
	uint8_t control_key[HANDOFF_KEY_SIZE];
	uint64_t experiment; /* below 2^63; 0 = none */
	uint32_t node;
	uint32_t ptp;		       /* enum ptp_mode */
	char options[HANDOFF_CMDLINE]; /* the keys in force, as given; no secrets */
	uint32_t given;		       /* bit per entry of the key table, for overriding */
};

struct config_error {
	char text[160];
};

void config_init(struct config *c);

/* `text`: "image-name key=value ...", NUL-terminated. The first word is skipped unless it is a
 * key=value itself. */
int config_options(struct config *c, const char *text, struct config_error *e);

/* `text`: `size` bytes of a stasis.cfg, one key=value per line, # comments. */
int config_file(struct config *c, const char *text, size_t size, struct config_error *e);

/* "10.0.0.5", alone or followed by `stop` and *rest (else NULL). False: no host's address. */
bool config_ip(const char *s, char stop, uint32_t *ip, const char **rest);

/* The name of a place on a disk (disk_place.c). */
bool disk_place_parse(const char *text, struct disk_place *p);

/* What can only be checked when everything was read: is there a kernel? do the keys of the disk
 * agree? */
int config_finish(struct config *c, struct config_error *e);
/* What has been copied out and may hold a secret, and the parser's own buffer: zeroed. The loader's
 * memory becomes the guest's. */
void config_wipe(void *secret, size_t size);
