"""End to end on AfriSenti: pilot, five rounds, three objectives, then train and evaluate, five seeds.

One model a language (the separable case): hashed character n-grams (1 to 4) and a linear head. A quarter of
each training file is the test set, the official development file measures curves, the rest is what can
be bought, a tweet for a unit of budget. Every plan gets the same budget, but for `pilot only`, which is what was held
before. The table is printed whole, with 95 % intervals of the paired difference to alpha 0.3 over the seeds, and of the
rounds against every simple rule, ties and losses included. results/afrisenti_results.csv has each language's accuracy
under each plan and seed, as `sluice allocate --report --results` reads it.

    python benchmarks/afrisenti.py [LAKE [BUDGET]]

LAKE (by default shared/lake beside the clone) holds multilingual/afrisenti/<language>/{train,dev}.tsv; nothing is
measured where it is not there. Some 50 CPU seconds.
"""

from __future__ import annotations

import json
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from threadpoolctl import threadpool_limits

from assets.allocation.adaptive import next_round, pilot, read_study
from assets.allocation.baselines import shares, unimax

SEEDS, PILOT, ROUNDS, REPEATS = 5, 100, 5, 3
EXPLORE = 0.3  # of every slice is spread evenly, so that a curve that looked flat is measured again
OBJECTIVES = {
    "weighted_sum": {"kind": "weighted_sum"},
    "isoelastic e=2": {"kind": "isoelastic", "aversion": 2.0, "level": "raw"},
    "max_min skill": {"kind": "max_min", "level": "skill"},
    "max_min skill, held": {"kind": "max_min", "level": "skill"},
    "max_min attainable": {"kind": "max_min", "level": "attainable"},
}
T95 = 2.776  # Student's t, 4 degrees of freedom
RULES = ("proportional", "equal", "alpha 0.3", "unimax 1 epoch")
FIRST = (
    "pilot only",
    "rounds: weighted_sum",
    "rounds: isoelastic e=2",
    "rounds: max_min skill",
    "alpha 0.3",
    "proportional",
)  # the arms that a picture of six draws


class Language:
    """Vectors and labels of one language: what can be bought, what measures, what tests."""

    def __init__(self, folder: Path) -> None:
        vectorizer = HashingVectorizer(analyzer="char", ngram_range=(1, 4), n_features=2**14)
        train, dev = (self.read(folder / f"{part}.tsv") for part in ("train", "dev"))
        if not train.height:
            self.pool = self.test = self.dev = None, np.array([])
            self.chance = None
            return
        rng = np.random.default_rng(0)
        order = rng.permutation(train.height)
        cut = train.height // 4
        vectors = vectorizer.transform(train["tweet"].to_list())
        labels = train["label"].to_numpy()
        self.test = vectors[order[:cut]], labels[order[:cut]]
        self.pool = vectors[order[cut:]], labels[order[cut:]]
        self.dev = vectorizer.transform(dev["tweet"].to_list()), dev["label"].to_numpy()
        values, counts = np.unique(self.pool[1], return_counts=True)
        self.chance = (
            float((self.dev[1] == values[counts.argmax()]).mean()) if values.size else None
        )

    @staticmethod
    def read(file: Path) -> pl.DataFrame:
        if not file.exists():
            return pl.DataFrame(schema={"tweet": pl.String, "label": pl.String})
        return pl.read_csv(
            file, separator="\t", quote_char=None, schema_overrides={"label": pl.String}
        ).select(pl.col("tweet").fill_null(""), "label")


LANGUAGES: dict[str, Language] = {}


def accuracy(language, rows, data):
    vectors, labels = LANGUAGES[language].pool
    known = labels[rows]
    if np.unique(known).size < 2:
        return float((data[1] == known[0]).mean()) if rows.size else 0.0
    head = SGDClassifier(
        loss="log_loss", alpha=1e-4, average=True, max_iter=20, tol=None, random_state=0
    )
    with threadpool_limits(1):
        head.fit(vectors[rows], known)
    return float((head.predict(data[0]) == data[1]).mean())


@cache
def order_of(language, seed):
    return np.random.default_rng([seed, 7]).permutation(len(LANGUAGES[language].pool[1]))


