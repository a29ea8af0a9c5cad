// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/syslog.h"
#include <string.h>
#include <lwip/udp.h>
#include "arch/x86_64/arch.h"
#include "hv/log.h"
#include "net/stack.h"
#include "net/syslog_format.h"

#define LINES_A_SECOND 100
#define LINE_BYTES     256

static struct udp_pcb *pcb;
static ip_addr_t server;
static uint16_t server_port;
static size_t position; /* in the log */
static uint64_t sent;
static struct log_ratelimit limit = {.burst = LINES_A_SECOND};

void syslog_init(uint32_t ip, uint16_t port)
{
	ip_addr_set_ip4_u32(&server, lwip_htonl(ip));
	server_port = port;
	pcb = udp_new();
	if (!pcb)
		log_error("net: no memory for syslog");
}

static void send_line(const char *line, uint32_t from)
{
	char text[SYSLOG_MESSAGE_MAX + 1], host[STACK_IP_TEXT];
	size_t n =
		syslog_format(text, line, (int64_t)host_rtc_seconds(), stack_ip_text(from, host));
	struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)n, PBUF_RAM);

	if (!p)
		return;
	(void)pbuf_take(p, text, (u16_t)n);
	if (udp_sendto(pcb, p, &server, server_port) == ERR_OK)
		sent++;
	(void)pbuf_free(p);
}

bool syslog_step(void)
{
	struct stack_status s;
	char line[LINE_BYTES];
	size_t next = position;

	if (!pcb || !log_next(&next, line, sizeof(line)))
		return false;
	stack_status(&s);
	if (!s.ip || !s.link || !log_ratelimited(&limit))
		return false;
	position = next;
	send_line(line, s.ip);
	return true;
}

uint64_t syslog_sent(void)
{
	return sent;
}
