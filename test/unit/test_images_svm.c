/* build: hv/machine.c hv/clock_unit.c hv/vcpu_unit.c hv/vcpu_section.c arch/x86_64/fpu_area.c svm/state_check.c hv/msr.c hv/vlapic.c hv/vlapic_timer.c hv/vlapic_ipi.c hv/vlapic_unit.c hv/ioapic.c hv/pic.c hv/irq.c hv/pit.c hv/hpet.c hv/pm.c hv/rtc.c hv/rtc_date.c hv/vuart.c hv/ports.c hv/pci.c hv/virtqueue.c hv/pass.c hv/pass_irq.c hv/virtio.c hv/msix.c hv/vblk.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vclock.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same with AMD-V's rules for a vCPU's state. */
#define VCPU_STATES_SVM
#include "test/unit/test_images.c"
