// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The TSC against the PIT, as a kernel without a better idea does it: channel 2 counts 10 ms down
 * while port 61h is read in a loop. Five times: pitcal KHZ READS SHORTEST LONGEST     the loop's
 * passes in TSC ticks A kernel wants 1000 reads, and no pass ten times as long as the shortest
 * (Linux: pit_calibrate_tsc).
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/io.h>
#include <x86intrin.h>

#define PIT_HZ 1193182
#define MS     10
#define LATCH  (PIT_HZ / (1000 / MS))

static void once(void)
{
	uint64_t start, last, min = UINT64_MAX, max = 0;
	unsigned reads = 0;

	outb((inb(0x61) & ~2) | 1, 0x61);
	outb(0xb0, 0x43);
	outb(LATCH & 0xff, 0x42);
	outb(LATCH >> 8, 0x42);
	start = last = __rdtsc();
	while (!(inb(0x61) & 0x20)) {
		uint64_t now = __rdtsc(), pass = now - last;

		last = now;
		if (pass < min)
			min = pass;
		if (pass > max)
			max = pass;
		reads++;
	}
	printf("pitcal %llu %u %llu %llu\n", (unsigned long long)((last - start) / MS), reads,
	       (unsigned long long)min, (unsigned long long)max);
}

int main(void)
{
	if (iopl(3)) {
		perror("iopl");
		return 1;
	}
	for (int i = 0; i < 5; i++)
		once();
	return 0;
}
