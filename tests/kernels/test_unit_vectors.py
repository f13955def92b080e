from __future__ import annotations

import numpy as np
import pytest
import xxhash

from assets.kernels.row_hashes import hash_rows
from assets.kernels.unit_vectors import rounded_plainly, to_grid, to_stored_grid


def plainly(rows):
    return rounded_plainly(rows, np.empty(rows.shape, dtype=np.float32))


def hard_rows():
    """Rows whose cells lie at or beside a half, that are tiny, huge, or have no direction."""
    draw = np.random.default_rng(0)
    rows = [draw.normal(size=(300, 64)), draw.normal(size=(300, 64)) * 10.0 ** draw.integers(-9, 5)]
    ties = np.zeros((400, 64))
    # 3, 4 and 5 times whole numbers: norms are whole, and cells fall on halves
    ties[:, 0], ties[:, 1] = 3 * 1600.0, 4 * 1600.0
    ties[:, 0] += draw.integers(-3, 4, 400) * 0.625
    for i, k in enumerate(draw.integers(1, 64, 400)):
        if i % 2:
            ties[i] = 0
            ties[i, :k] = draw.choice([-1.0, 1.0], k)
    rows += [ties, np.ldexp(draw.normal(size=(200, 64)), draw.integers(-40, 20, (200, 1)))]
    halves = np.zeros((2, 64))
    halves[0, :2] = 0.5 / 4000, np.sqrt(1 - (0.5 / 4000) ** 2)
    odd = np.zeros((6, 64))
    odd[1:, 0] = np.nan, np.inf, 65519.0, 65520.0, 2.0**-25
    odd[3, 1] = 3 * 2.0**-26
    return np.concatenate([*rows, halves, odd]).astype(np.float32)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_compiled_grid_equals_the_definition(kind):
    with np.errstate(over="ignore"):
        rows = hard_rows().astype(kind)
    assert np.array_equal(to_grid(rows), plainly(rows))


def test_cells_at_a_half_take_the_plain_way_and_would_differ_without():
    rows = np.zeros((1, 2), dtype=np.float32)
    found = set()
    for k in range(1, 4000):  # k + 1/2 of 4000, as near as float32 comes
        rows[0] = (k + 0.5) / 4000, np.sqrt(1 - ((k + 0.5) / 4000) ** 2)
        assert np.array_equal(to_grid(rows), plainly(rows))
        found.add(float(to_grid(rows)[0, 0]) - k)
    assert found == {0.0, 1.0}


def test_the_stored_grid_is_that_of_float16():
    rows = hard_rows()
    with np.errstate(over="ignore", invalid="ignore"):
        stored = rows.astype(np.float16)
    assert np.array_equal(to_stored_grid(rows), plainly(stored))
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    steps = every[np.isfinite(every) & (every > 0)].astype(np.float32)
    between = (steps[:-1] + steps[1:]) / 2  # ties of float16
    beside = [between, np.nextafter(between, 0), np.nextafter(between, np.float32(np.inf))]
    cells = np.concatenate([*beside, steps[1:], -between])
    rows = np.stack([cells, np.full_like(cells, 0.3) * np.abs(cells)], axis=1)
    assert np.array_equal(to_stored_grid(rows), plainly(rows.astype(np.float16)))


@pytest.mark.parametrize(
    "width", [1, 8, 100, 119, 120, 121, 128, 256, 384, 511, 512, 513, 1024, 3000]
)
def test_hashes_of_rows_are_those_of_xxhash(width):
    draw = np.random.default_rng(width)
    rows = draw.integers(-4000, 4000, (5, width)).astype("<i2")
    want = [xxhash.xxh3_64_intdigest(row.tobytes()) for row in rows]
    assert hash_rows(rows).tolist() == want
    assert hash_rows(rows[:0]).shape == (0,)
