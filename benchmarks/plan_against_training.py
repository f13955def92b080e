"""Plans held against trainings on real text: do the laws choose what training then finds best?

Two tasks of the open lake, each with four pools cut by DSIR to the task's target:

* head: sentiment of Hausa tweets from hashed embeddings, trained on tweets of four languages;
  every subset of pools is trained at six budgets;
* language_model: bits per byte on grade-school mathematics, trained on instructions of four
  collections; the nested top-k (all data and the best pool among them) and every fixed rule.

Curves come from the proxy design (single pools up to their whole size, one repeated run each, one
mixture); plans are made from them alone; then every candidate is trained with three seeds.

    python benchmarks/plan_against_training.py --lake ../shared/lake --minutes 60

Finished runs are kept in ``--runs`` and not trained again. One thread.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets.filtering.analyse import study
from assets.filtering.proxies.data import ProxyData
from assets.filtering.proxies.design import design, run_on
from assets.filtering.proxies.run import execute, pool_curves
from assets.filtering.proxies.settings import ProxyLimits, ProxySettings
from assets.filtering.proxies.spec import RunSpec
from assets.scoring.dsir import Dsir
from assets.scoring.hashed import HashedEmbedder
from assets.scoring.protocol import ScoreBatch, ScoreContext, fit

POOLS, SEEDS, LEAST = 4, 3, 160
#: evaluated on all held-out records of the targets, so that noise of evaluation hides no difference
SETTINGS = ProxySettings(evaluation_records=4096)
#: budgets in units of one pool
BUDGETS = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
Pools = tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """Hold a task: records in pools, size of a pool, and the subsets that are trained."""

    name: str
    data: ProxyData
    unique: int
    candidates: tuple[Pools, ...]


def by_quality(train: list[str], target: list[str]) -> np.ndarray:
    """Return the pool of each training text: equal quarters by DSIR to the target, 0 the closest."""
    texts = pa.array(train + target, pa.string())
    role = pa.array(["train"] * len(train) + ["target"] * len(target))
    ids = pl.Series([str(i) for i in range(len(texts))])
    batch = ScoreBatch(ids=ids, text=texts, role=role)
    state = fit(Dsir(smoothing=1.0), [batch], ScoreContext())
    score = np.nan_to_num(Dsir(smoothing=1.0).score(batch, state).values[: len(train)], nan=-1e9)
    rank = np.empty(len(train), dtype=np.int64)
    rank[np.argsort(-score, kind="stable")] = np.arange(len(train))
    return rank * POOLS // len(train)


def assemble(
    train: list[str], target: list[str], labels: list[str] | None, per_pool: int, seed: int = 0
) -> ProxyData:
    """Return records with pools; half of the target sets the quality, the other half is evaluated on."""
    generator = np.random.default_rng(seed)
    held_from = len(target) // 2
    wanted = generator.permutation(len(train))[: POOLS * per_pool]
    chosen = [train[i] for i in wanted]
    pool = by_quality(chosen, target[:held_from])
    held = target[held_from:]
    texts = chosen + held
    ids = np.array([f"{i:08d}" for i in range(len(texts))])
    label = None
    if labels is not None:
        kept = [labels[i] for i in wanted] + labels[len(train) + held_from :]
        label = np.array(kept, dtype=object)
    column = pa.array(texts, pa.string())
    return ProxyData(
        ids=ids,
        content_ids=ids,
        text=column if labels is None else None,
        embedding=None if labels is None else HashedEmbedder(dim=256).embed(column),
        label=label,
        group=None,
        pool=np.concatenate([pool, np.zeros(len(held), dtype=np.int64)]),
        held_out=np.arange(len(texts)) >= len(chosen),
    )


def tweets(lake: Path, unique: int) -> ProxyData:
    """Return tweets with their sentiment; the target is Hausa."""

    def rows(language: str, part: str) -> list[tuple[str, str]]:
        path = lake / "multilingual" / "afrisenti" / language / f"{part}.tsv"
        with path.open(encoding="utf-8", newline="") as file:
            found = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            return [(row[0], row[1]) for row in list(found)[1:] if len(row) == 2]

    train = [pair for language in ("hau", "ibo", "yor", "ary") for pair in rows(language, "train")]
    target = rows("hau", "test")
    both = train + target
    return assemble([t for t, _ in train], [t for t, _ in target], [y for _, y in both], unique)


def instructions(lake: Path, unique: int) -> ProxyData:
    """Return instructions with their answers; the target is the test set of grade-school mathematics."""
    folder = lake / "instructions"

    def rows(path: Path) -> list[str]:
        with path.open(encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        return ["\n".join(v for v in r.values() if isinstance(v, str) and v) for r in records]

    files = [
        folder / "gsm8k" / "train.jsonl",
        folder / "toolformer" / "similarity-0.7.jsonl",
        folder / "roleplay" / "roleplay-simple-deduped.jsonl",
        *sorted((folder / "t0").glob("*.jsonl")),
    ]
    train = sorted({text for file in files for text in rows(file)})
    return assemble(train, rows(folder / "gsm8k" / "test.jsonl"), None, unique)


def tasks(lake: Path, minutes: float, names: Sequence[str]) -> list[Task]:
    """Return the tasks at a size that the minutes allow on two quiet cores, by stated rates."""
    every = tuple(c for k in range(1, POOLS + 1) for c in combinations(range(POOLS), k))
    nested = tuple(tuple(range(k)) for k in range(1, POOLS + 1))
    draws = SEEDS * sum(BUDGETS)
    out = []
    if "head" in names:
        # 60 microseconds a record
        unique = int(min(0.35 * minutes * 60 / (len(every) * draws * 60e-6), 9000))
        out.append(Task("head", tweets(lake, unique), unique, every))
    if "language_model" in names:
        work = SETTINGS.bytes_per_record * SETTINGS.flops_per_byte / 1e10
        unique = int(min(0.65 * minutes * 60 / ((len(nested) + 1) * draws * work), 9000))
        out.append(Task("language_model", instructions(lake, unique), unique, nested))
    return out


class Runs:
    """Train what no earlier call has trained."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.trained, self.kept = folder, 0, 0
        folder.mkdir(parents=True, exist_ok=True)

    def rows(self, spec: RunSpec, data: ProxyData) -> list[dict[str, Any]]:
        """Return the evaluations of one run."""
        file = self.folder / f"{spec.run_id}.json"
        if file.exists():
            self.kept += 1
            return list(json.loads(file.read_text(encoding="utf-8")))
        made = execute(spec, data)
        self.trained += 1
        part = file.with_suffix(".new")
        part.write_text(json.dumps(made), encoding="utf-8")
        part.replace(file)
        return made


