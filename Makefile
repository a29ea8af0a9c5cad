# SPDX-License-Identifier: GPL-2.0-or-later
# make            stasis.efi and the tools       make check [T=NAME]   all tests, or those with NAME in their name
# make setup      packages and libraries         make check-long       and the ones that take long
# make demo       a node in an emulator          make unit [T=NAME]    host tests only
# make lint       style and static checks        make fuzz T=NAME S=SECONDS
# make bench [T=NAME]   figures and plots, bare and under Stasis     make debian   a Debian system as a golden image
# make qemu       a QEMU without a race (docs/testing.md)
# Whatever setup provides is fetched and built on demand.

B := build
Q := $(if $(V),,@)
SAY = @printf '%-6s %s\n'
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

EFI_LIMIT := 1048576

.PHONY: all setup demo check check-long bench unit fuzz lint lint-spdx lint-format lint-cppcheck lint-tidy clean FORCE
all: $(B)/stasis.efi $(B)/stasis-store $(B)/stasisctl

# --- what comes from Debian --------------------------------------------------------------------
STAMP := $(B)/stamp
COMMON := tools/setup/common.sh
$(STAMP)/packages: tools/setup/packages.sh tools/setup/packages.txt
$(STAMP)/newlib: tools/setup/newlib.sh $(COMMON) | $(STAMP)/packages
$(STAMP)/zydis: tools/setup/zydis.sh tools/setup/apt-private.sh $(COMMON) | $(STAMP)/newlib
$(STAMP)/lwip: tools/setup/lwip.sh tools/setup/apt-private.sh $(COMMON) net/port/lwipopts.h net/port/arch/cc.h | $(STAMP)/newlib
$(STAMP)/mbedtls: tools/setup/mbedtls.sh tools/setup/apt-private.sh $(COMMON) net/port/mbedtls_config.h | $(STAMP)/newlib
$(STAMP)/guest: tools/setup/guest.sh tools/setup/apt-private.sh $(COMMON) | $(STAMP)/packages
$(STAMP)/debian: tools/setup/debian.sh tools/setup/apt-private.sh $(COMMON) | $(STAMP)/packages
$(STAMP)/qemu: tools/setup/qemu.sh tools/setup/packages-qemu.txt tools/setup/apt-private.sh $(COMMON) | $(STAMP)/packages
$(STAMP)/%:
	@mkdir -p $(@D)
	$(Q)$<
	@touch $@

# A package can have been removed since: ask, it is quick.
setup: FORCE
	$(Q)tools/setup/packages.sh
	$(Q)$(MAKE) -s --no-print-directory $(STAMP)/packages $(STAMP)/newlib $(STAMP)/zydis $(STAMP)/lwip $(STAMP)/mbedtls guest
FORCE:

