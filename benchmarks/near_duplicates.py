"""Near duplicates from Parquet to verified clusters, against other tools and what the machine can do at best.

    python benchmarks/near_duplicates.py [PART...] [--peers PEERS/bin/python] [--rounds N] [--documents N]

One generated corpus (200,000 texts, 212 MB; `near/corpora.py`), 14 bands of 8 hashes over word 5-grams,
threshold 0.7, two workers. Every contender runs in a process of its own, five rounds, one after the other in each, so
that a busy machine slows all of them. Reported are medians, and medians of each round's ratio to ours. Each part
replaces its own section of benchmarks/results/near_duplicates.json and leaves the others as they are:

`main` (the default)
    Streaming scan, our work, with the default bands, with texts read twice, Delta alone and with our work; recall
    against the formula, similarities against plain Python. About two minutes.
`parts`
    The first pass by part, spans, the index, the whole command, and the cold start. About three minutes.
`peers`
    Our work beside other tools (`near/peers.py` says how to install them; `--peers` names the Python that has
    them; those that are missing are named and left out). Slow tools get a share of the texts, and their seconds are
    multiplied by the share of the bytes; `of_texts` says how many. About seven minutes.
`whole`
    datatrove once on all texts, to see whether a share of them is fair to it. About two minutes.
`large`
    212 MB and 2.1 GB (ten corpora in other letters) in turns, three rounds: time in proportion, and memory. About
    four minutes.
`hostile`
    Corpora that break careless programs. About two minutes.
`real=FOLDER`
    The texts of a lake's instructions/toolformer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "near")]

import corpora  # noqa: E402 - found by the path above
import polars as pl  # noqa: E402
from contenders import CLOCKS, TEXTS, own, peer, rounds_of, size_of, stages, table  # noqa: E402
from machine import machine  # noqa: E402

OURS = (
    "scan",
    "work",
    "scan after",
    "default bands",
    "texts read twice",
    "delta",
    "written",
)


def main_part(corpus: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Compare our work with what the machine can do, and check the answers."""
    small = folder / "small.parquet"
    corpora.planted(small, 20_000, seed=1)
    recall = {bands: own("recall", small, bands) for bands in ("14x8", "default")}
    rounds, _ = rounds_of(corpus, folder, options.rounds, OURS, (), "")
    return {
        "recall": recall,
        "table": table(rounds, size_of(corpus)),
        "share_of_scan": {
            clock: sorted(
                (row["scan"][f"{clock}_seconds"] + row["scan after"][f"{clock}_seconds"])
                / 2
                / row["work"][f"{clock}_seconds"]
                for row in rounds
            )
            for clock in CLOCKS
        },
        "stages": {what: stages(rounds, what) for what in ("work", "texts read twice")},
        "work": [row["work"] for row in rounds],
    }


def parts_part(corpus: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure parts apart."""
    found = {}
    for what in ("profile", "spans", "index", "command", "cold"):
        found[what] = own(what, corpus, script="parts.py")
        print(f"{what}: {json.dumps(found[what])}", flush=True)
    return found


def peers_part(corpus: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Compare our work with other tools."""
    ours = ("work", "written")
    rounds, absent = rounds_of(corpus, folder, options.rounds, ours, [*TEXTS], options.peers)
    return {"missing": absent, "table": table(rounds, size_of(corpus))}


def whole_part(corpus: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run datatrove on all texts, beside our work."""
    theirs, ours = peer(options.peers, "datatrove", corpus, folder, 1.0), own("written", corpus)
    ratios = {
        f"{clock}_ratio_with_write": theirs[f"{clock}_seconds"] / ours[f"{clock}_seconds"]
        for clock in CLOCKS
        if "missing" not in theirs
    }
    return {"datatrove": theirs, "written": ours, **ratios}


def large_part(corpus: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run ten times the corpus in turns with the corpus."""
    large = folder / "large.parquet"
    corpora.permuted(corpus, large)
    rounds = []
    own("work", corpus)
    for number in range(min(options.rounds, 3)):
        rounds.append({"small": own("work", corpus), "large": own("work", large)})
        print(f"round {number + 1}: {json.dumps(rounds[-1])}", flush=True)
    ratio = size_of(large) / size_of(corpus)
    return {
        "megabytes": size_of(large),
        **{
            f"{clock}_against_proportional": statistics.median(
                row["large"][f"{clock}_seconds"] / row["small"][f"{clock}_seconds"] / ratio
                for row in rounds
            )
            for clock in CLOCKS
        },
        "peak_megabytes": max(row["large"]["peak_megabytes"] for row in rounds),
        "rounds": rounds,
    }


def hostile_part(corpus: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run the corpora that break careless programs, and say what they took."""
    found = {}
    for name, make in corpora.HOSTILE.items():
        made = folder / "hostile.parquet"
        make(made)
        found[name] = {"megabytes": size_of(made), **own("work", made)}
        made.unlink()
        print(f"{name}: {json.dumps(found[name])}", flush=True)
    return found


PARTS: dict[str, Callable[[Path, Path, argparse.Namespace], dict[str, Any]]] = {
    "main": main_part,
    "parts": parts_part,
    "peers": peers_part,
    "whole": whole_part,
    "large": large_part,
    "hostile": hostile_part,
}


def wrong_answers(result: dict[str, Any]) -> list[str]:
    """Return the bandings whose recall or similarities are not what they must be."""
    return [
        bands
        for bands, found in result.get("main", {}).get("recall", {}).items()
        if found["deviations"] < -3 or found["largest_error"] > 1e-9
    ]


def main() -> None:
    """Generate the corpus, run the parts asked for, check the answers and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=["main"])
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "near_duplicates.json")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS and part[:5] != "real="]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; choose among {', '.join(PARTS)}, real=")
    result = json.loads(options.out.read_text()) if options.out.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name) / "corpus.parquet"
        corpora.planted(corpus, options.documents)
        for part in options.parts:
            on = {"machine": machine("polars", "deltalake"), "corpus_megabytes": size_of(corpus)}
            if part in PARTS:
                found = PARTS[part](corpus, Path(name), options)
            else:
                part, lake = part.split("=", 1)
                found = own("real", Path(lake))
            result[part] = {**on, **found}
            options.out.parent.mkdir(exist_ok=True)
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            if "table" in found:
                with pl.Config(tbl_rows=-1, tbl_cols=-1, float_precision=2, tbl_width_chars=200):
                    print(pl.DataFrame(found["table"], infer_schema_length=None))
            short = {k: v for k, v in found.items() if k not in ("table", "work", "rounds")}
            print(part, json.dumps(short, indent=1), flush=True)
    wrong = wrong_answers(result)
    if wrong:
        sys.exit(f"recall or similarities are wrong with {', '.join(wrong)}")


if __name__ == "__main__":
    main()
