// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/tls.h"
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "tools/ctl/ctl.h"

#define IDENTITY_MAX 64

static mbedtls_ssl_config config;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context drbg;

static const int suites[] = {
	MBEDTLS_TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, /* RFC 7905 */
	MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256,       /* RFC 5487 */
	0,
};

/* What the node's log shows. */
static size_t identity(char text[IDENTITY_MAX + 1])
{
	char host[IDENTITY_MAX + 1] = "";

	(void)gethostname(host, sizeof(host) - 1);
	for (char *p = host; *p; p++)
		if (*p < '!' || *p > '~')
			*p = '.';
	(void)snprintf(text, IDENTITY_MAX + 1, "stasisctl@%.*s", IDENTITY_MAX - 10, host);
	return strlen(text);
}

void tls_init(const uint8_t key[KEY_BYTES])
{
	char name[IDENTITY_MAX + 1];
	size_t n = identity(name);
	int err;

	mbedtls_ssl_config_init(&config);
	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&drbg);
	err = mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy,
				    (const unsigned char *)name, n);
	if (!err)
		err = mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT,
						  MBEDTLS_SSL_TRANSPORT_STREAM,
						  MBEDTLS_SSL_PRESET_DEFAULT);
	if (!err)
		err = mbedtls_ssl_conf_psk(&config, key, KEY_BYTES, (const unsigned char *)name, n);
	if (!err)
		err = mbedtls_ssl_conf_max_frag_len(&config, MBEDTLS_SSL_MAX_FRAG_LEN_1024);
	if (err)
		die("TLS can't be had: mbedTLS error -0x%04x", (unsigned)-err);
	mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &drbg);
	mbedtls_ssl_conf_ciphersuites(&config, suites);
	mbedtls_ssl_conf_min_version(&config, MBEDTLS_SSL_MAJOR_VERSION_3,
				     MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_max_version(&config, MBEDTLS_SSL_MAJOR_VERSION_3,
				     MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_renegotiation(&config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
	mbedtls_ssl_conf_session_tickets(&config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
}

const mbedtls_ssl_config *tls_config(void)
{
	return &config;
}

bool tls_wrong_key(const mbedtls_ssl_context *ssl, int err)
{
	if (err == MBEDTLS_ERR_SSL_INVALID_MAC)
		return true;
	/* It has got what proves our key, and goes without a word. */
	if (err == MBEDTLS_ERR_SSL_CONN_EOF || err == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY ||
	    err == MBEDTLS_ERR_SSL_INTERNAL_ERROR)
		return ssl->state > MBEDTLS_SSL_CLIENT_FINISHED;
	if (err != MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		return false;
	switch (ssl->in_msg[1]) { /* the alert's description */
	case MBEDTLS_SSL_ALERT_MSG_BAD_RECORD_MAC:
	case MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR:
	case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_PSK_IDENTITY:
		return true;
	default:
		return false;
	}
}