@cache
def measured(language, size, held, seed):
    """Return evaluations at `size` of the first `held` rows: several subsets, or all of them once."""
    bought, out = order_of(language, seed)[:held], []
    dev = LANGUAGES[language].dev
    for repeat in range(REPEATS if size < held else 1):
        rng = np.random.default_rng([seed, repeat, size])
        f = accuracy(language, rng.permutation(bought)[:size], dev)
        se = float(np.sqrt(max(f * (1 - f), 0.05) / len(dev[1])))
        out.append((language, size, size, f, "higher", se, repeat, f"{language}-{size}-{repeat}"))
    return out


@cache
def tested(language, size, seed):
    return accuracy(language, order_of(language, seed)[:size], LANGUAGES[language].test)


def table(rows):
    columns = [
        "group",
        "samples_seen",
        "unique",
        "metric_value",
        "direction",
        "se",
        "seed",
        "run_id",
    ]
    return pl.DataFrame(rows, schema=columns, orient="row")


def study(objective, budget, names):
    groups = [
        {
            "name": name,
            "weight": 1 / len(names),
            "cost": 1,
            "available": len(LANGUAGES[name].pool[1]),
            "chance": LANGUAGES[name].chance,
        }
        for name in names
    ]
    stated = {"budget": budget, "objective": objective, "rounds": ROUNDS, "pilot": PILOT}
    return read_study(stated | {"groups": groups})


def adaptive(objective, budget, names, seed, *, hold=False):
    stated = study(objective, budget, names).model_copy(
        update={"hold_unreachable": hold, "explore": EXPLORE}
    )
    past, rows = [pilot(stated)], []
    while True:
        for name, sizes in past[-1].train_sizes.items():
            for size in sizes:
                rows += measured(name, size, past[-1].held[name], seed)
        if past[-1].stopped:
            return past
        past.append(next_round(stated, past, table(rows)))


def capped(share, available, budget):
    """Draw in proportion to `share` within what is available, to the whole budget."""
    out = np.zeros(share.size)
    for _ in range(share.size):
        open_ = out < available
        left = budget - out.sum()
        if left < 1 or not open_.any():
            break
        out[open_] += left * share[open_] / share[open_].sum()
        out = np.minimum(out, available)
    return np.floor(out + 1e-9).astype(int)


def simple(names, budget):
    sizes = np.array([len(LANGUAGES[n].pool[1]) for n in names], float)
    return {
        "proportional": capped(shares(sizes, alpha=1.0), sizes, budget),
        "equal": capped(np.ones(sizes.size), sizes, budget),
        "alpha 0.3": capped(shares(sizes, alpha=0.3), sizes, budget),
        "unimax 1 epoch": np.floor(unimax(sizes, budget, max_epochs=1)[0]).astype(int),
        "pilot only": np.minimum(PILOT, sizes).astype(int),
    }


def scores(names, counts, seed):
    f = np.array([tested(n, int(c), seed) for n, c in zip(names, counts, strict=True)])
    chance = np.array([LANGUAGES[n].chance for n in names])
    skill = (f - chance) / (1 - chance)
    sizes = np.array([len(LANGUAGES[n].pool[1]) for n in names], float)
    worst = {
        "mean": f.mean(),
        "worst": f.min(),
        "gap": np.ptp(f),
        "by size": f @ sizes / sizes.sum(),
    }
    return worst | {"mean skill": skill.mean(), "worst skill": skill.min()}


def by_language(plans, names):
    """Return a row a language, plan and seed, `pilot only` as the arm `before`."""
    order = [*FIRST, *(label for label in plans if label not in FIRST)]
    return pl.DataFrame(
        [
            {
                "group": name,
                "arm": "before" if label == "pilot only" else label,
                "seed": seed,
                "metric": round(tested(name, int(count), seed), 6),
                "metric_name": "test accuracy",
                "rows": len(LANGUAGES[name].test[1]),
            }
            for label in order
            for seed, counts in enumerate(plans[label])
            for name, count in zip(names, counts, strict=True)
        ]
    )


