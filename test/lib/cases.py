# SPDX-License-Identifier: GPL-2.0-or-later
"""How tests in test/cases/*.py are declared: @case, with a function of one argument, the open log file."""

CASES = []


class Case:
    def __init__(self, function, long, alone, name):
        self.function = function
        self.long = long
        self.alone = alone
        self.name = name


def case(long=False, alone=False, **variants):
    """Registers a test. long: only in `make check-long`; or a list of those variants that are. alone: nothing else runs meanwhile, for guests that measure real time. One variant, as NAME=[values], makes one test of each value:
    the function is called with it as keyword, and its name ends with it."""

    def register(function):
        base = f"{function.__module__}.{function.__name__}"
        if not variants:
            CASES.append(Case(function, long, alone, base))
            return function
        (key, values), = variants.items()
        for value in values:
            label = "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
            label = label.replace(" ", "-").replace("/", "-")
            CASES.append(Case(_bind(function, key, value), long is True or (long and value in long), alone, f"{base}[{label}]"))
        return function

    return register


def _bind(function, key, value):
    return lambda log: function(log, **{key: value})
