// SPDX-License-Identifier: GPL-2.0-or-later
/* nic: the experiment's network cards. */
#include <errno.h>
#include <string.h>
#include "hv/commands.h"
#include "hv/console.h"
#include "hv/nic.h"
#include "hv/pass.h"

static const char *const phases[] = {
	[NIC_RUNNING] = "running",
	[NIC_SETTLING] = "settling",
	[NIC_CATCHING] = "catching",
	[NIC_REPLAYING] = "replaying",
};

static void show_json(const struct pass *p, const struct nic *n, bool first)
{
	const struct nic_counts *c = &n->counts;

	out("%s{\"name\":\"%s\",\"model\":\"%s\",\"pci\":\"%02x:%02x.%x\",\"phase\":\"%s\"",
	    first ? "" : ",", p->unit.name, p->model, p->at.bus, p->at.dev, p->at.fn,
	    phases[n->phase]);
	out(",\"frames_caught\":%llu,\"frames_delivered\":%llu,\"frames_discarded\":%llu,\"frames_"
	    "missed\":%llu"
	    ",\"waiting\":%u,\"waiting_bytes\":%u",
	    (ull)c->caught, (ull)c->delivered, (ull)c->discarded, (ull)c->missed, n->pool.entries,
	    (unsigned)n->pool.used);
	out(",\"switches\":%llu,\"damaged\":%llu,\"overflows\":%llu,\"left_alone\":%llu,"
	    "\"tx_stuck\":%llu}",
	    (ull)c->switches, (ull)c->damaged, (ull)c->overflows, (ull)c->left_alone,
	    (ull)c->tx_stuck);
}

static void show_text(const struct pass *p, const struct nic *n)
{
	const struct nic_counts *c = &n->counts;

	out("%-11s %s at %02x:%02x.%x, %s\n", p->unit.name, p->model, p->at.bus, p->at.dev,
	    p->at.fn, phases[n->phase]);
	out("            frames: %llu caught, %llu delivered, %llu discarded, %llu missed by the "
	    "card; %u bytes wait\n",
	    (ull)c->caught, (ull)c->delivered, (ull)c->discarded, (ull)c->missed,
	    (unsigned)n->pool.used);
	out("            rings: %llu switched, %llu left alone; %llu damaged descriptors, %llu "
	    "overflows, transmission stuck %llu times\n",
	    (ull)c->switches, (ull)c->left_alone, (ull)c->damaged, (ull)c->overflows,
	    (ull)c->tx_stuck);
}

int cmd_nic(int argc, char **argv, bool json)
{
	const struct pass *p;

	if (argc != 1 || strcmp(argv[0], "status") != 0)
		return -EINVAL;
	if (!pass_at(0))
		return command_failed(json, "this guest has no network card: give it one with "
					    "nic.WHICH=experiment");
	if (json)
		out(HEAD "\"cards\":[");
	for (unsigned i = 0; (p = pass_at(i)); i++) {
		if (json)
			show_json(p, pass_wire_nic(p), i == 0);
		else
			show_text(p, pass_wire_nic(p));
	}
	if (json)
		out("]}\n");
	return 0;
}
