/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPU as a unit. Its registers live in a processor, so each CPU captures its own when it
 * parks, and puts back at the thaw what a `load` has changed meanwhile.
 */
#pragma once

struct state_reader;
struct state_writer;
struct vcpu;
struct vcpu_state;

void vcpu_unit_register(struct vcpu *v);
void vcpu_capture(struct vcpu *v); /* own CPU, when parking */
/* Own CPU, at the thaw, before the clock runs; the TSC offset is the caller's. */
void vcpu_restore(struct vcpu *v);
const struct vcpu_state *vcpu_captured(const struct vcpu *v); /* boot CPU, while frozen */

/* hv/vcpu_section.c: the registers of the section, in the order of docs/state-format.md. Refuses
 * what the vCPU can't be entered with. */
void vcpu_section_put(struct state_writer *w, const struct vcpu_state *s);
void vcpu_section_get(struct state_reader *r, struct vcpu_state *s);