# --- what tests boot ---------------------------------------------------------------------------
GUEST_BIN := $(patsubst test/guest/%.c,$(B)/guest/bin/%,$(wildcard test/guest/*.c))
GUEST_LIB := $(wildcard test/guest/lib/*.c)
$(B)/guest/bin/%: test/guest/%.c $(GUEST_LIB) $(wildcard test/guest/lib/*.h) | $(STAMP)/packages
	$(SAY) GUEST $<
	@mkdir -p $(@D)
	$(Q)gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -pthread -ffunction-sections -Wl,--gc-sections -Itest/guest \
		-o $@ $< $(GUEST_LIB)
$(B)/guest/initrd.lz4: test/lib/mkinitrd test/lib/guest-init $(GUEST_BIN) $(STAMP)/guest
	$(SAY) INITRD $@
	$(Q)test/lib/mkinitrd $@ $(GUEST_BIN)
# The same, and what kexec from inside the guest needs: the tool, the kernel, the plain initrd.
$(B)/guest/initrd-%.lz4: $(B)/guest/initrd.lz4
	$(SAY) INITRD $@
	$(Q)test/lib/mkinitrd --kexec $(subst kexec,vmlinuz,$*) $@ $(GUEST_BIN)
# And one with the programs of an experiment on a network.
$(B)/guest/initrd-network.lz4: $(B)/guest/initrd.lz4
	$(SAY) INITRD $@
	$(Q)test/lib/mkinitrd --network $@ $(GUEST_BIN)
# And one with fio and ext4.
$(B)/guest/initrd-disk.lz4: $(B)/guest/initrd.lz4
	$(SAY) INITRD $@
	$(Q)test/lib/mkinitrd --disk $@ $(GUEST_BIN)
# And one with KVM, and the test kernel that it is compared by.
$(B)/guest/initrd-kvm.lz4: $(B)/guest/initrd.lz4 $(B)/test/selfipi.bzimage
	$(SAY) INITRD $@
	$(Q)test/lib/mkinitrd --kvm $(B)/test/selfipi.bzimage $@ $(GUEST_BIN)
.PHONY: guest
guest: $(addprefix $(B)/guest/,initrd.lz4 initrd-kexec.lz4 initrd-kexec-cloud.lz4 initrd-network.lz4 initrd-disk.lz4)
# Not part of the setup, since they take minutes: a Debian system on a golden image (build/debian), and a QEMU without the
# race that docs/testing.md describes (build/qemu).
.PHONY: debian qemu
debian qemu: %: $(STAMP)/%

# --- the hypervisor ----------------------------------------------------------------------------
HV_SRC := $(sort $(wildcard arch/x86_64/*.[cS] hv/*.c vmx/*.[cS] svm/*.[cS] timevirt/*.c storage/*.c proto/*.c net/*.c))
HV_OBJ := $(patsubst %,$(B)/hv/%.o,$(basename $(HV_SRC)))
WARN := -Wall -Wextra -Werror
HV_FLAGS = -O2 -g -ffreestanding -fno-stack-protector -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
	-mgeneral-regs-only -fno-omit-frame-pointer -fcf-protection=none -fno-common -fno-asynchronous-unwind-tables \
	-nostdinc -isystem $(GCC_INCLUDE) -isystem $(B)/newlib/include -isystem $(B)/zydis/include -isystem $(B)/lwip/include -isystem $(B)/mbedtls/include -isystem net/port \
	$(MBEDTLS_CONFIG) -I. -I$(B)/gen
MBEDTLS_CONFIG := '-DMBEDTLS_CONFIG_FILE=<mbedtls_config.h>'
GCC_INCLUDE = $(shell gcc -print-file-name=include)
HV_LD := arch/x86_64/hv.ld
HV_LDFLAGS := -T $(HV_LD) -nostdlib -static -z max-page-size=4096 -z noexecstack --gc-sections \
	--build-id=none --fatal-warnings
HV_LIBS := $(B)/zydis/libzydis.a $(B)/lwip/liblwip.a $(B)/mbedtls/libmbedtls.a $(B)/libgpr.a
GEN := $(if $(wildcard hv/dsdt.asl),$(B)/gen/dsdt.h)

$(B)/hv/%.o: %.c | $(STAMP)/zydis $(STAMP)/lwip $(STAMP)/mbedtls $(GEN)
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)gcc -std=gnu11 $(HV_FLAGS) $(WARN) -MMD -MP -c $< -o $@
$(B)/hv/%.o: %.S | $(STAMP)/zydis $(GEN)
	$(SAY) AS $<
	@mkdir -p $(@D)
	$(Q)gcc $(HV_FLAGS) $(WARN) -Wa,--fatal-warnings -MMD -MP -c $< -o $@

# Two links: the first one's symbols, compacted for stack traces, are part of the second.
$(B)/hv.pass1: $(HV_OBJ) $(HV_LD) $(STAMP)/lwip $(STAMP)/mbedtls | $(STAMP)/zydis
	$(SAY) LD $@
	$(Q)ld $(HV_LDFLAGS) -o $@ $(HV_OBJ) $(HV_LIBS)
$(B)/gen/symtab.S: $(B)/hv.pass1 tools/symtab
	$(Q)tools/symtab $< >$@
$(B)/hv.elf: $(HV_OBJ) $(B)/gen/symtab.S $(HV_LD) tools/check-sse
	$(SAY) LD $@
	$(Q)gcc -c $(B)/gen/symtab.S -o $(B)/gen/symtab.o
	$(Q)ld $(HV_LDFLAGS) -Map $(B)/hv.map -o $@ $(HV_OBJ) $(B)/gen/symtab.o $(HV_LIBS)
	$(Q)tools/check-sse $@
$(B)/hv.stripped: $(B)/hv.elf
	$(Q)strip -s $< -o $@

$(B)/gen/dsdt.h: hv/dsdt.asl | $(STAMP)/packages
	$(SAY) IASL $<
	@mkdir -p $(@D)
	$(Q)iasl -we -va -tc -p $(B)/gen/dsdt $< >$(B)/gen/dsdt.log || { cat $(B)/gen/dsdt.log; exit 1; }
	$(Q)sed 's/^unsigned char/static const unsigned char/' $(B)/gen/dsdt.hex >$@


# --- the loader --------------------------------------------------------------------------------
EFI_SRC := $(sort $(wildcard boot/*.[cS]))
EFI_OBJ := $(patsubst boot/%,$(B)/boot/%.o,$(basename $(EFI_SRC)))
EFI_FLAGS := -O2 -g -ffreestanding -fpic -fshort-wchar -fno-strict-aliasing -fno-stack-protector -mno-red-zone \
	-maccumulate-outgoing-args -fcf-protection=none -fno-asynchronous-unwind-tables \
	-mgeneral-regs-only -DGNU_EFI_USE_MS_ABI -I. -I$(B)/gen -isystem /usr/include/efi -isystem /usr/include/efi/x86_64
EFI_LD := /usr/lib/elf_x86_64_efi.lds
EFI_SECTIONS := .text .sdata .data .dynamic .dynsym .rel .rela .rel.* .rela.* .reloc .rodata

# $(call efi,OUT,OBJECTS): link and turn into an EFI application
define efi
	$(Q)ld -nostdlib -znocombreloc -shared -Bsymbolic --no-undefined -T $(EFI_LD) -o $(1).so \
		/usr/lib/crt0-efi-x86_64.o $(2) -L /usr/lib -lefi -lgnuefi
	$(Q)objcopy $(addprefix -j ,$(EFI_SECTIONS)) --target efi-app-x86_64 $(1).so $(1)
endef

$(B)/boot/%.o: boot/%.c | $(STAMP)/packages $(GEN)
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)gcc -std=gnu11 $(EFI_FLAGS) $(WARN) -MMD -MP -c $< -o $@
$(B)/boot/%.o: boot/%.S | $(STAMP)/packages $(GEN)
	$(SAY) AS $<
	@mkdir -p $(@D)
	$(Q)gcc $(EFI_FLAGS) -DHV_ELF='"$(B)/hv.stripped"' -MMD -MP -c $< -o $@
$(B)/boot/image.o: $(B)/hv.stripped

$(B)/stasis.efi: $(EFI_OBJ)
	$(SAY) EFI $@
	$(call efi,$@,$(EFI_OBJ))
	@size=$$(stat -c %s $@); [ $$size -le $(EFI_LIMIT) ] || \
		{ echo "$@: $$size bytes, more than $(EFI_LIMIT)" >&2; exit 1; }

# --- the operator's tools: the node's own sources, for the host ---------------------------------
TOOL_FLAGS := -std=gnu11 -O2 -g -I. -idirafter $(B)/newlib/include -DHOST_TEST
STORE_CORE := $(patsubst %,storage/%.c,cache clean crc32c dev extents fiber index log look manifest page recover run segments store tree views)
STORE_SRC := $(sort $(wildcard tools/store/*.c)) storage/gpt.c $(STORE_CORE)
STORE_OBJ := $(patsubst %.c,$(B)/tool/%.o,$(STORE_SRC))
STORE_LIBS := -lnbd -lext2fs -lcom_err -lnettle -ljansson
$(B)/tool/%.o: %.c | $(STAMP)/newlib
	$(SAY) HOSTCC $<
	@mkdir -p $(@D)
	$(Q)gcc $(TOOL_FLAGS) $(WARN) -MMD -MP -c $< -o $@
$(B)/stasis-store: $(STORE_OBJ)
	$(SAY) HOSTLD $@
	$(Q)gcc -o $@ $(STORE_OBJ) $(STORE_LIBS)

CTL_SHARED := net/ctl_record.c hv/duration.c $(wildcard proto/*.c)
CTL_SRC := $(sort $(wildcard tools/ctl/*.c)) $(CTL_SHARED)
CTL_OBJ := $(patsubst %.c,$(B)/tool/%.o,$(CTL_SRC))
CTL_LIBS := -luv -lmbedtls -lmbedx509 -lmbedcrypto
JSON_LIB := -ljansson
$(B)/stasisctl: $(CTL_OBJ)
	$(SAY) HOSTLD $@
	$(Q)gcc -o $@ $(CTL_OBJ) $(CTL_LIBS) $(JSON_LIB)

# The same with sanitizers, and what answers it in tests: nodes that only speak the protocol.
$(B)/test/stasisctl: $(CTL_SRC) $(wildcard tools/ctl/*.h proto/*.h) net/ctl_record.h | $(STAMP)/newlib
	$(SAY) HOSTCC $@
	@mkdir -p $(@D)
	$(Q)gcc $(TOOL_FLAGS) -O1 -fno-omit-frame-pointer $(WARN) $(SANITIZE) -o $@ $(CTL_SRC) $(CTL_LIBS) $(JSON_LIB)
$(B)/test/fakenodes: $(wildcard test/ctl/*.c) $(CTL_SHARED) $(wildcard test/ctl/*.h proto/*.h) net/ctl_record.h | $(STAMP)/newlib
	$(SAY) HOSTCC $@
	@mkdir -p $(@D)
	$(Q)gcc $(TOOL_FLAGS) -O1 $(WARN) -o $@ $(filter %.c,$^) $(CTL_LIBS)

# what test/benches/store.py measures with
$(B)/bench/storetrace: $(patsubst %.c,$(B)/tool/%.o,test/benches/storetrace.c $(STORE_CORE))
	@mkdir -p $(@D)
	$(Q)gcc -o $@ $^ -lnbd

# --- what tests run instead of, or before, an operating system ----------------------------------
.SECONDEXPANSION:
TEST_EFI := $(patsubst test/efi/%.c,$(B)/test/%.efi,$(wildcard test/efi/*.c))
.PRECIOUS: $(B)/test/%.o
$(B)/test/%.o: test/efi/%.c | $(STAMP)/packages
	@mkdir -p $(@D)
	$(Q)gcc -std=gnu11 $(EFI_FLAGS) $(WARN) -c $< -o $@
$(B)/test/%.efi: $(B)/test/%.o
	$(SAY) EFI $@
	$(call efi,$@,$<)

# A test kernel has the shape of a bzImage: set-up sectors, then a flat image. One source in test/kernel, or a folder of them there.
KERNEL_COMMON := test/kernel/kernel.c test/kernel/efi.c test/kernel/start.S
KERNEL_NAMES := $(basename $(notdir $(filter-out $(KERNEL_COMMON),$(wildcard test/kernel/*.c)))) \
	$(patsubst test/kernel/%/,%,$(wildcard test/kernel/*/))
