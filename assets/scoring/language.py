"""Whether a text is English, as far as a rule for English needs to know.

A language that the recipe names decides. Without one, function words do: a text counts as English
when more of its words are English function words than function words of any other language on the
list. A text in which none occur has no known language, and rules for English stay silent on it.
This is not a language identifier; it errs towards silence.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from assets.kernels.compiled import compiled
from assets.scoring.protocol import ScoringError
from assets.scoring.tokens import tokenise, utf8

ENGLISH = 1
OTHER = 0
UNKNOWN = -1

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

FUNCTION_WORDS = {
    "en": "the of and to that is for with was this are be not it you have from or by as",
    "es": "el la los las de que y en un una por con no se del para es su lo como más",
    "fr": "le la les de des et à un une du en que qui dans pour pas est sur au ce il",
    "de": "der die das und in den von zu mit sich des auf für ist im dem nicht ein eine",
    "it": "il la di che e un una per non in del della con sono le si da come è gli",
    "pt": "o a os as de que e do da em um uma para com não por se no na dos mais",
    "nl": "de het een en van in is dat op te zijn met voor niet aan er om die ook",
    "sv": "och att det som en på är av för med den till inte har om ett jag de var",
    "da": "og at det som en på er af for med den til ikke har om et jeg de var",
    "pl": "i w na z się do nie że to jest o jak za od po co ale przez dla",
    "cs": "a v na se že je to s z do o i jako za by po pro ale si",
    "ro": "și de în la a cu pe care nu este o un din să pentru mai ca",
    "hu": "a az és hogy nem is egy ez van de meg csak ha már mint",
    "fi": "ja on ei että se hän oli joka mutta ovat kun niin myös",
    "tr": "ve bir bu için da de ile ne çok daha gibi olan en ama",
    "id": "yang dan di dari untuk dengan ini itu pada tidak dalam adalah akan ke",
    "vi": "và của là có được cho không các trong một người những đã với",
    "sw": "na ya wa kwa ni katika la za cha kuwa hii hiyo kama lakini",
    "ha": "da na ta ba a ya ne ce shi su wannan don amma cikin",
    "yo": "ni ti o si awọn ati ninu fun pe kan mo wọn jẹ kò",
    "so": "iyo ka ku waa in ah oo uu la ay soo waxaa",
    "ca": "el la els les de que i en un una per amb no es del als més",
}


@lru_cache(maxsize=1)
def _lexicon() -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint8]]:
    """Return sorted word hashes, the languages of each as bits, and its stop-word number or 255."""
    bits: dict[str, int] = {}
    for number, listed in enumerate(FUNCTION_WORDS.values()):
        for word in set(listed.split()):
            bits[word] = bits.get(word, 0) | 1 << number
    for word in STOP_WORDS:
        bits.setdefault(word, 0)
    words = sorted(bits)
    tokens = tokenise(utf8(pa.array(words)))
    if len(tokens.hashes) != len(words):
        message = "a function word is not one token"
        raise ScoringError(message)
    order = np.argsort(tokens.hashes)
    languages = np.array([bits[w] for w in words], dtype=np.uint32)[order]
    stops = np.array([STOP_WORDS.index(w) if w in STOP_WORDS else 255 for w in words])
    return tokens.hashes[order], languages, stops.astype(np.uint8)[order]


@compiled
def _count(
    hashes: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    known: NDArray[np.uint64],
    languages: NDArray[np.uint32],
    stops: NDArray[np.uint8],
    hits: NDArray[np.int64],
    stop_words: NDArray[np.int64],
) -> None:
    # a filter of 4096 bits keeps nearly all words from the binary search
    sieve = np.zeros(4096, dtype=np.bool_)
    for i in range(len(known)):
        sieve[np.int64(known[i] & np.uint64(4095))] = True
    for row in range(len(offsets) - 1):
        seen = np.uint32(0)
        for i in range(offsets[row], offsets[row + 1]):
            if not sieve[np.int64(hashes[i] & np.uint64(4095))]:
                continue
            at = np.searchsorted(known, hashes[i])
            if at == len(known) or known[at] != hashes[i]:
                continue
            for language in range(hits.shape[1]):
                if languages[at] >> np.uint32(language) & np.uint32(1):
                    hits[row, language] += 1
            if stops[at] != 255:
                seen |= np.uint32(1) << np.uint32(stops[at])
        for number in range(32):
            stop_words[row] += np.int64(seen >> np.uint32(number) & np.uint32(1))


def english(
    text: pa.Array, language: pa.Array | None = None
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Tell which texts are English, and how many different English stop words each holds.

    Parameters
    ----------
    text
        n Arrow strings.
    language
        n Arrow strings (``en``, ``eng``, ``english``, ``en-GB``, another language, or null), or
        None.

    Returns
    -------
    verdict : numpy.ndarray
        int8: 1 English, 0 another language, -1 unknown.
    stop_words : numpy.ndarray
        int64: how many of `STOP_WORDS` occur.
    """
    tokens = tokenise(utf8(text, lower=True))
    n = len(tokens.offsets) - 1
    hits = np.zeros((n, len(FUNCTION_WORDS)), dtype=np.int64)
    stop_words = np.zeros(n, dtype=np.int64)
    _count(tokens.hashes, tokens.offsets, *_lexicon(), hits, stop_words)
    others = hits[:, 1:].max(axis=1, initial=0)
    verdict = np.where(hits[:, 0] > others, ENGLISH, np.where(others > 0, OTHER, UNKNOWN))
    verdict = verdict.astype(np.int8)
    if language is not None:
        named: dict[Any, int] = {}
        for row, value in enumerate(language.to_pylist()):
            if value is None:
                continue
            if value not in named:
                tag = str(value).strip().lower().replace("_", "-")
                is_english = tag in {"en", "eng", "english"} or tag.startswith("en-")
                named[value] = ENGLISH if is_english else OTHER
            verdict[row] = named[value]
    return verdict, stop_words
