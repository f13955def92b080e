"""Speed of proxy training as a share of this machine's matmul rate.

One thread, float32. The language model's operations are 6 a weight and byte (docs/methods/proxy_runs.md);
the rate to compare with is that of square products of 1,024, and of products of the shape that the
model's larger layer has, which is what a step of a few records can reach at most. CPU seconds, the
three in turns.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets.filtering.proxies.language_model import Encoded, one_thread, train_and_measure
from assets.filtering.proxies.settings import ProxySettings

RECORDS, ROUNDS = 1500, 5


def matmul_rate(rows: int, inner: int, columns: int, repeat: int) -> float:
    """Return operations a CPU second of repeated products."""
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    start = time.process_time()
    for _ in range(repeat):
        a @ b
    return 2.0 * rows * inner * columns * repeat / (time.process_time() - start)


def training_rate(settings: ProxySettings) -> tuple[float, float]:
    """Return operations a CPU second of one run, and the error that it reached."""
    generator = np.random.default_rng(0)
    width = settings.context + settings.bytes_per_record
    data = np.zeros((RECORDS + 64, width), dtype=np.uint8)
    words = generator.integers(97, 123, (40, 4))
    text = words[generator.integers(0, 40, (RECORDS + 64, settings.bytes_per_record // 4))]
    data[:, settings.context :] = text.reshape(RECORDS + 64, -1)
    length = np.full(RECORDS + 64, settings.bytes_per_record, dtype=np.int64)
    train = Encoded(data[64:], length[64:], length[64:])
    held = Encoded(data[:64], length[:64], length[:64])
    start = time.process_time()
    found = train_and_measure(train, np.arange(RECORDS), held, settings=settings, seed=0)
    return found.flops / (time.process_time() - start), found.value


def main() -> None:
    """Measure, print and keep."""
    settings = ProxySettings()
    batch = settings.batch_records * settings.bytes_per_record
    square, shaped, training, value = [], [], [], 1.0
    with one_thread():
        for _ in range(ROUNDS):
            square.append(matmul_rate(1024, 1024, 1024, 5))
            shaped.append(matmul_rate(batch, settings.hidden, 256, 400))
            rate, value = training_rate(settings)
            training.append(rate)
    result = {
        "parameters": settings.parameters,
        "flops_per_second_matmul_1024": float(np.median(square)),
        "flops_per_second_matmul_of_its_shape": float(np.median(shaped)),
        "flops_per_second_training": float(np.median(training)),
        "share_of_matmul": float(np.median(np.array(training) / np.array(square))),
        "share_of_its_shape": float(np.median(np.array(training) / np.array(shaped))),
        "error": value,
        "learned": bool(value < 0.6),
    }
    text = json.dumps(result, indent=2)
    out = Path(__file__).parent / "results"
    out.mkdir(exist_ok=True)
    (out / "proxies.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
