"""Split what is linked from what is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def connected(names: Sequence[str], links: Iterable[tuple[str, Iterable[str]]]) -> list[list[str]]:
    """Split names into weakly connected components.

    Parameters
    ----------
    names : sequence of str
        All names.
    links : iterable of (str, iterable of str)
        What each is linked to.

    Returns
    -------
    list of list of str
        The components, each in the order of `names`, sorted by the first name of each.
    """
    leader = {name: name for name in names}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for name, others in links:
        for other in others:
            first, second = sorted((find(name), find(other)))
            leader[second] = first
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(find(name), []).append(name)
    return [found[root] for root in sorted(found)]