def compare(task: Task, runs: Runs) -> dict[str, Any]:
    """Plan from proxy curves, train the candidates, and hold one against the other."""
    limits = ProxyLimits(seconds=1e9, largest=task.unique, seeds=2, mixtures=1)
    start = time.process_time()
    rows = [
        row
        for s in design(task.data, limits=limits, settings=SETTINGS, seed=100)
        for row in runs.rows(s, task.data)
    ]
    curves = pool_curves(pl.DataFrame(rows, infer_schema_length=None))
    sizes = {str(p): float(task.unique) for p in range(POOLS)}
    fitted = study(curves, pool_sizes=sizes)
    budgets, achieved = [], {}
    for factor in BUDGETS:
        samples = round(factor * task.unique)
        answer = fitted.answer(budget=float(samples))
        rules = {n: pools_of(row) for n, row in answer["baselines"].items()}
        wanted = sorted({*task.candidates, pools_of(answer["plans"][0]), *rules.values()})
        for pools in wanted:
            achieved[pools, factor] = np.array(
                [
                    runs.rows(
                        run_on(
                            task.data,
                            pools,
                            samples,
                            largest=task.unique,
                            settings=SETTINGS,
                            seed=seed,
                        ),
                        task.data,
                    )[0]["metric_value"]
                    for seed in range(SEEDS)
                ]
            )
        points = pl.DataFrame(
            {
                "pools": ["+".join(map(str, p)) for p in wanted],
                "samples_seen": [float(samples)] * len(wanted),
            }
        )
        predicted = fitted.answer(predict=points)["predictions"]
        budgets.append(one_budget(samples, answer, rules, wanted, predicted, achieved, factor))
        print(task.name, json.dumps(budgets[-1], default=float), flush=True)
    return {
        "records_a_pool": task.unique,
        "evaluations": curves.height,
        "cpu_seconds": round(time.process_time() - start, 1),
        "runs_trained": runs.trained,
        "runs_kept": runs.kept,
        "warnings": sorted({w["code"] for w in fitted.answer()["warnings"]}),
        "budgets": budgets,
        "rank_correlation": float(np.mean([b["rank_correlation"] for b in budgets])),
        "coverage_80": float(np.mean([b["coverage_80"] for b in budgets])),
        "regret": float(np.mean([b["regret"] for b in budgets])),
        "against_rules": against(budgets),
    }


