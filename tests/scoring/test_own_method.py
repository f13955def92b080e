"""The page that shows how to write a method is run as it stands, and places for further methods exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.scoring.further_protocols import Distilled, Distiller, Mixer, Mixture, Unlearner
from assets.scoring.protocol import ScoreContext, Scorer, ScoringError, fit
from assets.scoring.registry import SCORERS
from tests.scoring.samples import records
from tests.scoring.test_suite import equal, scored

PAGE = Path(__file__).parents[2] / "docs/methods/own_method.md"
HEAD = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
import polars as pl
from assets.scoring.protocol import (
    Direction, Needs, ScoreBatch, ScoreColumn, ScorerState, Stateless, reasons_from,
)
"""


def block():
    return re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]


def brevity(monkeypatch):
    import types

    module = types.ModuleType("brevity_of_the_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(HEAD + block(), module.__dict__)
    monkeypatch.setitem(SCORERS, "brevity", module.Brevity)
    return module.Brevity()


def test_it_is_twenty_lines():
    assert len([line for line in block().splitlines() if line.strip()]) <= 20


def test_it_keeps_the_protocol_and_the_suite(monkeypatch):
    scorer = brevity(monkeypatch)
    assert isinstance(scorer, Scorer)
    sample, _ = records()
    want, column = scored("brevity", sample)
    assert column.values[10] == -np.log(20_000)
    assert column.reasons[1] == "no text"
    for order in (np.arange(len(sample))[::-1], np.random.default_rng(0).permutation(len(sample))):
        assert equal("brevity", scored("brevity", sample, order=order)[0], want)
    state = fit(scorer, [sample], ScoreContext())
    parts = [scorer.score(sample.slice(i, i + 7), state).values for i in range(0, 300, 7)]
    assert np.array_equal(np.concatenate(parts), column.values, equal_nan=True)


def test_one_registry_line_makes_it_a_scorer_of_the_command(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"t": "short"}\n{"t": "not so short"}\n')
    out = tmp_path / "scores.csv"
    module = tmp_path / "brevity_module.py"
    module.write_text(HEAD + block())
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from brevity_module import Brevity\n"
        "from assets.scoring.registry import SCORERS\n"
        "SCORERS['brevity'] = Brevity\n"
        "from orchestration.cli import main\n"
        f"main(['score', {str(rows)!r}, '--text', 't', '--scorers', 'brevity', '--out', {str(out)!r}])\n"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=PAGE.parents[2], capture_output=True
    )
    assert np.allclose(pl.read_csv(out)["brevity"].to_list(), [-np.log(5), -np.log(12)])


class Even:
    """A mixer, a distiller and an unlearner of the simplest kind."""

    name, version, cost, source = "even", 1, "O(1)", "ours"

    def mix(self, sources, evaluations, seed):
        return Mixture(dict.fromkeys(sources["source"], 1 / sources.height))

    def distil(self, batch, rows, context):
        return Distilled(batch.embedding[:rows], np.ones((rows, 1), dtype=np.float32))

    def unlearn(self, model, forget, attribution, context):
        return model


def test_further_methods_have_their_places():
    even = Even()
    for protocol in (Mixer, Distiller, Unlearner):
        assert isinstance(even, protocol)
        assert not isinstance(object(), protocol)
    shares = even.mix(pl.DataFrame({"source": ["a", "b"]}), pl.DataFrame(), 0).shares
    assert shares == {"a": 0.5, "b": 0.5}
    for bad in ({}, {"a": 0.5}, {"a": 1.5, "b": -0.5}):
        with pytest.raises(ScoringError, match="sum to 1"):
            Mixture(bad)
