// SPDX-License-Identifier: GPL-2.0-or-later
/* The golden image's full hash: what the samples that are compared at each opening can miss. */
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include "storage/dev.h"
#include "storage/store_internal.h"
#include "tools/store/tool.h"

#define PIECE_BYTES (1u << 20)

static void hash_golden(struct session *x, uint8_t digest[SHA256_DIGEST_SIZE])
{
	struct blockdev *d = x->golden_dev;
	char *buf = allocate(PIECE_BYTES);
	struct sha256_ctx ctx;
	struct progress p;

	sha256_init(&ctx);
	progress_begin(&p, x->o, "hash", d->sectors * SECTOR_SIZE);
	for (uint64_t at = 0; at < d->sectors; at += PIECE_BYTES / SECTOR_SIZE) {
		uint64_t bytes = (d->sectors - at) * SECTOR_SIZE;
		int err;

		if (bytes > PIECE_BYTES)
			bytes = PIECE_BYTES;
		err = dev_read(d, at, buf, bytes);
		if (err)
			die("%s can't be read: %s", x->o->golden, strerror(-err));
		sha256_update(&ctx, bytes, (const uint8_t *)buf);
		progress_at(&p, at * SECTOR_SIZE + bytes);
	}
	progress_end(&p);
	sha256_digest(&ctx, SHA256_DIGEST_SIZE, digest);
	free(buf);
}

int command_hash(struct session *x)
{
	static const uint8_t none[SHA256_DIGEST_SIZE];
	uint8_t digest[SHA256_DIGEST_SIZE], *kept = x->store->super.golden_sha256;
	bool known = memcmp(kept, none, sizeof(none)) != 0;
	char hex[2 * SHA256_DIGEST_SIZE + 1];
	const char *verdict = "matches";
	int status = EXIT_OK;

	hash_golden(x, digest);
	if (x->o->update) {
		memcpy(kept, digest, sizeof(digest));
		session_close(x); /* writes it */
		verdict = "kept";
	} else if (!known) {
		verdict = "unknown";
	} else if (memcmp(kept, digest, sizeof(digest)) != 0) {
		verdict = "differs";
		status = EXIT_DIFFERS;
	}
	for (unsigned i = 0; i < SHA256_DIGEST_SIZE; i++)
		(void)sprintf(hex + 2 * (size_t)i, "%02x", digest[i]);
	if (x->o->json)
		print_json(json_pack("{s:s, s:s}", "sha256", hex, "verdict", verdict));
	else
		printf("%s  %s\n", hex, verdict);
	if (status)
		warn("%s is not what it was when its hash was kept: bring the original back",
		     x->o->golden);
	else if (!x->o->update && !known)
		warn("the store keeps no hash yet: --update keeps this one");
	return status;
}
