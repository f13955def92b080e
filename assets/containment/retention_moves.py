"""Single changes of a retention plan: what one more kept, or one more retired table would do."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from assets.containment.retention_costs import Option, Table

Choice = dict[str, Option | None]
"""By table the option that rebuilds it; None is kept."""

_GB = 1e9
_LEAST = 1e-12


def cost_of(choice: Mapping[str, Option | None], tables: Mapping[str, Table]) -> float:
    """Add up what a choice costs for a period.

    Parameters
    ----------
    choice : mapping of str to Option or None
        The option by table; None is kept.
    tables : mapping of str to Table
        The tables.

    Returns
    -------
    float
        The cost, summed without rounding error that depends on the order.
    """
    return math.fsum(
        tables[name].keep_cost if option is None else option.cost for name, option in choice.items()
    )


class Moves:
    """The single changes of a choice, and what each would save.

    Parameters
    ----------
    choice : dict of str to Option or None
        Is changed by `improve`.
    tables : mapping of str to Table
        The tables of the choice.
    options : iterable of Option
        The options that may be used, whether they pay or not.
    """

    def __init__(
        self, choice: Choice, tables: Mapping[str, Table], options: Iterable[Option]
    ) -> None:
        self.choice, self.tables = choice, tables
        self._into: dict[str, list[Option]] = defaultdict(list)
        self._out_of: dict[str, list[Option]] = defaultdict(list)
        for option in sorted(options, key=lambda option: (option.rebuild_cost, option.parents)):
            self._into[option.child].append(option)
            for parent in option.parents:
                self._out_of[parent].append(option)

    def cheapest(self, name: str, without: str) -> Option | None:
        """Return the cheapest option whose parents are all kept and do not include `without`."""
        for option in self._into[name]:
            if without not in option.parents and all(
                self.choice[p] is None for p in option.parents
            ):
                return option
        return None

    def without(self, name: str) -> tuple[float, Choice]:
        """Tell what it costs the tables that are rebuilt from a kept one to do without it."""
        changes: Choice = {}
        lost = 0.0
        for option in self._out_of[name]:
            child = option.child
            if self.choice[child] is option:
                other = self.cheapest(child, name)
                cost = self.tables[child].keep_cost
                if other is not None and other.cost < cost:
                    cost = other.cost
                else:
                    other = None
                changes[child] = other
                lost += cost - option.cost
        return lost, changes

    def with_(self, name: str) -> tuple[float, Choice]:
        """Tell what other retired tables would save if a retired one were kept."""
        changes: Choice = {}
        saved = 0.0
        for option in self._out_of[name]:
            current = changes.get(option.child, self.choice[option.child])
            others = [parent for parent in option.parents if parent != name]
            if current is None or option.cost >= current.cost or option.child == name:
                continue
            if all(self.choice[parent] is None for parent in others):
                changes[option.child] = option
                saved += current.cost - option.cost
        return saved, changes

    def improve(self) -> None:
        """Apply changes while one saves anything; the result depends on no order of the input."""
        names = sorted(self.tables, key=lambda name: self.tables[name].order, reverse=True)
        moved = True
        while moved:
            moved = False
            for name in names:
                saved, changes = self._change(name)
                if saved > _LEAST * self.tables[name].keep_cost:
                    self.choice.update(changes)
                    moved = True

    def _change(self, name: str) -> tuple[float, Choice]:
        now, keep = self.choice[name], self.tables[name].keep_cost
        if now is not None:
            saved, changes = self.with_(name)
            return saved + now.cost - keep, {**changes, name: None}
        own = self.cheapest(name, name)
        if own is None:
            return 0.0, {}
        lost, changes = self.without(name)
        return keep - own.cost - lost, {**changes, name: own}

    def break_even(self, name: str) -> tuple[float | None, float | None]:
        """Return the accesses a period and the storage price at which a table's decision turns.

        Above that many accesses, and below that price of its gigabyte, keeping it is cheaper, if
        no other table is retired that is kept now, or kept that is not rebuilt from this one. None
        where no kept table could rebuild it, or the figure is infinite.
        """
        table = self.tables[name]
        option = self.choice[name]
        if option is None:
            option = self.cheapest(name, name)
            others = self.without(name)[0]
        else:
            others = self.with_(name)[0]
        if option is None:
            return None, None
        worth = max(0.0, table.keep_cost - others)
        accesses = worth / option.rebuild_cost if option.rebuild_cost > 0 else None
        own = table.costs
        price = None
        if table.size > 0:
            kept = own.maintenance_per_gb * own.maintenance_operations
            price = max(0.0, (option.cost + others) / (table.size / _GB) - kept)
        return accesses, price