def against_rules(found):
    """Print and return the paired difference of each rounds' plan to each simple rule, in its mean and worst."""
    print("rounds less each simple rule, 95 % interval over seeds: win, tie or loss")
    out = {}
    for label in (name for name in found if name.startswith("rounds")):
        for rule in RULES:
            for measure in ("mean", "worst", "worst skill"):
                pairs = zip(found[label], found[rule], strict=True)
                gain = np.array([a[measure] - b[measure] for a, b in pairs])
                half = T95 * gain.std(ddof=1) / np.sqrt(SEEDS)
                apart = "tie" if abs(gain.mean()) <= half else "win" if gain.mean() > 0 else "loss"
                out[f"{label} - {rule}: {measure}"] = [float(gain.mean()), float(half), apart]
                print(f"{label:28}{rule:16}{measure:12}{gain.mean():+.4f}±{half:.4f}  {apart}")
    return out


def main() -> None:
    beside = Path(__file__).resolve().parents[2] / "shared" / "lake"
    lake = Path(sys.argv[1]) if len(sys.argv) > 1 else beside
    if not (lake / "multilingual" / "afrisenti").is_dir():
        print(f"no multilingual/afrisenti in {lake}: nothing measured")
        return
    budget = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    started = time.process_time()
    for folder in sorted((lake / "multilingual" / "afrisenti").iterdir()):
        LANGUAGES[folder.name] = Language(folder)
    every = list(LANGUAGES)
    names = [n for n in every if len(LANGUAGES[n].pool[1])]
    found: dict[str, list[dict[str, float]]] = {}
    plans: dict[str, list[np.ndarray]] = {}
    for seed in range(SEEDS):
        chosen = dict(simple(names, budget))
        for label, objective in OBJECTIVES.items():
            past = adaptive(objective, budget, every, seed, hold=label.endswith("held"))
            assert sum(r.spend for r in past) <= budget
            chosen[f"rounds: {label}"] = np.array([past[-1].held[n] for n in names])
            missing = past[1].unallocatable
        for label, counts in chosen.items():
            assert counts.sum() <= budget, (label, counts)
            found.setdefault(label, []).append(scores(names, counts, seed))
            plans.setdefault(label, []).append(counts)
    print(f"AfriSenti, {len(names)} languages with data, budget {budget}, {SEEDS} seeds")
    for name, remedy in sorted(missing.items()):
        print(f"{name}: {remedy}")
    columns = list(found["equal"][0])
    print(f"{'plan':28}" + "".join(f"{c:>13}" for c in columns))
    results = {}
    for label, each in found.items():
        mean = {c: float(np.mean([s[c] for s in each])) for c in columns}
        print(f"{label:28}" + "".join(f"{mean[c]:13.4f}" for c in columns))
        results[label] = {"mean": mean, "rows": np.mean(plans[label], axis=0).round(1).tolist()}
    print("difference to alpha 0.3, 95 % interval over seeds (* = does not hold 0)")
    for label, each in found.items():
        cells = []
        for c in columns:
            gain = np.array([s[c] - b[c] for s, b in zip(each, found["alpha 0.3"], strict=True)])
            half = T95 * gain.std(ddof=1) / np.sqrt(SEEDS)
            mark = "*" if abs(gain.mean()) > half else " "
            cells.append(f"{gain.mean():+.3f}±{half:.3f}{mark}")
            results[label].setdefault("difference", {})[c] = [float(gain.mean()), float(half)]
        print(f"{label:28}" + "".join(f"{c:>13}" for c in cells))
    print("mean rows bought: " + ", ".join(names))
    for label in found:
        print(f"{label:28}" + " ".join(f"{v:7.0f}" for v in results[label]["rows"]))
    results["against_rules"] = against_rules(found)
    results["cpu_seconds"] = time.process_time() - started
    out = Path(__file__).parent / "results"
    out.mkdir(exist_ok=True)
    by_language(plans, names).write_csv(out / "afrisenti_results.csv")
    (out / "afrisenti.json").write_text(json.dumps(results, indent=2) + "\n")
    print(f"{results['cpu_seconds']:.0f} CPU seconds")


if __name__ == "__main__":
    main()
