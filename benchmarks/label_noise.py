"""How well each score finds the labels that annotators found wrong, beside cleanlab's scores: AUROC.

The sets of cleanlab/label-errors: MNIST's and 20 Newsgroups' test labels, class probabilities of models that had not
seen the record, and the verdicts of five workers (MNIST: ten on some) on suspects. A label is an error where fewer than
three kept it. Of a set the lake holds labels and probabilities, no images or texts; so

* `published`: the scores that are read off class probabilities (every scorer of the registry with a `measure` of them)
  get the published ones, as cleanlab's do: the same input on both sides;
* `vectors`: every scorer of the registry that looks at labels gets sqrt(p) as the record's vector (unit length; the
  cosine of two is their Bhattacharyya coefficient) and fits what it fits. Scorers with a target get rows that no
  worker judged, with their given labels.

Two AUROCs, with 95 % intervals of a bootstrap within errors and within others: among the rows that workers `judged`;
and of the errors against `all` other rows of the set. The suspects were chosen by cleanlab's own method, so errors that
it does not suspect are unknown and `all` favours scores like it; `judged` is narrow, but fair to all.

    PYTHONPATH=FOLDER_OF_CLEANLAB python -m benchmarks.label_noise [LAKE]

LAKE (by default shared/lake beside the clone) holds labelled/label_errors; nothing is measured where it is not there.
cleanlab's lines are left out where it is not installed. IMDB's verdicts name files, and nothing in the set says which
row a file is; Amazon has verdicts only: both are left out. results/label_noise.json has the figures. Some CPU minutes.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets.scoring.difficulty import Difficulty
from assets.scoring.protocol import Needs, ScoreBatch, ScoreContext
from assets.scoring.registry import SCORERS, create
from benchmarks.machine import machine
from benchmarks.registry_scores import flat, scored

SETS = {"mnist": 15, "20news": 82}  # and the errors that their README counts
WORKERS, TARGET, BOOTSTRAPS = 5, 1_000, 2_000
SETTINGS = {
    # published probabilities are near one-hot, so at the default eps Sinkhorn takes minutes and more on these vectors
    "lava": {"eps": 0.2, "label_eps": 0.3, "sample_rows": 1_000, "target_rows": 500},
}
SAME = {  # orders rows as ours does
    "published: loss": "cleanlab: self_confidence",
    "published: margin": "cleanlab: normalized_margin",
}


def read(folder: Path, name: str):
    """Return probabilities (n, c), given labels (n,), and of each row 1 (error), 0 (kept) or -1 (not judged)."""
    table = pl.read_parquet(folder / f"{name}_test.parquet").sort("index")
    assert table["index"].equals(pl.Series("index", range(table.height)))
    p = table.select(r"^p\d+$").to_numpy().astype(np.float64)
    given = table["given_label"].to_numpy()
    verdict = np.full(table.height, -1)
    for suspect in json.loads((folder / f"{name}_mturk.json").read_text()):
        row = suspect["id"]
        assert given[row] == suspect["given_original_label"]
        assert p[row].argmax() == suspect["our_guessed_label"]
        assert sum(suspect["mturk"].values()) >= WORKERS
        verdict[row] = suspect["mturk"]["given"] < 3
    assert (verdict == 1).sum() == SETS[name]
    return p / p.sum(axis=1, keepdims=True), given, verdict


def published(p: NDArray[np.float64], given: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return suspicion, larger more suspect, by the scores that are read off probabilities."""
    found = {}
    for name, kind in SCORERS.items():
        if issubclass(kind, Difficulty):
            values = create(name).measure(p, given)
            found[f"published: {name}"] = values if kind.hard == "high" else -values
    return found


def by_cleanlab(p: NDArray[np.float64], given: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return suspicion by cleanlab's label quality scores, where it is installed."""
    if importlib.util.find_spec("cleanlab") is None:
        print("cleanlab is not installed: its lines are left out")
        return {}
    from cleanlab.rank import get_label_quality_scores

    found = {}
    for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        for adjusted in (False, True):
            if adjusted and method == "confidence_weighted_entropy":
                continue  # cleanlab refuses it
            quality = get_label_quality_scores(given, p, method=method, adjust_pred_probs=adjusted)
            found[f"cleanlab: {method}{', adjusted' if adjusted else ''}"] = -quality
    return found


def on_vectors(
    p: NDArray[np.float64], given: NDArray[np.int64], verdict: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64], dict[str, str], dict[str, float]]:
    """Return suspicion by the scorers that look at labels, the rows it is of, what was left out, and CPU seconds."""
    free = np.random.default_rng(0).permutation(np.flatnonzero(verdict < 0))
    aims, rows = (
        free[:TARGET],
        np.sort(np.concatenate([free[TARGET:], np.flatnonzero(verdict >= 0)])),
    )

    def batch(of: NDArray[np.int64], role: str) -> ScoreBatch:
        ids = pl.Series("id", [f"r{i}" for i in of])
        labels = pl.Series("label", given[of]).cast(pl.String).to_arrow()
        return ScoreBatch(ids, label=labels, embedding=np.sqrt(p[of]).astype(np.float32), role=role)

    names = ["random", *(n for n in SCORERS if Needs.LABEL in create(n).needs)]
    scores, left_out = scored(
        batch(rows, "train"), batch(aims, "target"), ScoreContext(), among=names, settings=SETTINGS
    )
    found = {}
    for name, score in scores.items():
        # the hard end is suspect where a scorer has two, else what it holds worthless
        values = score.values if score.two_sided else -score.values
        least = np.nanmin(values)
        found[f"vectors: {name}"] = np.where(np.isnan(values), least, values)
    seconds = {name: round(score.seconds, 2) for name, score in scores.items()}
    return found, rows, left_out, seconds


