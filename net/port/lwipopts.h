/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lwIP as the control network wants it: no operating system, one context (the boot CPU's loop),
 * IPv4, all memory in static pools. Included by lwIP only; the meaning of each option is in its
 * <lwip/opt.h>.
 */
#pragma once

#define NO_SYS		     1
#define SYS_LIGHTWEIGHT_PROT 0 /* interrupts only leave marks */
#define LWIP_NETCONN	     0
#define LWIP_SOCKET	     0
#define LWIP_STATS	     0 /* net/netdev.h counts */
#define MEM_ALIGNMENT	     8
#define ETH_PAD_SIZE	     0

#define LWIP_IPV4		   1
#define LWIP_IPV6		   0
#define LWIP_ARP		   1
#define LWIP_ICMP		   1
#define LWIP_IGMP		   1 /* PTP's groups */
#define LWIP_RAW		   1
#define LWIP_DHCP		   1
#define LWIP_DNS		   0
#define LWIP_UDP		   1
#define LWIP_TCP		   1
#define LWIP_ALTCP		   1
#define LWIP_BROADCAST_PING	   0
#define LWIP_MULTICAST_PING	   0
#define DHCP_DOES_ARP_CHECK	   0 /* the server asks */
#define ARP_QUEUEING		   1
#define ARP_QUEUE_LEN		   4
#define ETHARP_TRUST_IP_MAC	   0
#define ETHARP_TABLE_MATCH_NETIF   1
#define IP_FORWARD		   0
#define IP_REASS_MAX_PBUFS	   16
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_NETIF_LINK_CALLBACK   0

/* Pools: about 1 MiB in all. The receive window must fit the pool of frames. */
#define MEM_SIZE		(384 * 1024)
#define PBUF_POOL_SIZE		192
#define PBUF_POOL_BUFSIZE	1536
#define MEMP_NUM_PBUF		64
#define MEMP_NUM_TCP_PCB	24
#define MEMP_NUM_TCP_PCB_LISTEN 4
#define MEMP_NUM_TCP_SEG	256
#define MEMP_NUM_UDP_PCB	12
#define MEMP_NUM_RAW_PCB	4
#define MEMP_NUM_ALTCP_PCB	24
#define MEMP_NUM_REASSDATA	4
#define MEMP_NUM_FRAG_PBUF	16
#define MEMP_NUM_ARP_QUEUE	16
#define TCP_MSS			1460
#define TCP_WND			(64 * TCP_MSS)
#define LWIP_WND_SCALE		1
#define TCP_RCV_SCALE		2
#define TCP_SND_BUF		(44 * TCP_MSS)
#define TCP_SND_QUEUELEN	176
#define TCP_LISTEN_BACKLOG	1
#define LWIP_TCP_KEEPALIVE	1
#define TCP_OVERSIZE		TCP_MSS
