"""Choose which tables to keep, at least cost.

Uncapacitated facility location with hyper-edges: every table is kept, or rebuilt by one option all
of whose parents are kept. NP-hard in general; what must be kept in any case is taken out first, and
what then falls apart is solved part by part: forests by dynamic programming, the rest by an integer
program.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from assets.containment.components import connected
from assets.containment.retention_costs import Option, Table
from assets.containment.retention_forest import Needs, keep_in_forest
from assets.containment.retention_moves import Choice, Moves, cost_of
from assets.containment.retention_program import keep_by_program

_MOST_SWAPPED = 200
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Solution:
    """A choice with its cost for a period, and a proven bound from below."""

    choice: Choice
    method: str
    cost: float
    bound: float

    @property
    def gap(self) -> float:
        """The proven relative distance from the optimum at most; what is below 1e-9 is called 0."""
        gap = 0.0 if self.cost <= 0 else (self.cost - self.bound) / self.cost
        return gap if gap > _TOLERANCE else 0.0


@dataclass(frozen=True)
class _Part:
    kept: set[str]
    bound: float
    method: str


def choose(
    kept: Iterable[str], tables: Mapping[str, Table], options: Iterable[Option]
) -> Choice | None:
    """Assign each table that is not kept its cheapest option.

    Parameters
    ----------
    kept : iterable of str
        The tables that are kept.
    tables : mapping of str to Table
        All tables.
    options : iterable of Option
        The options.

    Returns
    -------
    dict or None
        The choice; None if a table can't be rebuilt from those kept.
    """
    there = set(kept)
    choice: Choice = dict.fromkeys(tables)
    for option in sorted(options, key=lambda option: (option.cost, option.parents)):
        open_ = option.child not in there and choice[option.child] is None
        if open_ and there.issuperset(option.parents):
            choice[option.child] = option
    if any(choice[name] is None and name not in there for name in tables):
        return None
    return choice


def solve(
    tables: Mapping[str, Table], options: Sequence[Option], deadline: float = math.inf
) -> Solution:
    """Solve one connected component.

    Parameters
    ----------
    tables : mapping of str to Table
        The tables of the component, in `Table.order`.
    options : sequence of Option
        Its options that pay.
    deadline : float, default infinite
        Of `time.monotonic`: when to stop with what there is; the gap then says how far it may be
        from the optimum.

    Returns
    -------
    Solution
        Deterministic unless the deadline ends the search. Its method is ``alone`` (nothing to
        decide), ``forest`` or ``integer program`` (for a part of the component at least).
    """
    if not options:
        choice: Choice = dict.fromkeys(tables)
        cost = cost_of(choice, tables)
        return Solution(choice, "alone", cost, cost)
    needs = _needs(options)
    settled = [name for name in tables if name not in needs]
    parts = [_solve_part(part, needs, deadline) for part in _parts(tables, needs)]
    bound = math.fsum([*(tables[name].keep_cost for name in settled), *(p.bound for p in parts)])
    method = "forest" if all(part.method == "forest" for part in parts) else "integer program"
    choice = _improved({*settled, *(n for part in parts for n in part.kept)}, tables, options)
    solution = Solution(choice, method, cost_of(choice, tables), bound)
    if solution.gap > 0:
        other = greedy(tables, options)
        if cost_of(other, tables) < solution.cost:
            solution = Solution(other, method, cost_of(other, tables), bound)
    return solution


def _needs(options: Iterable[Option]) -> dict[str, list[tuple[frozenset[str], Option]]]:
    """Group the options by child, each with those of its parents that are yet to be decided.

    A table without options is kept whatever happens, so nobody has to decide on it. An option that
    costs no less than another one of its table and needs all that the other needs is left out.
    """
    open_ = {option.child for option in options}
    needs: dict[str, list[tuple[frozenset[str], Option]]] = defaultdict(list)
    for option in sorted(options, key=lambda o: (o.cost, len(o.parents), o.parents)):
        need = frozenset(parent for parent in option.parents if parent in open_)
        if not any(other <= need for other, _ in needs[option.child]):
            needs[option.child].append((need, option))
    return needs


def _parts(tables: Mapping[str, Table], needs: Needs) -> list[dict[str, Table]]:
    """Split the tables to decide into parts that do not need each other, the smallest first."""
    links = [(name, need) for name in needs for need, _ in needs[name]]
    found = connected([name for name in tables if name in needs], links)
    parts = [{name: tables[name] for name in names} for names in found]
    return sorted(parts, key=lambda part: sum(len(needs[name]) for name in part))


def _solve_part(part: Mapping[str, Table], needs: Needs, deadline: float) -> _Part:
    forest = keep_in_forest(part, needs)
    if forest is not None:
        return _Part(*forest, "forest")
    kept, bound = keep_by_program(part, needs, max(0.0, deadline - time.monotonic()))
    return _Part(kept, bound, "integer program")


def _improved(
    kept: Iterable[str], tables: Mapping[str, Table], options: Sequence[Option]
) -> Choice:
    """Apply single changes while they save anything, from the kept tables of a solver.

    This settles what the solver's tolerance leaves open, tables of bytes beside tables of
    terabytes.
    """
    choice = choose(kept, tables, options)
    if choice is None:  # only where the solver ended without an answer
        choice = dict.fromkeys(tables)
    Moves(choice, tables, options).improve()
    return _swap_equals(choice, tables, options)


def greedy(tables: Mapping[str, Table], options: Sequence[Option]) -> Choice:
    """Retire and keep single tables while that saves anything, beginning with all kept.

    The heuristic that stands in where time runs out.
    """
    choice: Choice = dict.fromkeys(tables)
    Moves(choice, tables, options).improve()
    return choice


def _swap_equals(choice: Choice, tables: Mapping[str, Table], options: Sequence[Option]) -> Choice:
    """Keep the first by (bytes, name) of two tables that hold each other, at equal cost."""
    if len(tables) > _MOST_SWAPPED:
        return choice  # a tie is settled by the solver, which is deterministic too
    pairs = {(o.child, o.parents[0]) for o in options if len(o.parents) == 1}
    for first, second in sorted((c, p) for c, p in pairs if (p, c) in pairs):
        swap = tables[first].order < tables[second].order
        if swap and choice[first] is not None and choice[second] is None:
            kept = {name for name, option in choice.items() if option is None}
            other = choose(kept - {second} | {first}, tables, options)
            now = cost_of(choice, tables)
            if other is not None and cost_of(other, tables) <= now * (1 + 1e-12):
                choice = other
    return choice
