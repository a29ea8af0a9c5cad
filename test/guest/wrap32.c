// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A 32-bit instruction that a hypervisor carries out (CPUID) ends at 4 GiB: EIP goes on at 0, where
 * nothing is mapped. Prints `wrap32 ok`, or `wrap32 FAIL` and where it went.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE	  0xfffff000ul
#define PAGE_SIZE 4096
#define USER32_CS 0x23

static const struct {
	uint32_t offset;
	uint16_t selector;
} __attribute__((packed)) last_bytes = {0xfffffffeu, USER32_CS};

static void fault(int sig, siginfo_t *info, void *context)
{
	uint64_t rip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	char text[80];
	int n;

	if (sig == SIGSEGV && rip == 0 && info->si_addr == NULL)
		n = snprintf(text, sizeof(text), "wrap32 ok\n");
	else
		n = snprintf(text, sizeof(text), "wrap32 FAIL signal %d at %lx\n", sig, rip);
	if (write(1, text, (size_t)n) != n)
		_exit(2);
	_exit(0);
}

int main(void)
{
	struct sigaction a = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	stack_t stack = {.ss_sp = malloc(SIGSTKSZ), .ss_size = SIGSTKSZ};
	uint8_t *page = mmap((void *)PAGE, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (page == MAP_FAILED || !stack.ss_sp || sigaltstack(&stack, NULL) != 0 ||
	    sigaction(SIGSEGV, &a, NULL) != 0 || sigaction(SIGILL, &a, NULL) != 0 ||
	    sigaction(SIGTRAP, &a, NULL) != 0) {
		perror("wrap32");
		return 1;
	}
	page[PAGE_SIZE - 2] = 0x0f; /* CPUID */
	page[PAGE_SIZE - 1] = 0xa2;
	asm volatile("ljmpl *%0" : : "m"(last_bytes) : "memory");
	return 1;
}
