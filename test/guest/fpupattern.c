// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fills x87, MMX-free SSE, AVX or AVX-512 registers (what the CPU has) with patterns, leaves the
 * guest many times by CPUID with the registers live, and compares. One thread on each CPU.
 *   fpupattern [EXITS]        default 100000 per thread, in rounds of 1000 exits
 * Prints `fpupattern ok THREADS EXITS WIDTH` or `fpupattern FAIL ...`; exit status 0 or 1.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXITS_PER_ROUND 1000
#define REGS_MAX	32
#define REG_BYTES	64
#define THREADS_MAX	64

struct thread {
	pthread_t id;
	int cpu;
	long rounds;
	int failed;
};

struct image {
	uint8_t reg[REGS_MAX][REG_BYTES];
	uint64_t mask[8]; /* k0-k7 */
	double x87[8];
} __attribute__((aligned(64)));

enum width { SSE = 16, AVX = 32, AVX512 = 64 };

static enum width width(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
		return AVX512;
	return __builtin_cpu_supports("avx") ? AVX : SSE;
}

#define EXITS               \
	"mov %[n], %%esi\n" \
	"1: xor %%eax, %%eax\n xor %%ecx, %%ecx\n cpuid\n dec %%esi\n jnz 1b\n"
#define CLOBBER "rax", "rbx", "rcx", "rdx", "rsi", "memory"

#define LIST16(op)                                                                              \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) \
		op(14) op(15)
#define LIST32(op)                                                                                 \
	LIST16(op)                                                                                 \
	op(16) op(17) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25) op(26) op(27) op(28) \
		op(29) op(30) op(31)
#define LIST8(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7)

#define LOAD_SSE(r)  "movups 64*" #r "(%[in]), %%xmm" #r "\n"
#define STORE_SSE(r) "movups %%xmm" #r ", 64*" #r "(%[out])\n"
#define LOAD_AVX(r)  "vmovups 64*" #r "(%[in]), %%ymm" #r "\n"
#define STORE_AVX(r) "vmovups %%ymm" #r ", 64*" #r "(%[out])\n"
#define LOAD_512(r)  "vmovups 64*" #r "(%[in]), %%zmm" #r "\n"
#define STORE_512(r) "vmovups %%zmm" #r ", 64*" #r "(%[out])\n"
#define LOAD_K(r)    "kmovq 2048+8*" #r "(%[in]), %%k" #r "\n"
#define STORE_K(r)   "kmovq %%k" #r ", 2048+8*" #r "(%[out])\n"
#define LOAD_X87(r)  "fldl 2112+8*" #r "(%[in])\n"
#define STORE_X87(r) "fstpl 2112+8*" #r "(%[out])\n"

static void through_sse(const struct image *in, struct image *out, int n)
{
	asm volatile("finit\n" LIST8(LOAD_X87) LIST16(LOAD_SSE) EXITS LIST16(STORE_SSE)
			     LIST8(STORE_X87)
		     :
		     : [in] "r"(in), [out] "r"(out), [n] "r"(n)
		     : CLOBBER);
}

__attribute__((target("avx"))) static void through_avx(const struct image *in, struct image *out,
						       int n)
{
	asm volatile("finit\n" LIST8(LOAD_X87) LIST16(LOAD_AVX) EXITS LIST16(STORE_AVX)
			     LIST8(STORE_X87) "vzeroupper\n"
		     :
		     : [in] "r"(in), [out] "r"(out), [n] "r"(n)
		     : CLOBBER);
}

__attribute__((target("avx512f,avx512bw"))) static void through_avx512(const struct image *in,
								       struct image *out, int n)
{
	asm volatile("finit\n" LIST8(LOAD_X87) LIST32(LOAD_512) LIST8(LOAD_K)
			     EXITS LIST32(STORE_512) LIST8(STORE_K) LIST8(STORE_X87) "vzeroupper\n"
		     :
		     : [in] "r"(in), [out] "r"(out), [n] "r"(n)
		     : CLOBBER);
}

_Static_assert(__builtin_offsetof(struct image, mask) == 2048, "k registers");
_Static_assert(__builtin_offsetof(struct image, x87) == 2112, "x87 registers");

static void fill(struct image *m, enum width w, unsigned seed)
{
	memset(m, 0, sizeof(*m));
	for (int r = 0; r < (w == AVX512 ? 32 : 16); r++)
		for (int i = 0; i < (int)w; i++)
			m->reg[r][i] = (uint8_t)(seed * 31 + (unsigned)r * 7 + (unsigned)i * 13);
	for (int i = 0; i < 8; i++) {
		m->mask[i] = w == AVX512 ? 0x0123456789abcdefull * (seed + (unsigned)i + 1) : 0;
		m->x87[7 - i] = seed + i * 1.5; /* the stack turns them round */
	}
}

/* x87 registers come off the stack in the reverse order of their loading. */
static int same(const struct image *in, const struct image *out)
{
	if (memcmp(in->reg, out->reg, sizeof(in->reg)) != 0 ||
	    memcmp(in->mask, out->mask, sizeof(in->mask)) != 0)
		return 0;
	for (int i = 0; i < 8; i++)
		if (in->x87[i] != out->x87[7 - i])
			return 0;
	return 1;
}

static void *work(void *arg)
{
	struct thread *t = arg;
	struct image *in = aligned_alloc(64, sizeof(*in)), *out = aligned_alloc(64, sizeof(*out));
	enum width w = width();
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(t->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (long i = 0; i < t->rounds && !t->failed; i++) {
		fill(in, w, (unsigned)i + (unsigned)t->cpu * 1000);
		memset(out, 0, sizeof(*out));
		(w == AVX512 ? through_avx512
		 : w == AVX  ? through_avx
			     : through_sse)(in, out, EXITS_PER_ROUND);
		t->failed = !same(in, out);
	}
	free(in);
	free(out);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct thread threads[THREADS_MAX];
	long exits = argc > 1 ? atol(argv[1]) : 100000;
	int n = (int)sysconf(_SC_NPROCESSORS_ONLN), failed = 0;

	if (n > THREADS_MAX)
		n = THREADS_MAX;
	for (int i = 0; i < n; i++) {
		threads[i] = (struct thread){.cpu = i, .rounds = exits / EXITS_PER_ROUND};
		pthread_create(&threads[i].id, NULL, work, &threads[i]);
	}
	for (int i = 0; i < n; i++) {
		pthread_join(threads[i].id, NULL);
		failed |= threads[i].failed;
	}
	printf("fpupattern %s %d threads %ld exits %d bytes\n", failed ? "FAIL" : "ok", n, exits,
	       (int)width());
	return failed;
}
