// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs a test kernel under KVM, for comparison: kvmrun BZIMAGE [COMMAND LINE]. One CPU, KVM's own
 * interrupt controllers, a COM1 whose output goes to stdout; ends when the kernel powers off (exit
 * status 0). Documentation/virt/kvm/api.rst; the kernel is entered as
 * Documentation/x86/boot.rst says of the 32-bit protocol.
 */
#include <asm/bootparam.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM	     (64u << 20)
#define GDT	     0x1000u
#define PARAMS	     0x10000u
#define COMMAND_LINE 0x20000u
#define KERNEL	     0x100000u
#define BOOT_CS	     0x10
#define BOOT_DS	     0x18
#define COM1	     0x3f8
#define COM1_LSR     (COM1 + 5)
#define LSR_EMPTY    0x60
#define PM1_CNT	     0x604
#define TSS	     0xfffbd000u /* three pages below the firmware's flash, for VT-x */
#define CPUID_MAX    128

static uint8_t *ram;

static int kvm_ioctl(int fd, unsigned long request, const char *name, void *arg)
{
	int r = ioctl(fd, request, arg);

	if (r < 0)
		err(1, "%s", name);
	return r;
}
#define KVM(fd, request, arg) kvm_ioctl(fd, request, #request, arg)

static size_t read_file(const char *path, uint8_t *to, size_t max)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		err(1, "%s", path);
	n = fread(to, 1, max, f);
	if (!n || !feof(f))
		errx(1, "%s: cannot be read, or has more than %zu bytes", path, max);
	fclose(f);
	return n;
}

static void load(const char *path, const char *line)
{
	static uint8_t file[8 << 20];
	static const uint64_t gdt[] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
	size_t size = read_file(path, file, sizeof(file)), setup;
	struct boot_params *p = (struct boot_params *)(ram + PARAMS);

	memcpy(&p->hdr, file + offsetof(struct boot_params, hdr), sizeof(p->hdr));
	setup = (p->hdr.setup_sects + 1u) * 512;
	if (p->hdr.header != 0x53726448 || setup >= size)
		errx(1, "%s is no bzImage", path);
	memcpy(ram + KERNEL, file + setup, size - setup);
	memcpy(ram + GDT, gdt, sizeof(gdt));
	snprintf((char *)ram + COMMAND_LINE, 2048, "%s", line);
	p->hdr.cmd_line_ptr = COMMAND_LINE;
	p->e820_table[0] = (struct boot_e820_entry){.addr = 0, .size = RAM, .type = 1};
	p->e820_entries = 1;
}

static int make_vm(int kvm)
{
	int vm = KVM(kvm, KVM_CREATE_VM, 0);
	struct kvm_userspace_memory_region region = {.memory_size = RAM,
						     .userspace_addr = (uintptr_t)ram};

	KVM(vm, KVM_SET_TSS_ADDR, (void *)(uintptr_t)TSS);
	KVM(vm, KVM_CREATE_IRQCHIP, 0);
	KVM(vm, KVM_SET_USER_MEMORY_REGION, &region);
	return vm;
}

static void set_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + CPUID_MAX * sizeof(c->entries[0]));

	if (!c)
		err(1, "memory");
	c->nent = CPUID_MAX;
	KVM(kvm, KVM_GET_SUPPORTED_CPUID, c);
	KVM(vcpu, KVM_SET_CPUID2, c);
	free(c);
}

/* Protected mode, flat segments, ESI at the boot parameters. */
static void set_registers(int vcpu)
{
	struct kvm_segment code = {.limit = UINT32_MAX,
				   .selector = BOOT_CS,
				   .type = 11,
				   .present = 1,
				   .db = 1,
				   .s = 1,
				   .g = 1};
	struct kvm_segment data = code;
	struct kvm_regs regs = {.rip = KERNEL, .rsi = PARAMS, .rflags = 2};
	struct kvm_sregs s;

	data.selector = BOOT_DS;
	data.type = 3;
	KVM(vcpu, KVM_GET_SREGS, &s);
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.gdt.base = GDT;
	s.gdt.limit = 31;
	s.cr0 |= 1;
	KVM(vcpu, KVM_SET_SREGS, &s);
	KVM(vcpu, KVM_SET_REGS, &regs);
}

/* False: the kernel has powered off. */
static int port_io(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	if (run->io.direction == KVM_EXIT_IO_IN)
		memset(data, run->io.port == COM1_LSR ? LSR_EMPTY : 0xff,
		       (size_t)run->io.size * run->io.count);
	else if (run->io.port == COM1)
		fwrite(data, 1, run->io.count, stdout);
	return run->io.port != PM1_CNT;
}

int main(int argc, char **argv)
{
	int kvm, vcpu, vm, size;
	struct kvm_run *run;

	if (argc < 2)
		errx(1, "usage: kvmrun BZIMAGE [COMMAND LINE]");
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		err(1, "/dev/kvm");
	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size = KVM(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (ram == MAP_FAILED)
		err(1, "memory");
	load(argv[1], argc > 2 ? argv[2] : "");
	vm = make_vm(kvm);
	vcpu = KVM(vm, KVM_CREATE_VCPU, 0);
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		err(1, "kvm_run");
	set_cpuid(kvm, vcpu);
	set_registers(vcpu);
	do {
		if (ioctl(vcpu, KVM_RUN, 0) && errno != EINTR)
			err(1, "KVM_RUN");
		if (run->exit_reason != KVM_EXIT_IO && run->exit_reason != KVM_EXIT_INTR)
			errx(1, "the kernel left KVM by exit %u", run->exit_reason);
	} while (run->exit_reason != KVM_EXIT_IO || port_io(run));
	return 0;
}
