/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all TLS connections share: the key, the suites, the randomness (docs/control.md). */
#pragma once
#include <mbedtls/ssl.h>
#include "tools/ctl/experiment.h"

/* Once, before any connection. Dies if it can't be had. */
void tls_init(const uint8_t key[KEY_BYTES]);
const mbedtls_ssl_config *tls_config(void);

/* Did the peer, or did we, find that the keys differ? `err`: of a handshake. */
bool tls_wrong_key(const mbedtls_ssl_context *ssl, int err);
