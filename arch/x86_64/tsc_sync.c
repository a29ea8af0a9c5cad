/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far an AP's TSC is from the boot CPU's. In each round the BSP reads its TSC (t0), the AP
 * answers with its own (t1), the BSP reads again (t2): whatever the delays, t0 <= t1 + skew <= t2.
 * All rounds together bound the skew from both sides. A TSC that can be in step is taken to be in
 * step; otherwise the middle is taken. Then both CPUs take turns in reading the corrected TSC, and
 * it must never go backwards.
 */
#include "arch/x86_64/internal.h"
#include "arch/x86_64/spinlock.h"
#include "hv/log.h"

#define ROUNDS	    256
#define ROUNDS_MIN  8
#define ROUNDS_US   20000
#define WARP_ROUNDS 2000
#define WARP_US	    5000
#define PHASE_WARP  UINT64_MAX
#define PHASE_DONE  (UINT64_MAX - 1)

static struct {
	uint64_t ping __attribute__((aligned(64)));
	uint64_t pong __attribute__((aligned(64)));
	int64_t ap_tsc, ap_skew;
} sync;

static struct {
	struct spinlock lock;
	int64_t last, worst; /* boot CPU's ticks */
} warp __attribute__((aligned(64)));

static unsigned hopeless, corrected;

static uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static void wait_for(const uint64_t *p, uint64_t v)
{
	while (load(p) != v)
		cpu_relax();
}

static void warp_step(int64_t skew)
{
	int64_t now;

	spin_lock(&warp.lock);
	now = (int64_t)rdtsc_ordered() + skew;
	if (warp.last - now > warp.worst)
		warp.worst = warp.last - now;
	warp.last = now;
	spin_unlock(&warp.lock);
}

static void warp_run(void)
{
	warp.last = INT64_MIN / 2;
	warp.worst = 0;
	store(&sync.ping, PHASE_WARP);
	wait_for(&sync.pong, PHASE_WARP);
	for (uint64_t start = rdtsc(), n = 0;
	     n < WARP_ROUNDS && rdtsc() - start < tsc_hz() / 1000000 * WARP_US; n++)
		warp_step(0);
	store(&sync.ping, PHASE_DONE);
	wait_for(&sync.pong, PHASE_DONE);
}

void tsc_sync_bsp(unsigned cpu)
{
	int64_t low = INT64_MIN, high = INT64_MAX;
	uint64_t start = rdtsc(), limit = tsc_hz() / 1000000 * ROUNDS_US;
	struct cpu *c = cpu_get(cpu);

	for (uint64_t n = 1; n <= ROUNDS && (n <= ROUNDS_MIN || rdtsc() - start < limit); n++) {
		int64_t t0 = (int64_t)rdtsc_ordered(), t2;

		store(&sync.ping, n);
		wait_for(&sync.pong, n);
		t2 = (int64_t)rdtsc_ordered();
		if (t0 - sync.ap_tsc > low)
			low = t0 - sync.ap_tsc;
		if (t2 - sync.ap_tsc < high)
			high = t2 - sync.ap_tsc;
	}
	c->tsc_skew = low <= 0 && high >= 0 ? 0 : low + (high - low) / 2;
	sync.ap_skew = c->tsc_skew;
	warp_run();
	if (c->tsc_skew != 0) {
		corrected++;
		log_info("TSC: CPU %u is %lld ticks behind the boot CPU (+-%lld), corrected", cpu,
			 (long long)c->tsc_skew, (long long)(high - low) / 2);
	}
	if (low > high || warp.worst > 0) {
		hopeless++;
		log_debug("TSC: CPU %u: skew between %lld and %lld, warp %lld ticks", cpu,
			  (long long)low, (long long)high, (long long)warp.worst);
	}
}

void tsc_sync_ap(void)
{
	uint64_t seen = 0, ping;

	while ((ping = load(&sync.ping)) != PHASE_WARP) {
		if (ping == seen) {
			cpu_relax();
			continue;
		}
		sync.ap_tsc = (int64_t)rdtsc_ordered();
		seen = ping;
		store(&sync.pong, ping);
	}
	store(&sync.pong, PHASE_WARP);
	while (load(&sync.ping) != PHASE_DONE)
		warp_step(sync.ap_skew);
	/* ready for the next AP before this one is released */
	store(&sync.ping, 0);
	store(&sync.pong, PHASE_DONE);
}

void tsc_sync_report(void)
{
	if (hopeless)
		log_error("TSC: %u of %u CPUs have one that runs apart from the boot CPU's: the "
			  "guest's "
			  "clock will not be right; use one CPU (cpus=1) or other hardware",
			  hopeless, cpu_count());
	else
		log_info("TSC: in step on %u CPUs%s", cpu_count(),
			 corrected ? ", some by correction" : "");
}
