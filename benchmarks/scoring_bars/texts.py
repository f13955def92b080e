"""Bars of scores that read texts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import scoring_peers as peers
from scoring_bars.bar import Bar
from scoring_bars.inputs import corpus, ids_of


def dsir(documents: int) -> Bar:
    """DSIR, against scikit-learn's hashing and the authors' package."""
    from scipy.stats import spearmanr

    from assets.scoring.dsir import Dsir
    from assets.scoring.protocol import ScoreBatch, ScoreContext, fit

    half = documents // 2
    turned = (np.arange(documents) >= half) | (np.arange(documents) % 2 == 0)
    text = corpus(documents, turned=turned)
    column, ids = pa.array(text), ids_of(documents)

    def ours(scorer=None, few=half):
        scorer = scorer or Dsir()
        train = ScoreBatch(ids=ids[:few], text=column.slice(0, few))
        target = ScoreBatch(ids=ids[half : half + few], text=column.slice(half, few), role="target")
        state = fit(scorer, [train, target], ScoreContext())
        return scorer.score(train, state).extras["dsir_log_weight"]

    few = max(half // 10, 200)
    raw, target = text[:half], text[half:]

    def about(answers):
        found = {"documents": documents, "megabytes": sum(map(len, text)) / 1e6}
        pair = spearmanr(answers["ours"], answers["hashing_vectorizer"])
        found["rank_correlation_with_hashing_vectorizer"] = float(pair.statistic)
        if "data_selection" in answers:
            same = ours(Dsir(hash="sha256"), few)
            gap = np.abs(same - answers["data_selection"]).max() / np.abs(same).max()
            found["largest_relative_difference_from_data_selection_in_sha256_mode"] = float(gap)
        return found

    return Bar(
        {
            "ours": ours,
            "hashing_vectorizer": lambda: peers.hashing_vectorizer(raw, target),
            "data_selection": peers.data_selection(raw[:few], target[:few]),
        },
        about,
        {"data_selection": half / few},
    )


def rules(documents: int) -> Bar:
    """Gopher, C4 and FineWeb rules, against datatrove's filters."""
    from assets.scoring.heuristics import verdicts

    documents = min(documents, 5000)
    text, few = corpus(documents), 500
    column = pa.array(text)

    def about(answers):
        found = {"documents": documents, "megabytes": sum(map(len, text)) / 1e6}
        if "datatrove" in answers:
            frame = answers["ours"].rules
            ngrams = ("gopher_top", "gopher_dup")
            mine = [frame[name].fill_null(value=True).to_numpy() for name in frame.columns
                    if name.startswith(ngrams)]  # fmt: skip
            passed = np.logical_and.reduce(mine)[:few]
            same = float((passed == np.array(answers["datatrove"])).mean())
            found["same_verdict_on_repetition"] = same
        return found

    return Bar(
        {"ours": lambda: verdicts(column), "datatrove": peers.datatrove(text[:few])},
        about,
        {"datatrove": documents / few},
    )
