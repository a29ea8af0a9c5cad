# SPDX-License-Identifier: GPL-2.0-or-later
"""The freeze protocol in a simulated world (test/sim): many seeds, many nodes, and protocols that are broken on purpose and must be caught."""
import os
import re
import shutil
import subprocess

from cases import case
from node import check
from paths import BUILD, ROOT

SIM = os.path.join(BUILD, "test", "sim")
MUTANT_SEEDS = "1-10000"  # a broken protocol is caught by one of these

# What is broken, and how: (file, text, what takes its place), all of them at once.
MUTANTS = [
    ("a commit is obeyed however late it comes", [
        ("participant.c", "if (past_limit(p, now))\n\t\tend(p, RESULT_MISSED);\n\telse\n\t\tr->state", "r->state"),
        ("participant.c", "p->report.state == STATE_ARMED && past_limit(p, now)", "false"),
        ("participant.c", "if (p->report.state == STATE_ARMED) {", "if (false) {")]),
    ("the T' of the arming is forgotten", [
        ("participant.c", "a->until = r->until;", "a->until = r->state == STATE_COMMITTED ? WIRE_NEVER : r->until;")]),
    ("the servo is released while the node stands", [
        ("participant.c", "if (r->state == STATE_IDLE && p->held)", "if ((r->state == STATE_IDLE || r->state == STATE_FROZEN) && p->held)")]),
    ("the servo is not held", [
        ("participant.c", "if (r->state != STATE_IDLE && !p->held)", "if (false)")]),
    ("a stepped clock is kept a secret", [
        ("participant.c", "p->report.flags |= REPORT_STEPPED;", "")]),
    ("a late freeze is kept a secret", [
        ("participant.c", "r->late = late < WIRE_DURATION_END ? late : WIRE_DURATION_END - 1;", "r->late = 0;")]),
    ("a freeze that failed is taken for one", [
        ("participant.c", "withdraw(p, RESULT_FAILED, now);", "end(p, RESULT_DONE); p->report.frozen = p->report.until - p->report.at;")]),
    ("a call-off leaves the timer armed", [
        ("participant.c", "if (p->planned && r->state != STATE_COMMITTED)", "if (false)")]),
    ("a thaw is ordered again and again", [
        ("participant.c", "\t\tr->thaw = THAW_COMMITTED;\n\t\tp->thaw_given = true;", "\t\tr->thaw = THAW_COMMITTED;")]),
    ("commit before all have acknowledged", [
        ("coordinator_phase.c", "if (c->pending)\n\t\treturn false;\n\tcoordinator_enter(c, PHASE_COMMITTING", "coordinator_enter(c, PHASE_COMMITTING")]),
    ("a reset is overlooked", [
        ("coordinator_phase.c", "return n->armed_boot && n->boot != n->armed_boot;", "(void)n; return false;"),
        ("coordinator_phase.c", "if (!in_epoch(c, n) || n->state == STATE_ARMED", "if (n->state == STATE_ARMED"),
        ("coordinator_phase.c", "if (n->state == STATE_IDLE && n->result != RESULT_DONE)", "if (false)"),
        ("coordinator_phase.c", "(n->epoch >= c->epoch || was_reset(n))", "true"),
        ("coordinator_phase.c", "if (n->until != c->until || n->at != c->at)", "if (false)")]),
    ("a node that ran on is overlooked", [
        ("coordinator_phase.c", "if (n->state == STATE_IDLE && n->result != RESULT_DONE)", "if (false)"),
        ("coordinator_phase.c", " || n->freeze_bound > c->config.bound_max", ""),
        ("coordinator_phase.c", "n->thaw_bound > c->config.bound_max ? FATE_CLOCK : FATE_NONE", "FATE_NONE")]),
    ("a stepped clock is overlooked", [
        ("coordinator_phase.c", "(n->flags & REPORT_STEPPED) || ", "")]),
    ("a thaw at another time is overlooked", [
        ("coordinator_phase.c", "if (n->until != c->until || n->at != c->at)", "if (false)"),
        ("coordinator_phase.c", "return n->late > excess ? n->late : excess;", "(void)excess; return n->late;")]),
    ("lateness is overlooked", [
        ("coordinator_phase.c", "return n->late > excess ? n->late : excess;", "return excess;")]),
    ("a late epoch is called clean", [
        ("coordinator_phase.c", "c->late > c->config.late_clean ? OUTCOME_LATE : OUTCOME_CLEAN", "OUTCOME_CLEAN")]),
    ("the epoch ends while a node stands", [
        ("coordinator_phase.c", "if (n->state != STATE_IDLE)\n\t\treturn FATE_SILENT;", ""),
        ("coordinator_phase.c", "case PHASE_THAWING:\n\t\treturn settled(c, n);", "case PHASE_THAWING:\n\t\treturn true;")]),
    ("an old report counts", [
        ("coordinator.c", "return m->report.number > n->number;", "return true;")]),
    ("epochs are counted from 1 by each coordinator", [
        ("coordinator.c", ".highest = config->incarnation", ".highest = 0")]),
    ("strays are left alone", [
        ("coordinator_phase.c", "return c->phase == PHASE_IDLE || n->epoch != c->epoch;", "return false;")]),
    ("what an earlier coordinator committed is called off", [
        ("coordinator_phase.c", " && proves_commit(&c->nodes[i])", " && false"),
        ("coordinator_phase.c", "return FATE_ALONE;\n\tif (n->fate", "return FATE_NONE;\n\tif (n->fate")]),
    ("an earlier coordinator is not fenced off, and what it may do since is not asked", [
        ("participant.c", "p->report.obeys = m->incarnation;\n\t\treturn REFUSAL_NONE;", "return REFUSAL_NONE;"),
        ("coordinator_phase.c", "return n->boot && n->state == STATE_IDLE && (n->epoch >= c->epoch || was_reset(n));", "return n->boot && n->state == STATE_IDLE;")]),
]


