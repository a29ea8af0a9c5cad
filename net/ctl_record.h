/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records of the control protocol (docs/control.md), inside of TLS: what both ends share. A record
 * is a header of 8 bytes, little-endian (u32 length of the payload, u8 type, u8 0, u16 channel),
 * and the payload. Pure: bytes in, records out; memory is the caller's; survives any bytes.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define CTL_VERSION	  1
#define CTL_HEADER	  8
#define CTL_TO_NODE_MAX	  1024	/* bytes of payload */
#define CTL_TO_CLIENT_MAX 65536 /* bytes of payload */
#define CTL_PING_MAX	  64
#define CTL_CONSOLE	  0xffff /* the channel of the guest's console */
#define CTL_PORT	  4789

enum ctl_type {
	CTL_HELLO = 1,
	CTL_COMMAND,
	CTL_OUTPUT,
	CTL_DONE, /* payload: u32, 0 ok, 1 failed */
	CTL_FREEZE,
	CTL_CONSOLE_DATA,
	CTL_LOG,
	CTL_ERROR,
	CTL_PING,
	CTL_PONG,
	CTL_TYPES,
};

struct ctl_record {
	enum ctl_type type;
	uint16_t channel;
	uint32_t size;
	const uint8_t *payload; /* in the reader's buffer, until it is fed again */
};

struct ctl_reader {
	uint8_t *buf; /* payload_max bytes */
	uint32_t payload_max;
	uint32_t used; /* bytes of the record that came, header included; 0: between records */
	int error;     /* 0, or what it returns from now on */
	uint8_t header[CTL_HEADER];
};

void ctl_reader_init(struct ctl_reader *r, uint8_t *buf, uint32_t payload_max);

/* Takes bytes up to the end of a record; *taken says how many. 1: *rec is complete; 0: more bytes
 * are needed; -EMSGSIZE: longer than payload_max; -EBADMSG: no such type, or a reserved byte is not
 * 0. After an error the stream can't be followed any more. */
int ctl_reader_feed(struct ctl_reader *r, const uint8_t *data, size_t size, size_t *taken,
		    struct ctl_record *rec);

/* How many bytes are wanted before the next step, at most: never beyond the record's end. */
uint32_t ctl_reader_wants(const struct ctl_reader *r);

void ctl_header(uint8_t header[CTL_HEADER], enum ctl_type type, uint16_t channel, uint32_t size);

/* "version" of a HELLO, a string; -1: there is none. */
int ctl_hello_version(const char *text);