def auroc(
    suspicion: NDArray[np.float64], error: NDArray[np.bool_], draws: tuple[NDArray[np.float32], ...]
) -> tuple[float, NDArray[np.float64]]:
    """Return the AUROC, and one for each bootstrap draw of errors and of others."""
    bad, fine = suspicion[error], suspicion[~error]
    above = (bad[:, None] > fine).astype(np.float32) + 0.5 * (bad[:, None] == fine)
    each = np.einsum("bn,bn->b", draws[0] @ above.astype(np.float32), draws[1], dtype=np.float64)
    found = float(above.mean())
    assert abs(found - roc_auc_score(error, suspicion)) < 1e-6
    return found, each


def draws_of(error: NDArray[np.bool_]) -> tuple[NDArray[np.float32], ...]:
    """Return bootstrap weights of errors and of others, (bootstraps, rows), the same for every score."""
    rng = np.random.default_rng(1)
    sizes = int(error.sum()), int((~error).sum())
    return tuple(
        (rng.multinomial(n, np.full(n, 1 / n), size=BOOTSTRAPS) / n).astype(np.float32)
        for n in sizes
    )


def measure(folder: Path, name: str) -> dict[str, object]:
    """Measure one set: by score and population the AUROC, its interval, and the difference to the loss."""
    p, given, verdict = read(folder, name)
    vectors, rows, left_out, seconds = on_vectors(p, given, verdict)
    scores = by_cleanlab(p, given) | published(p, given)
    scores = {label: values[rows] for label, values in scores.items()} | vectors
    own = verdict[rows]
    found: dict[str, dict[str, list[object]]] = {}
    for population, among in (("judged", own >= 0), ("all", np.ones(len(own), dtype=bool))):
        error = own[among] == 1
        draws = draws_of(error)
        reference = auroc(scores["published: loss"][among], error, draws)
        for label, values in scores.items():
            value, each = auroc(values[among], error, draws)
            low, high = np.quantile(each, [0.025, 0.975])
            gain = np.quantile(each - reference[1], [0.025, 0.975])
            told = "tie" if gain[0] <= 0 <= gain[1] else "better" if gain[0] > 0 else "worse"
            cell = [round(float(v), 4) for v in (value, low, high, value - reference[0], *gain)]
            found.setdefault(label, {})[population] = [*cell, told]
    for ours, theirs in SAME.items():
        if theirs in found:
            assert found[ours] == found[theirs], (ours, theirs)
    return {
        "rows": len(own),
        "judged": int((own >= 0).sum()),
        "errors": int((own == 1).sum()),
        "scores": found,
        "left_out": left_out,
        "cpu_seconds": seconds,
    }


def print_table(found: dict[str, dict[str, object]]) -> None:
    heads = [f"{name}, {pop}" for name in found for pop in ("judged", "all")]
    print("AUROC [95 % interval]; < and > worse and better than `published: loss`, paired")
    print(f"{'score':44}" + "".join(f"{h:>24}" for h in heads))
    for label in dict.fromkeys(label for one in found.values() for label in one["scores"]):
        line = f"{label:44}"
        for one in found.values():
            for population in ("judged", "all"):
                if label not in one["scores"]:
                    line += f"{'does not apply':>24}"
                    continue
                value, low, high, *_, told = one["scores"][label][population]
                mark = {"better": ">", "worse": "<"}.get(told, " ")
                cell = f"{value:.3f} [{low:.3f} {high:.3f}] {mark}"
                line += f"{cell:>24}"
        print(line)
    for name, one in found.items():
        print(f"{name}: {one['rows']:,} rows, {one['judged']} judged, {one['errors']} errors")
        for scorer, why in one["left_out"].items():
            print(f"{name}: {scorer} left out: {why}")


def main() -> None:
    beside = Path(__file__).resolve().parents[2] / "shared" / "lake"
    lake = Path(sys.argv[1]) if len(sys.argv) > 1 else beside
    folder = lake / "labelled" / "label_errors"
    if not folder.is_dir():
        print(f"no labelled/label_errors in {lake}: nothing measured")
        return
    peer = ["cleanlab"] if importlib.util.find_spec("cleanlab") else []
    told = machine("numpy", "scikit-learn", *peer)
    print(json.dumps(told))
    started = time.process_time()
    with threadpool_limits(1):
        found = {name: measure(folder, name) for name in SETS}
    print_table(found)
    results = {
        "machine": told,
        "cells": "[AUROC, its 95 % interval, difference to `published: loss`, its interval, verdict]",
        "settings": SETTINGS,
        "sets": found,
        "cpu_seconds": round(time.process_time() - started),
    }
    out = Path(__file__).parent / "results"
    out.mkdir(exist_ok=True)
    (out / "label_noise.json").write_text(flat(results))
    print(f"{results['cpu_seconds']} CPU seconds")


if __name__ == "__main__":
    main()