def pools_of(row: dict[str, Any]) -> Pools:
    """Return the pools of a plan as numbers."""
    return tuple(sorted(int(p) for p in row["pools"]))


def one_budget(
    samples: int,
    answer: dict[str, Any],
    rules: dict[str, Pools],
    wanted: list[Pools],
    predicted: list[dict[str, Any]],
    achieved: dict[tuple[Pools, float], np.ndarray],
    factor: float,
) -> dict[str, Any]:
    """Return planned against achieved at one budget."""
    from scipy.stats import spearmanr

    plan = pools_of(answer["plans"][0])
    measured = np.array([achieved[p, factor] for p in wanted])
    means = measured.mean(axis=1)
    inside = [
        (row["lo80"] <= values) & (values <= row["hi80"])
        for row, values in zip(predicted, measured, strict=True)
    ]
    mine = achieved[plan, factor]
    best = wanted[int(np.argmin(means))]
    return {
        "samples": samples,
        "plan": plan,
        "predicted": answer["plans"][0]["predicted"],
        "interval80": answer["plans"][0]["interval80"],
        "achieved": mine.mean(),
        "best": best,
        "regret": float(mine.mean() - means.min()),
        "regret_interval80": paired(mine - achieved[best, factor]),
        "rank_correlation": float(spearmanr([r["predicted"] for r in predicted], means).statistic),
        "mean_absolute_error": float(
            np.mean(np.abs(np.array([r["predicted"] for r in predicted]) - means))
        ),
        "coverage_80": float(np.mean(inside)),
        "rules": {
            name: {
                "pools": pools,
                "achieved": float(achieved[pools, factor].mean()),
                "plan_is_better_by": float((achieved[pools, factor] - mine).mean()),
                "interval80": paired(achieved[pools, factor] - mine),
                "verdict": verdict(pools == plan, achieved[pools, factor] - mine),
            }
            for name, pools in rules.items()
        },
    }


def paired(difference: np.ndarray) -> list[float]:
    """Return the 80 % t interval of a mean of paired differences."""
    from scipy.stats import t

    half = float(t.ppf(0.9, len(difference) - 1) * difference.std(ddof=1) / len(difference) ** 0.5)
    return [float(difference.mean() - half), float(difference.mean() + half)]


def verdict(same: bool, difference: np.ndarray) -> str:  # noqa: FBT001 - named by its call
    """Return win, loss or tie of the plan against a rule."""
    if same:
        return "same plan"
    low, high = paired(difference)
    return "win" if low > 0 else "loss" if high < 0 else "tie"


def against(budgets: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Count verdicts a rule."""
    out: dict[str, dict[str, int]] = {}
    for budget in budgets:
        for name, row in budget["rules"].items():
            count = out.setdefault(name, {"win": 0, "tie": 0, "loss": 0, "same plan": 0})
            count[row["verdict"]] += 1
    return out


def main() -> None:
    """Plan, train, compare, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lake", type=Path, default=Path("../shared/lake"))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--tasks", nargs="*", default=["head", "language_model"])
    parser.add_argument("--runs", type=Path, default=Path(".sluice/plan_against_training"))
    arguments = parser.parse_args()
    if not arguments.lake.is_dir():
        parser.error(f"--lake {arguments.lake} is no folder; name the open lake")
    results: dict[str, Any] = {"minutes": arguments.minutes, "seeds": SEEDS, "threads": 1}
    chosen = tasks(arguments.lake, arguments.minutes, arguments.tasks)
    if any(task.unique < LEAST for task in chosen):
        parser.error(
            f"--minutes {arguments.minutes:g} leaves less than {LEAST} records a pool; give more"
        )
    for task in chosen:
        results[task.name] = compare(task, Runs(arguments.runs))
        summary = {k: v for k, v in results[task.name].items() if k != "budgets"}
        print(task.name, json.dumps(summary, indent=1), flush=True)
    out = Path(__file__).parent / "results"
    out.mkdir(exist_ok=True)
    (out / "plan_against_training.json").write_text(
        json.dumps(results, indent=2, default=float) + "\n"
    )


if __name__ == "__main__":
    main()
