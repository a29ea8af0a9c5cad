// SPDX-License-Identifier: GPL-2.0-or-later
/* net: the control network. */
#include <errno.h>
#include <string.h>
#include "hv/commands.h"
#include "hv/console.h"
#include "net/control.h"
#include "net/ctlnet.h"
#include "net/netdev.h"
#include "net/stack.h"
#include "net/syslog.h"

static const char *const leases[] = {"none", "asking", "bound"};

static const char *text(uint32_t ip, char buf[STACK_IP_TEXT])
{
	return ip ? stack_ip_text(ip, buf) : NULL;
}

static void member(const char *name, const char *value)
{
	if (value)
		out(",\"%s\":\"%s\"", name, value);
	else
		out(",\"%s\":null", name);
}

static unsigned prefix(const struct stack_status *s)
{
	return s->ip ? stack_prefix(s->mask) : 0;
}

static void json_control(void)
{
	struct control_counts c;

	control_counts(&c);
	out(",\"control_port\":%u,\"clients\":%u,\"accepted\":%llu,\"turned_away\":%llu,"
	    "\"refused\":%llu",
	    control_port(), c.open, (ull)c.accepted, (ull)c.turned_away, (ull)c.failed);
}

static void json_counts(const struct netdev_counts *c)
{
	out(",\"rx_frames\":%llu,\"rx_bytes\":%llu,\"rx_errors\":%llu,\"rx_dropped\":%llu",
	    (ull)c->rx_frames, (ull)c->rx_bytes, (ull)c->rx_errors, (ull)c->rx_dropped);
	out(",\"tx_frames\":%llu,\"tx_bytes\":%llu,\"tx_dropped\":%llu,\"interrupts\":%llu,"
	    "\"resets\":%llu,\"syslog\":%llu}\n",
	    (ull)c->tx_frames, (ull)c->tx_bytes, (ull)c->tx_dropped, (ull)c->interrupts,
	    (ull)c->resets, (ull)syslog_sent());
}

static void show_json(const struct netdev *d, const struct stack_status *s)
{
	char a[STACK_IP_TEXT];

	out(HEAD
	    "\"model\":\"%s\",\"pci\":\"%02x:%02x.%x\",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\""
	    ",\"wired\":\"%s\",\"failed\":%s",
	    d->model, d->bus, d->dev, d->fn, d->mac[0], d->mac[1], d->mac[2], d->mac[3], d->mac[4],
	    d->mac[5], d->wired, d->failed ? "true" : "false");
	out(",\"link\":%s,\"mbps\":%u", s->link ? "true" : "false",
	    s->link ? (unsigned)d->mbps : 0);
	member("ip", text(s->ip, a));
	out(",\"prefix\":%u", prefix(s));
	member("gateway", text(s->gateway, a));
	out(",\"dhcp\":%s,\"lease\":\"%s\",\"lease_s\":%u", s->dhcp ? "true" : "false",
	    leases[s->lease], (unsigned)s->seconds);
	member("server", text(s->server, a));
	json_control();
	json_counts(&d->counts);
}

static void show_text(const struct netdev *d, const struct stack_status *s)
{
	const struct netdev_counts *c = &d->counts;
	struct control_counts control;
	char a[STACK_IP_TEXT];

	out("card        %s at %02x:%02x.%x, %02x:%02x:%02x:%02x:%02x:%02x, interrupts: %s\n",
	    d->model, d->bus, d->dev, d->fn, d->mac[0], d->mac[1], d->mac[2], d->mac[3], d->mac[4],
	    d->mac[5], d->wired);
	if (d->failed)
		out("link        the card has failed; log says why\n");
	else if (s->link)
		out("link        up, %u Mbit/s\n", (unsigned)d->mbps);
	else
		out("link        down\n");
	if (s->ip)
		out("address     %s/%u", stack_ip_text(s->ip, a), prefix(s));
	else
		out("address     none yet");
	if (s->gateway)
		out(", gateway %s", stack_ip_text(s->gateway, a));
	if (s->lease == LEASE_BOUND)
		out(", leased by %s for %u s", stack_ip_text(s->server, a), (unsigned)s->seconds);
	out("\nreceived    %llu frames, %llu bytes; %llu damaged, %llu dropped\n",
	    (ull)c->rx_frames, (ull)c->rx_bytes, (ull)c->rx_errors, (ull)c->rx_dropped);
	out("sent        %llu frames, %llu bytes; %llu dropped\n", (ull)c->tx_frames,
	    (ull)c->tx_bytes, (ull)c->tx_dropped);
	out("card        %llu interrupts, %llu resets\n", (ull)c->interrupts, (ull)c->resets);
	control_counts(&control);
	if (control_port())
		out("control     port %u, %u clients; %llu accepted, %llu turned away, %llu "
		    "refused\n",
		    control_port(), control.open, (ull)control.accepted, (ull)control.turned_away,
		    (ull)control.failed);
	else
		out("control     no server: there is no control_key=\n");
}

int cmd_net(int argc, char **argv, bool json)
{
	const struct netdev *d = ctlnet_card();
	struct stack_status s;

	if (argc != 1 || strcmp(argv[0], "status") != 0)
		return -EINVAL;
	if (!d)
		return command_failed(json, "this node has no control card: give one the role with "
					    "nic.WHICH=control");
	stack_status(&s);
	if (json)
		show_json(d, &s);
	else
		show_text(d, &s);
	return 0;
}