def sim(log, *args, program=SIM, timeout=600):
    r = subprocess.run([program, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout)
    log.write(f"$ sim {' '.join(args)}\n{r.stdout}")
    return r


def passes(log, *args, **kw):
    r = sim(log, *args, **kw)
    check(r.returncode == 0, "\n".join(r.stdout.splitlines()[-3:]))
    return r.stdout


@case()
def seeds(log):
    """Many small worlds: whatever goes wrong, every epoch gets the outcome it deserves, and all comes to rest."""
    passes(log, "--seeds", "1-2000")


@case(long=True)
def many_seeds(log):
    """The same, 100,000 of them."""
    passes(log, "--seeds", "1-100000", timeout=3600)


@case()
def ten_thousand_nodes(log):
    """An experiment of 10,000 nodes."""
    passes(log, "--seeds", "1-2", "--nodes", "10000")


@case()
def repeats_exactly(log):
    """One seed is one run, to the last message."""
    first, again = (passes(log, "--seeds", "40-60", "--trace") for _ in range(2))
    check(first == again and "frozen in epoch" in first, "two runs of one seed differ")
    prints = [re.search(r"fingerprint (\w+)", said)[1] for said in (first, passes(log, "--seeds", "41-61"))]
    check(prints[0] != prints[1], f"other seeds have the same fingerprint: {prints[0]}")


def mutate(folder, changes):
    """The protocol's sources, changed. A change whose text is not there exactly once is an error in this file."""
    for file, old, new in changes:
        path = os.path.join(folder, file)
        with open(path) as f:
            text = f.read()
        check(text.count(old) == 1, f"{file}: there is not exactly one: {old}")
        with open(path, "w") as f:
            f.write(text.replace(old, new))
    return sorted({file for file, _, _ in changes})


@case()
def broken_protocols_are_caught(log):
    """A protocol that breaks one of its rules does not get through: the checks can fail."""
    top = os.path.join(BUILD, "sim-mutants")
    shutil.rmtree(top, ignore_errors=True)
    cc = ["gcc", "-std=gnu11", "-g", "-O1"]

    def compile_to(source, include, obj):
        subprocess.run([*cc, f"-I{include}", f"-I{ROOT}", "-c", source, "-o", obj], check=True)

    os.makedirs(top)
    objects = {}
    for folder in ("proto", "test/sim"):
        for f in sorted(os.listdir(os.path.join(ROOT, folder))):
            if f.endswith(".c"):
                objects[f] = os.path.join(top, f + ".o")
                compile_to(os.path.join(ROOT, folder, f), ROOT, objects[f])
    missed = []
    for n, (what, changes) in enumerate(MUTANTS):
        root = os.path.join(top, str(n))
        shutil.copytree(os.path.join(ROOT, "proto"), os.path.join(root, "proto"))
        changed = mutate(os.path.join(root, "proto"), changes)
        own = dict(objects)
        for f in changed:
            own[f] = os.path.join(root, f + ".o")
            compile_to(os.path.join(root, "proto", f), root, own[f])
        program = os.path.join(root, "sim")
        subprocess.run([*cc, "-o", program, *own.values()], check=True)
        r = sim(log, "--seeds", MUTANT_SEEDS, program=program)
        log.write(f"{'caught' if r.returncode == 1 else 'MISSED'}: {what}\n\n")
        if r.returncode != 1:
            missed.append(what)
    check(not missed, "not caught: " + "; ".join(missed))
