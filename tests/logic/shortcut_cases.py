"""Programs given by their worlds, and audits of them (test support)."""

import itertools

import numpy as np
from random_circuits import of_worlds

from nesy_gedi.logic.shortcuts import audit


def audit_answers(sizes, answers, support=None, networks=None):
    """The audit of a program given by the worlds of each answer; of all of them, or of a support."""
    rows = [(world, root) for root, worlds in enumerate(answers) for world in worlds]
    rows = [row for row in rows if support is None or row[0] in support]
    values, roots = np.array([world for world, _ in rows]), np.array([root for _, root in rows])
    return audit(of_worlds(sizes, *answers), networks or ["net"] * len(sizes), values, roots)


def pairs_by(answer, classes):
    """All pairs, in lists of equal answers."""
    pairs = list(itertools.product(range(classes), repeat=2))
    return [
        [pair for pair in pairs if answer(*pair) == value] for value in sorted({answer(*p) for p in pairs})
    ]


def added(a, b):
    return a + b


def sums(classes):
    return [(a, b, a + b) for a in range(classes) for b in range(classes - a)]


def audit_addition(classes=10, support=None):
    return audit_answers([classes] * 3, [sums(classes)], support)


def counts(found):
    return found.count, found.balanced, found.marginal
