"""Train on a pinned release: ``python -m examples.train OUTPUT_ROOT [--release N] [--seconds 60]``.

Reads `publication/releases`, then `training_set` and `holdout` at the versions that the release
promises; trains a byte-level model on the text through a DataLoader that honours `passes` and
`weight`; prints bits a byte on the held-out rows by group, before and after, and the accuracy of a
linear head on each labelled table.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch.utils.data import DataLoader

from examples.byte_model import ByteModel, bits_of, train_head, weighted_loss
from examples.delta_dataset import ByteDataset, PassesSampler, feature_rows, open_release, text_rows


def train_text(
    model: ByteModel, frame: pl.DataFrame, *, seconds: float, seed: int, workers: int
) -> dict[str, float]:
    """Train for about `seconds`; return steps, showings, epochs and the last bits a byte."""
    sampler = PassesSampler(frame["record_id"].to_list(), frame["passes"].to_numpy(), seed=seed)
    loader = DataLoader(
        ByteDataset(frame),
        batch_size=32,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        # polars' threads and a plain fork do not go together
        multiprocessing_context="spawn" if workers else None,
    )
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    began, epoch, steps, shown, smooth = time.monotonic(), 0, 0, 0, float("nan")
    model.train()
    while len(sampler) and time.monotonic() - began < seconds:
        sampler.set_epoch(epoch)
        for batch in loader:
            bits, count = bits_of(model, batch["bytes"].to(device))
            loss = weighted_loss(bits, count, batch["weight"].to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            steps, shown = steps + 1, shown + len(bits)
            smooth = loss.item() if steps == 1 else 0.95 * smooth + 0.05 * loss.item()
            if steps % 50 == 0:
                print(
                    f"  step {steps:5d}  {shown:7,d} showings  {smooth:.3f} bits/byte", flush=True
                )
            if time.monotonic() - began >= seconds:
                break
        epoch += 1
    return {
        "steps": steps,
        "showings": shown,
        "epochs": shown / max(1, len(sampler)),
        "bits_per_byte": smooth,
    }


@torch.no_grad()
def evaluate_text(
    model: ByteModel, frame: pl.DataFrame, group: str | None
) -> dict[str, tuple[int, float]]:
    """Return rows and bits a byte by value of `group`, and for "all"."""
    model.eval()
    device = next(model.parameters()).device
    loader = DataLoader(ByteDataset(frame.with_columns(weight=pl.lit(1.0))), batch_size=64)
    results = [bits_of(model, batch["bytes"].to(device)) for batch in loader]
    if not results:
        return {}
    table = pl.DataFrame(
        {
            "group": frame[group].fill_null("(none)") if group else ["all"] * frame.height,
            "bits": np.concatenate([bits.cpu().numpy() for bits, _ in results]),
            "bytes": np.concatenate([count.cpu().numpy() for _, count in results]),
        }
    )
    sums = (
        table.group_by("group")
        .agg(pl.len(), pl.col("bits").sum(), pl.col("bytes").sum())
        .sort("len", descending=True)
    )
    found = {
        row["group"]: (row["len"], row["bits"] / max(1, row["bytes"]))
        for row in sums.iter_rows(named=True)
    }
    total = float(table["bits"].sum()) / max(1, int(table["bytes"].sum()))
    return found | {"all": (frame.height, total)}


def evaluate_tables(
    train: pl.DataFrame, holdout: pl.DataFrame
) -> list[tuple[str, int, int, float, float]]:
    """Train a head for each width; return (table, rows, test rows, accuracy before, after)."""
    found = []
    width = pl.col("features").list.len()
    for (size,), rows in train.group_by(width.alias("width"), maintain_order=True):
        test = holdout.filter(width == size)
        labels = rows["label"].n_unique()
        if test.height and 2 <= labels <= 50 and rows.height >= 2 * labels:
            before, after = train_head(rows.sort("record_id"), test)
            found.append((str(rows["table"].min()), rows.height, test.height, before, after))
    return sorted(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Train a small model on a pinned release.")
    parser.add_argument("root", type=Path, help="the recipe's output folder")
    parser.add_argument("--release", type=int, help="the release's number (default: the last)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="time for training (default 60)"
    )
    parser.add_argument(
        "--group", default="language", help="column to report by (default language)"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that prepare batches (default 0)"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        release = open_release(options.root, options.release)
        train, holdout = (
            release.read("publication/training_set"),
            release.read("publication/holdout"),
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    texts, held_texts = text_rows(train), text_rows(holdout)
    tabular, held_tabular = feature_rows(train), feature_rows(holdout)
    print(
        f"release {release.number}: training_set version "
        f"{release.versions['publication/training_set']}, {train.height:,} rows"
    )
    print(
        f"  {texts.height:,} with text, shown {texts['passes'].sum():,} times an epoch; "
        f"{tabular.height:,} with features and label;"
    )
    print(
        f"  {train.height - texts.height - tabular.height:,} left out (neither); "
        f"holdout {holdout.height:,} rows"
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = ByteModel(seed=options.seed).to(device)
    group = options.group if options.group in holdout.columns else None
    before = evaluate_text(model, held_texts, group)
    if texts.height:
        report = train_text(
            model, texts, seconds=options.seconds, seed=options.seed, workers=options.workers
        )
        print(
            f"trained {report['steps']:.0f} steps, {report['showings']:,.0f} showings = "
            f"{report['epochs']:.2f} epochs, on {device}"
        )
    after = evaluate_text(model, held_texts, group)
    print(f"\n{'held out':14s} {'rows':>6s} {'bits/byte before':>17s} {'after':>8s}")
    for name, (rows, bits) in before.items():
        print(f"{name:14s} {rows:6d} {bits:17.3f} {after[name][1]:8.3f}")
    print(
        f"\n{'labelled table':44s} {'train':>6s} {'test':>6s} "
        f"{'commonest label':>16s} {'linear head':>12s}"
    )
    for table, rows, tests, base, accuracy in evaluate_tables(tabular, held_tabular):
        print(f"{table:44s} {rows:6d} {tests:6d} {base:16.3f} {accuracy:12.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
