"""Selections, slowly: plain Python over lists, whole numbers where they decide."""

from __future__ import annotations

from assets.kernels.keyed_random import hash64, id_words
from assets.kernels.unit_vectors import UNIT, to_grid


def by_ties(ids, seed, purpose):
    hashes, words = hash64(ids, seed, purpose), id_words(ids)
    return sorted(range(len(ids)), key=lambda i: (hashes[i], words[i, 0], words[i, 1]))


def products(vectors):
    grid = to_grid(vectors).astype(int)
    return [[int(a @ b) for b in grid] for a in grid]


def farthest_first(vectors, ids, most, seed):
    dot = products(vectors)
    order = by_ties(ids, seed, "k-centre ties")
    picked = [order[0]]
    while len(picked) < min(most, len(ids)):
        free = [i for i in order if i not in picked]
        nearest = {i: max(dot[i][p] for p in picked) for i in free}
        picked.append(min(free, key=lambda i: nearest[i]))  # the first of equals, by ties
    return picked[:most]


def greedy_facility_location(vectors, ids, most, seed):
    dot = products(vectors)
    order = by_ties(ids, seed, "facility location ties")
    n, covered, picked = len(ids), [-int(UNIT)] * len(ids), []
    while len(picked) < min(most, n):
        free = [j for j in order if j not in picked]
        gain = {j: sum(max(0, dot[i][j] - covered[i]) for i in range(n)) for j in free}
        best = max(free, key=lambda j: gain[j])
        picked.append(best)
        covered = [max(c, dot[i][best]) for i, c in enumerate(covered)]
    return picked


def coverage(vectors, chosen):
    dot = products(vectors)
    return sum(max(dot[i][j] + UNIT for j in chosen) for i in range(len(dot)))


def webster(sizes, seats):
    """Seats by the highest quotient size / (2 s + 1), one after the other."""
    got = dict.fromkeys(sizes, 0)
    for _ in range(seats):
        best = max(sizes, key=lambda s: sizes[s] / (2 * got[s] + 1) if got[s] < sizes[s] else -1.0)
        got[best] += 1
    return got
