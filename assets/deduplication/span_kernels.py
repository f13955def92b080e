"""Compiled loops over windows that have partners: which are wrong, which are cut, and the spans that they make.

Apart from `token_kernels` because these are about the texts of a survivor order; compiled for the same reason.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from assets.deduplication.token_kernels import common_tokens, text_of
from assets.kernels.compiled import compiled

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]


@compiled
def wrong_partners(
    folded: U8,
    begins: I64,
    offsets: I64,
    partner: I64,
    k: int,
    text: int,
    token: int,
    wrong: I64,
) -> tuple[int, int, int]:
    """Fill `wrong` with the windows of which the partner has other tokens.

    `text`, `token`: where to begin. Returns where to go on, and how many were found: it stops when `wrong` is full.
    A window that follows one that was compared, as its partner does, needs no more than the tokens compared then.
    """
    bad = 0
    while text < offsets.size - 1:
        stop = offsets[text + 1]
        agreed, expected = 0, -1
        while token + k <= stop:
            if bad == wrong.size:
                return text, token, bad
            other = partner[token] - 1
            if other >= 0:
                agreed = agreed - 1 if other == expected else 0
                if agreed < k:
                    end = offsets[text_of(offsets, other) + 1]
                    agreed = common_tokens(
                        folded,
                        begins[token],
                        begins[min(stop, token + 2 * k)],
                        begins[other],
                        begins[min(end, other + 2 * k)],
                    )
                if agreed < k:
                    wrong[bad] = token
                    bad += 1
                expected = other + 1
            else:
                expected = -1
            token += 1
        text += 1
        token = stop
    return text, token, bad


@compiled
def choose_cuts(
    offsets: I64, partner: I64, places: I64, order: I64, whole: U8, k: int, keeper: I64, cut: I64
) -> None:
    """Go through the texts in the survivor order and say which windows are cut, and what keeps each.

    `order` (texts,) texts by `places`; `whole` (texts,): 1 where nothing is cut. `keeper` and `cut` (tokens,) come as
    zeros. `cut` then holds, for each window that is cut, one more than the window of an earlier text that stays.
    `keeper` holds the same for the first occurrence of each window, which names it.
    """
    for at in range(order.size):
        text = order[at]
        begin, end = offsets[text], offsets[text + 1] - k + 1
        for token in range(begin, end):
            if partner[token] == 0 or whole[text] == 1:
                continue
            name = _name(offsets, partner, places, text, token)
            cut[token] = keeper[name]
        ahead, last = begin, begin - k
        for token in range(begin, end):
            while ahead < end and ahead < token + k:
                if cut[ahead] != 0:
                    last = ahead
                ahead += 1
            if partner[token] == 0 or last > token - k:
                continue
            name = _name(offsets, partner, places, text, token)
            if keeper[name] == 0:
                keeper[name] = token + 1


@compiled
def _name(offsets: I64, partner: I64, places: I64, text: int, token: int) -> int:
    """Return the first occurrence of a repeated window in the first text that has it."""
    other: int = partner[token] - 1
    if places[text_of(offsets, other)] > places[text]:
        other = partner[other] - 1
    return other


@compiled
def cut_runs(
    offsets: I64, cut: I64, k: int, text: int, token: int, found: I64
) -> tuple[int, int, int]:
    """Join windows that are cut in a row, and kept in a row, to spans.

    `found` (m, 4) is filled with token, token where it is kept, tokens and the text that keeps it. `text`, `token`:
    where to begin. Returns where to go on, and how many were found.
    """
    count = 0
    while text < offsets.size - 1:
        end = offsets[text + 1] - k + 1
        while token < end:
            if cut[token] == 0:
                token += 1
                continue
            if count == found.shape[0]:
                return text, token, count
            kept = cut[token] - 1
            other = text_of(offsets, kept)
            most = min(end - token, offsets[other + 1] - k + 1 - kept)
            run = 1
            while run < most and cut[token + run] == kept + run + 1:
                run += 1
            found[count, 0] = token
            found[count, 1] = kept
            found[count, 2] = run + k - 1
            found[count, 3] = other
            count += 1
            token += run
        text += 1
        token = offsets[text]
    return text, token, count
