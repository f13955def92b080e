"""Third stage of the search: decide pairs by their rows, doing only what is not known already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from assets.containment.content import COUNTED_SCHEMA
from assets.containment.described import Described
from assets.containment.edges import PairCounter, witness_rows
from assets.containment.families import Names, Pair, by_columns, wanted_of
from assets.containment.hash_store import Columns, Progress, WorkDone
from assets.containment.pair_ledger import PairLedger
from assets.containment.sampling import Sampling, sampled_containment
from assets.containment.stage_clock import StageClock
from assets.kernels.freed_memory import give_back


@dataclass
class ContentStage:
    """The third stage: what is taken over, refuted by its witness, sampled, or counted.

    Attributes
    ----------
    asked
        Pairs that were neither taken over as refuted nor refuted by their witness.
    done
        What was read to count them.
    distinct
        What the ledger knows of tables: distinct rows, by columns.
    """

    tables: Mapping[str, Described]
    counter: PairCounter
    ledger: PairLedger | None
    sampling: Sampling | None
    min_containment: float
    clock: StageClock
    progress: Progress | None
    asked: int = 0
    done: WorkDone = field(default_factory=WorkDone)
    distinct: dict[Names, dict[str, int]] = field(default_factory=dict)

    def counted(self, candidates: Sequence[Pair]) -> dict[Names, pl.DataFrame]:
        """Count pairs, and return those that reach the wanted containment by the child's columns."""
        taken = pl.DataFrame(schema=COUNTED_SCHEMA)
        if self.ledger is not None:
            taken, candidates = self._taken_over(candidates, self.ledger)
        store, self.asked = self.counter.store, len(candidates) + taken.height
        self.done = store.fill(wanted_of(by_columns(self.tables, candidates)), self.progress)
        give_back()
        readable = [pair for pair in candidates if not store.failed.keys() & set(pair)]
        least = pl.col("containment") >= self.min_containment
        frames = {c: [f] for c, f in self._grouped(_as_exact(taken.filter(least))).items()}
        for columns, pairs in by_columns(self.tables, readable).items():
            frames.setdefault(columns, []).extend(self._family(columns, pairs))
        return {
            c: pl.concat(own, how="diagonal").filter(least) for c, own in sorted(frames.items())
        }

    def located(self, frames: Mapping[Names, pl.DataFrame]) -> dict[Names, pl.DataFrame]:
        """Add to counted pairs the row of each witness, and keep all that was counted.

        A row that was looked up once is not looked up again.
        """
        found = {}
        for columns, frame in frames.items():
            rows = witness_rows(frame, columns, self.counter.store)
            found[columns] = frame.with_columns(witness_row=rows)
            if self.ledger is not None:
                before = frame["witness_row"] if "witness_row" in frame.columns else None
                new = (
                    rows.is_not_null() if before is None else rows.is_not_null() & before.is_null()
                )
                if new.any():
                    fresh = found[columns].filter(new).filter(pl.col("exact"))
                    self.ledger.add(fresh, self._versions)
        if self.ledger is not None:
            self.ledger.save()
        return found

    def _family(self, columns: Names, pairs: Sequence[Pair]) -> list[pl.DataFrame]:
        frames = []
        if self.sampling is not None:
            hashes = self.counter.hashes(columns, pairs)
            told = sampled_containment(hashes, pairs, self.sampling)
            doubtful = (pl.col("low") < self.min_containment) & (
                pl.col("high") >= self.min_containment
            )
            frames.append(told.filter(~doubtful))
            decided = set(frames[0].select("child", "parent").rows())
            pairs = [pair for pair in pairs if pair not in decided]
        exact = self.counter.count(columns, pairs, distinct=self.distinct.get(columns))
        if self.ledger is not None:
            self.ledger.add(exact, self._versions)
        return [*frames, _as_exact(exact)]

    def _taken_over(
        self, candidates: Sequence[Pair], ledger: PairLedger
    ) -> tuple[pl.DataFrame, list[Pair]]:
        known = ledger.known(candidates, self._versions)
        settled = set(known.counted.select("child", "parent").rows())
        if self.min_containment >= 1.0:
            settled |= known.refuted
        left = [pair for pair in candidates if pair not in settled]
        if left:
            self._note_distinct(known.counted)
        self.clock.stage("kept", len(candidates), len(left))
        if self.min_containment >= 1.0:
            probed = {pair: w for pair, w in known.witnesses.items() if pair not in settled}
            missing, done = self._missing_again(probed)
            ledger.add_refuted(missing, self._versions)
            self.clock.stage("witness", len(probed), len(probed) - len(missing), done)
            left = [pair for pair in left if pair not in missing]
        return known.counted, left

    def _note_distinct(self, counted: pl.DataFrame) -> None:
        """Note how many distinct rows the tables of counted pairs have, on the child's columns."""
        children = counted["child"].unique().to_list()
        columns = {child: tuple(sorted(self.tables[child].keys)) for child in children}
        number = {own: i for i, own in enumerate(dict.fromkeys(columns.values()))}
        kinds = [number[own] for own in columns.values()]
        on = pl.DataFrame(
            {"child": children, "kind": kinds}, {"child": pl.String, "kind": pl.Int64}
        )
        marked = counted.join(on, on="child")
        names = list(number)
        for side in ("child", "parent"):
            known = marked.select("kind", side, f"{side}_distinct").unique()
            for kind, table, rows in known.iter_rows():
                self.distinct.setdefault(names[kind], {})[table] = rows

    def _missing_again(self, witnesses: Mapping[Pair, int]) -> tuple[dict[Pair, int], WorkDone]:
        """Look for each pair's witness in the parent; returns those that it still lacks."""
        store = self.counter.store
        wanted: dict[str, list[Columns]] = {}
        groups = by_columns(self.tables, witnesses)
        for columns, pairs in groups.items():
            for _, parent in pairs:
                own = wanted.setdefault(parent, [])
                if columns not in own:
                    own.append(columns)
        done = store.fill(wanted, self.progress)
        missing: dict[Pair, int] = {}
        for columns, pairs in groups.items():
            for parent in sorted({p for _, p in pairs} - store.failed.keys()):
                own_pairs = [pair for pair in pairs if pair[1] == parent]
                sought = [witnesses[pair] for pair in own_pairs]
                rows = store.first_rows(parent, columns, sought)
                missing |= {p: witnesses[p] for p in own_pairs if rows[witnesses[p]] < 0}
        return missing, done

    def _grouped(self, counted: pl.DataFrame) -> dict[Names, pl.DataFrame]:
        groups = by_columns(self.tables, counted.select("child", "parent").rows())
        family = {pair: number for number, own in enumerate(groups.values()) for pair in own}
        of = [family[pair] for pair in zip(counted["child"], counted["parent"], strict=True)]
        parts = counted.hstack([pl.Series("family", of, dtype=pl.Int64)]).partition_by(
            "family", as_dict=True, include_key=False
        )
        return {columns: parts[(number,)] for number, columns in enumerate(groups)}

    @cached_property
    def _versions(self) -> dict[str, str]:
        return {name: table.version for name, table in self.tables.items()}


def _as_exact(counted: pl.DataFrame) -> pl.DataFrame:
    """Add to counts what estimates say of themselves."""
    share = pl.col("containment")
    return counted.with_columns(exact=pl.lit(value=True), low=share, high=share)
