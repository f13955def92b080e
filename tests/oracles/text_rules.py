"""The metrics of text rules, slowly and by other means: regular expressions, Counter and sets."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

BULLETS = "-*\u2022\u2023\u25cf\u25cb\u25e6\u2013\u00b7"
ENDS = ".!?\u3002\uff01\uff1f\u0964\u061f\u06d4\u1362"


def duplicates(items):
    seen, count, size = set(), 0, 0
    for item in items:
        if item in seen:
            count += 1
            size += len("".join(item))
        seen.add(item)
    return count, size


def measure(text):
    words = re.findall(r"\w+|[^\w\s]+", text)
    plain = [
        w for w in words if any(c.isalpha() or unicodedata.category(c)[0] not in "PS" for c in w)
    ]
    letters = [c for c in text if c.isalpha()]
    stripped = [re.sub(r"^\s+|\s+$", "", line) for line in text.split("\n")]
    lines = [line for line in stripped if line]
    paragraphs, current = [], []
    for line in [*stripped, ""]:
        if line:
            current.append(line)
        elif current:
            paragraphs.append(tuple(current))
            current = []
    duplicate_lines, line_size = duplicates(lines)
    duplicate_paragraphs, paragraph_size = duplicates(paragraphs)
    total = sum(map(len, lines))
    sentences = len(re.findall(r"[\u3002\uff01\uff1f]", text))
    sentences += len(re.findall(r"[.!?\u0964\u061f\u06d4\u1362](?=\s)", text + "\n"))
    found = {
        "characters": len(text),
        "words": len(words),
        "plain_words": len(plain),
        "mean_word_length": sum(map(len, plain)) / max(len(plain), 1),
        "longest_word": max(map(len, words), default=0),
        "alpha_word_share": sum(any(c.isalpha() for c in w) for w in words) / max(len(plain), 1),
        "hash_per_word": text.count("#") / max(len(words), 1),
        "ellipsis_per_word": (text.count("...") + text.count("\u2026")) / max(len(words), 1),
        "lines": len(lines),
        "bullet_line_share": sum(x[0] in BULLETS for x in lines) / max(len(lines), 1),
        "ellipsis_line_share": sum(x.endswith(("...", "\u2026")) for x in lines)
        / max(len(lines), 1),
        "punctuated_line_share": sum(x[-1] in ENDS + "\"'\u2026\u201d\u2019" for x in lines)
        / max(len(lines), 1),
        "short_line_share": sum(len(x) <= 30 for x in lines) / max(len(lines), 1),
        "duplicate_line_share": duplicate_lines / max(len(lines), 1),
        "duplicate_line_characters": line_size / max(total, 1),
        "duplicate_paragraph_share": duplicate_paragraphs / max(len(paragraphs), 1),
        "duplicate_paragraph_characters": paragraph_size / max(total, 1),
        "newlines_per_word": text.count("\n") / max(len(words), 1),
        "sentences": sentences,
        "braces": text.count("{"),
        "latin_share": sum("LATIN" in unicodedata.name(c, "") for c in letters)
        / max(len(letters), 1),
        "spaceless_share": sum("CJK" in unicodedata.name(c, "") for c in letters)
        / max(len(letters), 1),
    }
    for n in (2, 3, 4):
        grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        gram, count = grams.most_common(1)[0] if grams else ((), 0)
        size = count * len(" ".join(gram)) if count > 1 else 0
        found[f"top_{n}gram_characters"] = size / max(len(text), 1)
    for n in range(5, 11):
        seen, at, size = set(), 0, 0
        while at + n <= len(words):
            gram = tuple(words[at : at + n])
            if gram in seen:
                size += len("".join(gram))
                at += n
            else:
                seen.add(gram)
                at += 1
        found[f"duplicate_{n}gram_characters"] = size / max(len(text), 1)
    return found