TEST_KERNELS := $(KERNEL_NAMES:%=$(B)/test/%.bzimage)
KERNEL_FLAGS := -O2 -ffreestanding -fno-stack-protector -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
	-fcf-protection=none -fno-asynchronous-unwind-tables -nostdlib -I. -fshort-wchar -DGNU_EFI_USE_MS_ABI \
	-isystem /usr/include/efi -isystem /usr/include/efi/x86_64
# what the judge's kernel has for the hardware
KERNEL_MORE_states := $(patsubst %,test/kernel/judge/%,apic.c board.c clock.c cpu2.c irq.c trampoline.S judge.h)
$(B)/test/%.bzimage: $$(wildcard test/kernel/$$*.c test/kernel/$$*/*) $$(KERNEL_MORE_$$*) $(KERNEL_COMMON) test/kernel/kernel.ld test/kernel/kernel.h test/kernel/layout.h | $(STAMP)/packages
	$(SAY) KERNEL $@
	@mkdir -p $(@D)
	$(Q)gcc -std=gnu11 $(KERNEL_FLAGS) $(WARN) -static -Wl,-T,test/kernel/kernel.ld -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -o $@.elf $(filter %.c %.S,$^)
	$(Q)objcopy -O binary $@.elf $@

# --- host tests --------------------------------------------------------------------------------
# A line at the top of a test names the sources it links with: /* build: hv/a.c hv/b.c */
UNIT := $(patsubst test/unit/%.c,%,$(sort $(wildcard test/unit/test_*.c)))
# Those that test/run will run: any part of a test's name will do.
UNIT := $(if $(T),$(foreach u,$(UNIT),$(if $(findstring $(T),unit.$(u)),$(u))),$(UNIT))
HOST_LIBS := $(B)/zydis/libzydis-host.a $(B)/lwip/liblwip-host.a $(B)/mbedtls/libmbedtls-host.a
UNIT_FLAGS := -std=gnu11 -g -O1 -fno-omit-frame-pointer -I. -I$(B)/gen -I$(B)/zydis/include \
	-isystem $(B)/lwip/include -isystem $(B)/mbedtls/include $(MBEDTLS_CONFIG) -isystem net/port -idirafter $(B)/newlib/include -DHOST_TEST \
	-Dvsniprintf=vsnprintf -Dsniprintf=snprintf
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
$(B)/unit/test_ctl $(B)/fuzz/fuzz_experiment: HOST_LIBS += $(JSON_LIB)
comma := ,
build_line = $(shell sed -n '1$(comma)5s;^/\* build:\(.*\)\*/.*;\1;p' $(1))

$(B)/unit/test_%: test/unit/test_%.c $$(call build_line,test/unit/test_%.c) | $(STAMP)/zydis $(STAMP)/lwip $(STAMP)/mbedtls $(GEN)
	$(SAY) HOSTCC $@
	@mkdir -p $(@D)
	$(Q)gcc $(UNIT_FLAGS) $(WARN) $(SANITIZE) -MMD -MP -MF $@.d -o $@ $(filter %.c,$^) $(HOST_LIBS)
$(B)/fuzz/fuzz_%: test/fuzz/fuzz_%.c $$(call build_line,test/fuzz/fuzz_%.c) | $(STAMP)/zydis $(STAMP)/lwip $(STAMP)/mbedtls $(GEN)
	$(SAY) HOSTCC $@
	@mkdir -p $(@D)
	$(Q)clang $(UNIT_FLAGS) -O2 $(WARN) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ \
		$(filter %.c,$^) $(subst lwip-host,lwip-fuzz,$(subst mbedtls-host,mbedtls-fuzz,$(HOST_LIBS)))

# The freeze protocol in a simulated world
SIM_SRC := $(wildcard proto/*.c test/sim/*.c)
$(B)/test/sim: $(SIM_SRC) $(wildcard proto/*.h test/sim/*.h)
	$(SAY) HOSTCC $@
	@mkdir -p $(@D)
	$(Q)gcc -std=gnu11 -g -O2 -I. $(WARN) $(SANITIZE) -o $@ $(SIM_SRC)

# A disk whose power fails, for nbdkit
$(B)/test/volatile.so: test/nbd/volatile.c | $(STAMP)/packages
	$(SAY) HOSTCC $@
	@mkdir -p $(@D)
	$(Q)gcc -std=gnu11 -D_GNU_SOURCE -O2 $(WARN) -shared -fPIC -o $@ $<

# The PTP clock on this host's network
PTP_SRC := $(patsubst %,net/%.c,servo shared_clock ptp_bmca ptp_clock ptp_message) $(wildcard test/ptp/*.c)
$(B)/test/ptp: $(PTP_SRC) $(wildcard net/*.h)
	$(SAY) HOSTCC $@
	@mkdir -p $(@D)
	$(Q)gcc -std=gnu11 -D_GNU_SOURCE -g -O2 -I. $(WARN) $(SANITIZE) -o $@ $(PTP_SRC)

unit: $(UNIT:%=$(B)/unit/%)
	$(Q)test/run --unit $(T)

# S seconds, with what earlier runs found as a start
S ?= 60
fuzz: $(B)/fuzz/fuzz_$(T)
	@mkdir -p $(B)/fuzz/corpus/$(T)
	$(Q)cd $(B)/fuzz && ./fuzz_$(T) -max_total_time=$(S) -max_len=4096 -print_final_stats=1 corpus/$(T)

# --- all tests, and what a user sees first ------------------------------------------------------
TESTED := $(B)/stasis.efi $(B)/stasis-store $(B)/stasisctl $(TEST_EFI) $(TEST_KERNELS) $(B)/test/sim $(B)/test/ptp \
	$(B)/test/stasisctl $(B)/test/fakenodes $(B)/test/volatile.so
.PHONY: tested tested-units
tested: $(TESTED)
tested-units: $(UNIT:%=$(B)/unit/%)
# What is wanted is built after the setup, and then on all of this machine's processors.
build = $(Q)$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc)) $(1)
check: setup
	$(call build,tested tested-units)
	$(Q)test/run $(T)
check-long: setup debian qemu
	$(call build,tested tested-units)
	$(Q)test/run --long $(T)
demo: setup
	$(call build,$(B)/stasis.efi $(B)/stasisctl)
	$(Q)test/demo
bench: setup
	$(call build,tested $(B)/bench/storetrace $(B)/guest/initrd-kvm.lz4)
	$(Q)test/bench $(T)

# --- style and static checks -------------------------------------------------------------------
C_FILES = $(shell git ls-files '*.c' '*.h')
TIDY_HV = $(filter $(HV_SRC),$(filter %.c,$(C_FILES)))
TIDY_EFI = $(filter boot/%.c,$(C_FILES))
TIDY_TOOL = $(filter tools/%.c,$(C_FILES))
lint: lint-spdx lint-format lint-cppcheck lint-tidy
lint-spdx:
	$(SAY) SPDX 'all files'
	$(Q)tools/check-spdx
lint-format: $(STAMP)/packages
	$(SAY) FORMAT 'C files'
	$(Q)clang-format --dry-run -Werror $(C_FILES)
lint-cppcheck: $(STAMP)/packages $(GEN)
	$(SAY) CPPCHK 'hypervisor, loader and tools'
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr --enable=warning,portability,performance \
		--suppress=missingIncludeSystem --suppressions-list=.cppcheck -j 2 -I. -I$(B)/gen $(TIDY_HV) $(TIDY_EFI) $(TIDY_TOOL)
# clang knows neither -maccumulate-outgoing-args nor how to be quiet about what it suppressed.
lint-tidy: $(STAMP)/zydis $(STAMP)/mbedtls $(GEN)
	$(SAY) TIDY 'hypervisor, store'
	$(Q)printf '%s\n' $(TIDY_HV) | xargs -P 2 -n 6 tools/tidy -std=gnu11 $(HV_FLAGS) --
	$(SAY) TIDY 'loader'
	$(Q)printf '%s\n' $(TIDY_EFI) | xargs -P 2 -n 6 tools/tidy -std=gnu11 $(filter-out -maccumulate-outgoing-args,$(EFI_FLAGS)) --
	$(SAY) TIDY 'tools'
	$(Q)printf '%s\n' $(TIDY_TOOL) | xargs -P 2 -n 1 tools/tidy $(TOOL_FLAGS) --

clean:
	rm -rf $(B)

-include $(HV_OBJ:.o=.d) $(STORE_OBJ:.o=.d) $(CTL_OBJ:.o=.d) $(B)/tool/test/benches/storetrace.d $(EFI_OBJ:.o=.d) $(wildcard $(B)/unit/*.d)
