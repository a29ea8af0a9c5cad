/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mbedTLS as the control server wants it: a TLS 1.2 server with pre-shared keys and two AEAD
 * suites, no certificates, no files, no clock, no threads; all memory from one block of fixed size.
 * Included by mbedTLS only; the meaning of each option is in its <mbedtls/config.h>. Randomness
 * comes from net/entropy.c.
 */
#pragma once

#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_NO_STD_FUNCTIONS
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_MEMORY_BUFFER_ALLOC_C
#define MBEDTLS_MEMORY_ALIGN_MULTIPLE 16
#define MBEDTLS_PLATFORM_EXIT_MACRO   tls_broken

__attribute__((noreturn)) void tls_broken(int status); /* its heap is damaged */

#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_SRV_C
#ifdef HOST_TEST
#define MBEDTLS_SSL_CLI_C
#endif
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
#define MBEDTLS_SSL_MAX_FRAGMENT_LENGTH
#define MBEDTLS_KEY_EXCHANGE_PSK_ENABLED
#define MBEDTLS_SSL_CIPHERSUITES \
	MBEDTLS_TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256
#define MBEDTLS_PSK_MAX_LEN	    64
#define MBEDTLS_SSL_IN_CONTENT_LEN  2048 /* before a smaller one is agreed on: the ClientHello */
#define MBEDTLS_SSL_OUT_CONTENT_LEN 1024

#define MBEDTLS_CIPHER_C
#define MBEDTLS_CHACHA20_C
#define MBEDTLS_POLY1305_C
#define MBEDTLS_CHACHAPOLY_C
#define MBEDTLS_AES_C
#define MBEDTLS_AES_ROM_TABLES
#define MBEDTLS_AES_FEWER_TABLES
#define MBEDTLS_GCM_C
#define MBEDTLS_MD_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_HMAC_DRBG_C

#include <mbedtls/check_config.h>
