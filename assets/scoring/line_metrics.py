"""Lines, paragraphs and characters of texts in one compiled pass; see `text_metrics`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled
from assets.scoring.ngram_metrics import measure_ngrams, slot
from assets.scoring.tokens import decode, finish_hash


@compiled
def measure(
    data: NDArray[np.uint8],
    text_offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    lengths: NDArray[np.int32],
    offsets: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Write a row of metrics for each text, in the order of `text_metrics.METRICS`."""
    n = out.shape[0]
    most = 16
    for row in range(n):
        most = max(most, text_offsets[row + 1] - text_offsets[row])
    capacity = 32
    while capacity < 2 * most:
        capacity *= 2
    keys = np.empty(capacity, dtype=np.uint64)
    owner = np.full(capacity, -1, dtype=np.int64)
    counts = np.empty(capacity, dtype=np.int32)
    sizes = np.empty(capacity, dtype=np.int32)
    order = np.empty(most + 1, dtype=np.int64)
    stamp = 0
    for row in range(n):
        first, last = offsets[row], offsets[row + 1]
        start, end = text_offsets[row], text_offsets[row + 1]
        slots = 32
        while slots < 2 * (end - start):
            slots *= 2
        mask = slots - 1
        # words
        words = last - first
        plain = 0
        plain_length = 0
        alpha = 0
        longest = 0
        for i in range(first, last):
            if kinds[i] & 8:
                plain += 1
                plain_length += lengths[i]
            if kinds[i] & 2:
                alpha += 1
            longest = max(longest, lengths[i])
        # characters, lines and paragraphs
        characters = 0
        letters = 0
        latin = 0
        spaceless = 0
        hash_signs = 0
        ellipses = 0
        newlines = 0
        sentences = 0
        braces = 0
        dots = 0
        lines = 0
        bullet_lines = 0
        ellipsis_lines = 0
        punctuated = 0
        short = 0
        line_characters = 0
        duplicate_lines = 0
        duplicate_line_characters = 0
        paragraphs = 0
        duplicate_paragraphs = 0
        duplicate_paragraph_characters = 0
        line_stamp = stamp
        stamp += 1
        line_hash = np.uint64(0)
        paragraph_hash = np.uint64(0)
        line_length = 0  # without the spaces around
        pending_spaces = 0
        pending_hash = np.uint64(0)
        paragraph_length = 0
        first_flags = np.uint8(0)
        last_flags = np.uint8(0)
        line_last = 0
        line_dots = 0
        previous_sentence = False
        at = start
        while at <= end:
            if at < end:
                point, step = decode(data, at)
                flags = table[point]
                characters += 1
            else:
                point, step, flags = 10, 1, np.uint8(1)
            at += step
            if flags & 4:
                letters += 1
                if point < 0x250 or 0x1E00 <= point < 0x1F00:
                    latin += 1
                if flags & 8:
                    spaceless += 1
            if point == 35:
                hash_signs += 1
            if point == 123:
                braces += 1
            if point == 46:
                dots += 1
                if dots == 3:
                    ellipses += 1
                    dots = 0
            else:
                dots = 0
                if point == 0x2026:
                    ellipses += 1
            if previous_sentence and flags & 1:
                sentences += 1
            previous_sentence = flags & 64 != 0
            if point == 0x3002 or point == 0xFF01 or point == 0xFF1F:
                # these end a sentence without a space after them
                sentences += 1
                previous_sentence = False
            if point == 10:
                if at <= end:
                    newlines += 1
                if line_length:
                    lines += 1
                    line_characters += line_length
                    if first_flags & 128:
                        bullet_lines += 1
                    if line_last == 0x2026 or line_dots >= 3:
                        ellipsis_lines += 1
                    if last_flags & 32:
                        punctuated += 1
                    if line_length <= 30:  # FineWeb's short line
                        short += 1
                    line_hash = finish_hash(line_hash)
                    place = slot(keys, owner, line_stamp, mask, line_hash)
                    if owner[place] == line_stamp:
                        duplicate_lines += 1
                        duplicate_line_characters += line_length
                    owner[place] = line_stamp
                    keys[place] = line_hash
                    paragraph_hash = finish_hash(paragraph_hash ^ line_hash)
                    paragraph_length += line_length
                if (not line_length or at > end) and paragraph_length:
                    paragraphs += 1
                    # one table holds both: the mark keeps a paragraph of one line apart from the
                    # line
                    key = paragraph_hash ^ np.uint64(0xA5A5A5A5A5A5A5A5)
                    place = slot(keys, owner, line_stamp, mask, key)
                    if owner[place] == line_stamp:
                        duplicate_paragraphs += 1
                        duplicate_paragraph_characters += paragraph_length
                    owner[place] = line_stamp
                    keys[place] = key
                    paragraph_hash = np.uint64(0)
                    paragraph_length = 0
                line_length = 0
                pending_spaces = 0
                pending_hash = np.uint64(0)
                line_hash = np.uint64(0)
                line_dots = 0
            elif flags & 1:
                if line_length:
                    pending_spaces += 1
                    # each of a run of spaces counts: lines are the same only letter by letter
                    pending_hash = (pending_hash ^ np.uint64(point)) * np.uint64(0x9E3779B97F4A7C15)
            else:
                if pending_spaces:
                    line_hash = (line_hash ^ pending_hash) * np.uint64(0x9E3779B97F4A7C15)
                    line_length += pending_spaces
                    pending_spaces = 0
                    pending_hash = np.uint64(0)
                    line_dots = 0
                if not line_length:
                    first_flags = flags
                    line_hash = np.uint64(0xCBF29CE484222325)
                line_hash = (line_hash ^ np.uint64(point)) * np.uint64(0x9E3779B97F4A7C15)
                line_hash ^= line_hash >> np.uint64(29)
                line_length += 1
                line_last = point
                last_flags = flags
                line_dots = line_dots + 1 if point == 46 else 0
        # divided, not multiplied by a reciprocal: 3 / 10 must equal 0.3 to meet its bound
        out[row, 0] = characters
        out[row, 1] = words
        out[row, 2] = plain
        out[row, 3] = plain_length / max(plain, 1)
        out[row, 4] = longest
        out[row, 5] = alpha / max(plain, 1)
        out[row, 6] = hash_signs / max(words, 1)
        out[row, 7] = ellipses / max(words, 1)
        out[row, 8] = lines
        out[row, 9] = bullet_lines / max(lines, 1)
        out[row, 10] = ellipsis_lines / max(lines, 1)
        out[row, 11] = punctuated / max(lines, 1)
        out[row, 12] = short / max(lines, 1)
        out[row, 13] = duplicate_lines / max(lines, 1)
        out[row, 14] = duplicate_line_characters / max(line_characters, 1)
        out[row, 15] = duplicate_paragraphs / max(paragraphs, 1)
        out[row, 16] = duplicate_paragraph_characters / max(line_characters, 1)
        out[row, 17] = newlines / max(words, 1)
        out[row, 18] = sentences
        out[row, 19] = braces
        out[row, 20] = latin / max(letters, 1)
        out[row, 21] = spaceless / max(letters, 1)
        stamp = measure_ngrams(
            first,
            last,
            hashes,
            lengths,
            (keys, owner, counts, sizes, order),
            mask,
            stamp,
            characters,
            out[row],
        )
