"""What selection is worth on real labelled data: the same small model trained on what each method keeps.

Four sets: banking77 (77 intents), CLINC150 (150 intents, the imbalanced train file), AfriSenti (three sentiments, all
languages that have train rows) and scikit-learn's handwritten digits. Every method of the two registries is asked, so
a new one is measured by itself: each selector, and `top` by each scorer (both ends of a scorer that has the setting
`keep`). Selectors that need a value get KNN-Shapley's, standardised, fixed beforehand; MIG's tag is the label.

A seed draws the pool that is selected from and the labelled target (what scorers may look at); the test rows are others
and the same for all seeds. 10, 30 and 50 % of the pool are kept, and a linear head (ridge on one-hot labels, closed
form, its penalty fixed beforehand) is fitted on hashed n-gram vectors, or on pixels, of what was kept. `random` and
`stratified` are means of several draws a seed. `top: random` is one more draw: what it wins or loses is chance. Below
the table stand the head on all of the pool, and on a random draw with the target's rows added: what those are worth
when simply trained on, as no method may.

    python -m benchmarks.selection [LAKE [SEEDS]]

LAKE (by default shared/lake beside the clone) holds labelled/{banking77,clinc150} and multilingual/afrisenti; sets that
are not there are left out. results/selection.json has the figures. Some 5 CPU minutes on one thread.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import t as student
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets.scoring.hashed import HashedEmbedder
from assets.scoring.protocol import ScoreBatch, ScoreContext
from assets.scoring.selectors.budget import Budget, select
from assets.scoring.selectors.protocol import Candidates
from assets.scoring.selectors.ranked import Top
from assets.scoring.selectors.registry import SELECTORS, create
from benchmarks.machine import machine
from benchmarks.registry_scores import flat, scored

SHARES = (0.1, 0.3, 0.5)
POOL, TARGET, DIM = 2_000, 500, 256
DRAWS = 5  # of `random` and `stratified`, a seed
PENALTY = 1.0
BASELINES = ("random", "stratified")
VALUE = "knn_shapley"
AIDED = "random, and the target"


@dataclass(frozen=True, slots=True)
class Labelled:
    """Records to select from or to test on; n rows each."""

    rows: pl.DataFrame  # id, text (null for digits), label, group (null but for AfriSenti)
    vectors: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64]) -> Labelled:
        return Labelled(self.rows[rows], self.vectors[rows])

    def and_(self, other: Labelled) -> Labelled:
        vectors = np.concatenate([self.vectors, other.vectors])
        return Labelled(pl.concat([self.rows, other.rows]), vectors)

    def batch(self, role: str) -> ScoreBatch:
        texts = self.rows["text"]
        groups = self.rows["group"]
        return ScoreBatch(
            self.rows["id"],
            text=None if texts.null_count() else texts.to_arrow(),
            label=self.rows["label"].to_arrow(),
            embedding=self.vectors,
            role=role,
            cohort=None if groups.null_count() else groups.to_arrow(),
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A set: what pools and targets are drawn from, and what tests."""

    name: str
    train: Labelled
    aim: Labelled | None  # None: the target is drawn from `train`, beside the pool
    test: Labelled

    def draw(self, seed: int) -> tuple[Labelled, Labelled]:
        rng = np.random.default_rng([seed, 11])
        order = rng.permutation(self.train.rows.height)
        if self.aim is not None:
            pool = order[:POOL]
            aims = rng.permutation(self.aim.rows.height)[:TARGET]
            return self.train.take(pool), self.aim.take(aims)
        cut = min(TARGET, len(order) // 5)
        return self.train.take(order[cut:][:POOL]), self.train.take(order[:cut])


def of_text(frame: pl.DataFrame) -> Labelled:
    """Embed columns text, label and group; a text that stands twice is taken once."""
    frame = frame.unique("text", keep="first", maintain_order=True).drop_nulls(["text", "label"])
    vectors = HashedEmbedder(DIM).embed(text=frame["text"].to_arrow())
    ids = pl.Series("id", [f"r{i}" for i in range(frame.height)])
    return Labelled(frame.select(ids, "text", "label", "group"), vectors)


def without(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Leave out of the train rows what the test rows hold too."""
    return train.join(test, on="text", how="anti", maintain_order="left")


def tasks(lake: Path) -> Iterator[Task]:
    """Yield the sets that are there."""
    nothing = pl.lit(None, pl.String).alias("group")
    folder = lake / "labelled" / "banking77"
    if folder.is_dir():
        train, test = (
            pl.read_csv(folder / f"{part}.csv").select("text", nothing, label="category")
            for part in ("train", "test")
        )
        yield Task("banking77", of_text(without(train, test)), None, of_text(test))
    folder = lake / "labelled" / "clinc150"
    if folder.is_dir():
        full = (
            pl.read_csv(folder / "data_full.csv").rename({"intent": "label"}).with_columns(nothing)
        )
        uneven = pl.read_csv(folder / "data_imbalanced.csv").rename({"intent": "label"})
        test, aim = (full.filter(split=part) for part in ("test", "val"))
        train = without(uneven.filter(split="train").with_columns(nothing), test)
        yield Task("clinc150", of_text(train), of_text(without(aim, test)), of_text(test))
    folder = lake / "multilingual" / "afrisenti"
    if folder.is_dir():
        parts: dict[str, list[pl.DataFrame]] = {"train": [], "dev": [], "test": []}
        for language in sorted(folder.iterdir()):
            if not (language / "train.tsv").exists():
                continue
            for part, frames in parts.items():
                frame = pl.read_csv(
                    language / f"{part}.tsv", separator="\t", quote_char=None, infer_schema=False
                )
                group = pl.lit(language.name).alias("group")
                frames.append(frame.select("label", group, text="tweet"))
        train, aim, test = (pl.concat(frames) for frames in parts.values())
        held = set(train["group"].unique())
        aim, test = (f.filter(pl.col("group").is_in(held)) for f in (aim, test))
        yield Task(
            "afrisenti", of_text(without(train, test)), of_text(without(aim, test)), of_text(test)
        )
    pixels, digit = load_digits(return_X_y=True)
    frame = pl.DataFrame({"label": digit.astype(str), "id": [f"r{i}" for i in range(len(digit))]})
    frame = frame.select("id", pl.lit(None, pl.String).alias("text"), "label", nothing)
    whole = Labelled(frame, (pixels / 16).astype(np.float32))
    order = np.random.default_rng(0).permutation(len(digit))
    yield Task("digits", whole.take(order[597:]), None, whole.take(order[:597]))


def ridge(vectors: NDArray[np.float32], labels: NDArray[np.str_]):
    """Fit the linear head; returns classes, weights and the two means, as RidgeClassifier does."""
    classes, codes = np.unique(labels, return_inverse=True)
    x = vectors.astype(np.float64)
    y = np.where(codes[:, None] == np.arange(len(classes)), 1.0, -1.0)
    centre, level = x.mean(axis=0), y.mean(axis=0)
    x -= centre
    factor = cho_factor(x.T @ x + PENALTY * np.eye(x.shape[1]), check_finite=False)
    return classes, cho_solve(factor, x.T @ (y - level), check_finite=False), centre, level


def accuracy(pool: Labelled, rows: NDArray[np.int64], test: Labelled) -> float:
    """Return the test accuracy of the head fitted on some rows of the pool."""
    classes, weights, centre, level = ridge(pool.vectors[rows], pool.rows["label"].to_numpy()[rows])
    logits = (test.vectors - centre) @ weights + level
    return float((classes[logits.argmax(axis=1)] == test.rows["label"].to_numpy()).mean())


def check_head(pool: Labelled, test: Labelled) -> None:
    """Compare the head with scikit-learn's."""
    labels = pool.rows["label"].to_numpy()
    own = RidgeClassifier(alpha=PENALTY, solver="cholesky").fit(
        pool.vectors.astype(np.float64), labels
    )
    theirs = float((own.predict(test.vectors) == test.rows["label"].to_numpy()).mean())
    ours = accuracy(pool, np.arange(len(labels)), test)
    assert abs(ours - theirs) < 2e-3, (ours, theirs)


def kept(
    method: str, candidates: Candidates, most: int, seed: int, values: NDArray[np.float64] | None
) -> NDArray[np.int64]:
    """Return exactly `most` rows, best first; rows without a score come last, drawn at random."""
    selector = Top() if values is not None else create(method)
    mine = candidates
    if values is not None:
        mine = Candidates(candidates.ids, value=values)
    rows = select(mine, selector, Budget(most), seed=seed).rows
    if len(rows) < most:
        others = np.setdiff1d(np.arange(len(candidates)), rows)
        rows = np.concatenate([rows, np.random.default_rng([seed, 13]).permutation(others)])[:most]
    assert len(rows) == most == len(np.unique(rows)), method
    return rows


def arms(pool: Labelled, target: Labelled, seed: int):
    """Return by method a list of selections (several for the baselines), what was left out, and seconds."""
    most = round(SHARES[-1] * pool.rows.height)
    found, left_out = scored(pool.batch("train"), target.batch("target"), ScoreContext(seed=seed))
    value = found[VALUE].values
    value = (value - np.nanmean(value)) / np.nanstd(value)
    stratum = pool.rows.select(
        pl.concat_str(pl.col("group").fill_null(""), "label", separator=" ")
    ).to_series()
    tags = pool.rows.select(pl.concat_list("label")).to_series()
    everything = Candidates(pool.rows["id"], value, stratum, pool.vectors, target.vectors, tags)
    rows: dict[str, list[NDArray[np.int64]]] = {}
    seconds = {f"top: {name}": s.seconds for name, s in found.items()}
    for method in SELECTORS:
        if method == "top":
            continue  # once for each scorer, below
        started = time.process_time()
        draws = DRAWS if method in BASELINES else 1
        seeds = [1000 * seed + draw for draw in range(draws)]
        rows[method] = [kept(method, everything, most, s, None) for s in seeds]
        seconds[method] = (time.process_time() - started) / draws
    for name, score in found.items():
        ends = {"": score.values, ", other end": -score.values}
        for end, values in ends.items():
            if not end or score.two_sided:
                rows[f"top: {name}{end}"] = [kept(name, everything, most, seed, values)]
    return rows, left_out, seconds


def interval(gains: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % interval (Student's t over seeds)."""
    half = student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return float(gains.mean()), float(half)


def verdict(mean: float, half: float) -> str:
    return "tie" if abs(mean) <= half else "win" if mean > 0 else "loss"


def measure(task: Task, seeds: int) -> dict[str, object]:
    """Measure one set: accuracy by method, share and seed, differences to random, and what was left out."""
    assert not set(task.train.rows["text"].drop_nulls()) & set(task.test.rows["text"].drop_nulls())
    by_method: dict[str, list[list[float]]] = {}
    whole, aided, seconds, left_out = [], [], {}, {}
    for seed in range(seeds):
        started = time.process_time()
        pool, target = task.draw(seed)
        if seed == 0:
            check_head(pool, task.test)
        rows, left_out, took = arms(pool, target, seed)
        n = pool.rows.height
        for name, draws in rows.items():
            own = [
                float(np.mean([accuracy(pool, d[: round(share * n)], task.test) for d in draws]))
                for share in SHARES
            ]
            by_method.setdefault(name, []).append(own)
        for name, value in took.items():
            seconds[name] = seconds.get(name, 0.0) + value / seeds
        whole.append(accuracy(pool, np.arange(n), task.test))
        both = pool.and_(target)
        aims = np.arange(n, both.rows.height)
        aided.append(
            [
                accuracy(
                    both, np.concatenate([rows["random"][0][: round(share * n)], aims]), task.test
                )
                for share in SHARES
            ]
        )
        print(f"  {task.name} seed {seed}: {time.process_time() - started:.0f} CPU s", flush=True)
    base = np.array(by_method["random"])
    methods = {}
    for name, each in by_method.items():
        values = np.array(each)
        cells = []
        for at in range(len(SHARES)):
            mean, half = interval(values[:, at] - base[:, at])
            told = "baseline" if name == "random" else verdict(mean, half)
            cells.append(
                [round(float(values[:, at].mean()), 4), round(mean, 4), round(half, 4), told]
            )
        methods[name] = cells
    return {
        "pool": n,
        "target": target.rows.height,
        "test": task.test.rows.height,
        "classes": task.test.rows["label"].n_unique(),
        "whole_pool": round(float(np.mean(whole)), 4),
        "random_and_target": np.mean(aided, axis=0).round(4).tolist(),
        "methods": methods,
        "left_out": left_out,
        "cpu_seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def print_table(found: dict[str, dict[str, object]]) -> dict[str, dict[str, int]]:
    """Print the one table, and wins, ties and losses by method; returns those."""
    names = list(dict.fromkeys(name for task in found.values() for name in task["methods"]))
    columns = [f"{name} {share:.0%}" for name in found for share in SHARES]
    print(
        "accuracy in %, and its paired difference to random with half the 95 % interval (+ win, - loss)"
    )
    print(f"{'method':28}" + "".join(f"{c:>21}" for c in columns) + "   win/tie/loss")
    counts: dict[str, dict[str, int]] = {}
    for name in names:
        line, tally = f"{name:28}", {"win": 0, "tie": 0, "loss": 0}
        for task in found.values():
            for cell in task["methods"].get(name, [None] * len(SHARES)):
                if cell is None:
                    line += f"{'does not apply':>21}"
                    continue
                value, mean, half, told = cell
                mark = {"win": "+", "loss": "-"}.get(told, " ")
                text = f"{100 * value:.1f}"
                if told != "baseline":
                    text += f" {100 * mean:+5.1f} ±{100 * half:4.1f} {mark}"
                    tally[told] += 1
                line += f"{text:>21}"
        counts[name] = tally
        told = "/".join(str(v) for v in tally.values()) if name != "random" else ""
        print(f"{line}   {told}")
    for label, key in (("all of the pool", "whole_pool"), (AIDED, "random_and_target")):
        values = np.array([np.broadcast_to(t[key], len(SHARES)) for t in found.values()]).ravel()
        print(f"{label:28}" + "".join(f"{100 * v:21.1f}" for v in values))
    for name, task in found.items():
        for method, why in task["left_out"].items():
            print(f"{name}: top: {method} left out: {why}")
    return counts


def main() -> None:
    beside = Path(__file__).resolve().parents[2] / "shared" / "lake"
    lake = Path(sys.argv[1]) if len(sys.argv) > 1 else beside
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    told = machine("numpy", "scikit-learn", "scipy")
    print(json.dumps(told))
    started = time.process_time()
    with threadpool_limits(1):
        found = {task.name: measure(task, seeds) for task in tasks(lake)}
    counts = print_table(found)
    results = {
        "machine": told,
        "seeds": seeds,
        "shares": SHARES,
        "cells": "[accuracy, difference to random, half the 95 % interval, verdict] by share",
        "tasks": found,
        "win_tie_loss": counts,
        "cpu_seconds": round(time.process_time() - started),
    }
    out = Path(__file__).parent / "results"
    out.mkdir(exist_ok=True)
    (out / "selection.json").write_text(flat(results))
    print(f"{results['cpu_seconds']} CPU seconds")


if __name__ == "__main__":
    main()
