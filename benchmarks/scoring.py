"""Scoring on one machine: kernels against other packages, loops over rows, and the rate of a matrix product.

    python benchmarks/scoring.py [--only dsir,el2n,…] [--rounds 5] [--documents 10000]

In each round every contender of a bar runs once, one after the other, so that a busy machine slows all of them; a
ratio is the median over rounds of the ratio in a round. Slow contenders get fewer rows, and their seconds are
multiplied by the share. Answers are compared. Documents (Zipf words, a mean of 170 each) and vectors are generated
from a seed. `scoring_peers.py` says how to install the other packages. Writes benchmarks/results/scoring.json; with
`--only`, the bars that are named.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import scoring_peers as peers  # noqa: E402 - found by the path above
from machine import machine  # noqa: E402
from scoring_bars.difficulty import el2n, el2n_network, grand  # noqa: E402
from scoring_bars.similarity import (  # noqa: E402
    facility_location,
    kmeans,
    redundancy,
    redundancy_lake,
    similarity,
)
from scoring_bars.texts import dsir, rules  # noqa: E402

BARS = {
    "dsir": dsir,
    "el2n": el2n,
    "el2n_network": el2n_network,
    "grand": grand,
    "kmeans": kmeans,
    "similarity": similarity,
    "facility_location": facility_location,
    "redundancy": redundancy,
    "redundancy_lake": redundancy_lake,
    "rules": rules,
}


def main() -> None:
    """Run the bars that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(BARS))
    options = parser.parse_args()
    path = HERE / "results" / "scoring.json"
    known = json.loads(path.read_text()).get("bars", {}) if path.exists() else {}
    for name in options.only.split(","):
        about = machine("numpy", "torch")
        bar = BARS[name](options.documents)
        if bar is None:
            print(name, "left out: no lake")
            continue
        known[name] = {**bar.run(options.rounds), "machine": about}
        print(name, json.dumps(known[name], indent=2), flush=True)
        path.write_text(json.dumps({"peers": peers.versions(), "bars": known}, indent=2) + "\n")


if __name__ == "__main__":
    main()
