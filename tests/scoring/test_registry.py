from __future__ import annotations

import subprocess
import sys

import pytest

from assets.scoring.protocol import Needs, ScoreBatch, Scorer, ScoringError, WholeScorer
from assets.scoring.registry import SCORERS, create, describe, from_recipe, named, split_by_needs


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_every_scorer_keeps_the_protocol(name):
    scorer = create(name)
    assert isinstance(scorer, Scorer if scorer.row_local else WholeScorer)
    assert scorer.name == name
    assert scorer.cost
    assert scorer.source


def test_description_has_a_row_for_each():
    frame = describe()
    assert frame["scorer"].to_list() == list(SCORERS)
    assert frame.filter(frame["scorer"] == "dsir")["needs"][0] == "text, target"
    assert frame.null_count().sum_horizontal()[0] == 0


def test_settings_of_the_recipe():
    found = from_recipe(["heuristics", {"dsir": {"buckets": 500}}])
    assert list(found) == ["heuristics", "dsir"]
    assert found["dsir"].buckets == 500


def test_misspelt_names_get_the_nearest():
    with pytest.raises(ScoringError, match="did you mean 'heuristics'"):
        create("heuristic")
    with pytest.raises(ScoringError, match="did you mean 'buckets'"):
        create("dsir", {"bucket": 3})
    with pytest.raises(ScoringError, match="has no setting 'x'; known: none"):
        create("random", {"x": 1})
    with pytest.raises(ScoringError, match="twice"):
        from_recipe(["dsir", "dsir"])


def test_what_records_lack_leaves_a_scorer_out_and_is_said():
    scorers = from_recipe(["dsir", "prototype", "random"])
    active, left_out = split_by_needs(scorers, Needs.TEXT)
    assert list(active) == ["random"]
    assert "target" in left_out["dsir"]
    assert "embedding" in left_out["prototype"]


def test_batches_of_unequal_columns_are_refused():
    import numpy as np
    import pyarrow as pa

    with pytest.raises(ScoringError, match="text has 1 rows but there are 2 ids"):
        ScoreBatch(ids=["a", "b"], text=pa.array(["x"]))
    with pytest.raises(ScoringError, match="embedding has shape"):
        ScoreBatch(ids=["a", "b"], embedding=np.zeros((3, 2), np.float32))


def test_importing_the_registry_loads_no_heavy_package():
    code = (
        "import sys, assets.scoring.registry\n"
        "heavy = {'torch', 'sklearn', 'matplotlib', 'dagster'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_of_the_command_line():
    found = named("lava, random", ["lava.eps=0.2", "lava.label_rows=7"])
    assert (found["lava"].eps, found["lava"].label_rows) == (0.2, 7)
    assert named("influence", ["influence.hessian=false"])["influence"].hessian is False
    for bad, why in (
        (["lava.eps"], "write SCORER.NAME=VALUE"),
        (["eps=1"], "write SCORER.NAME=VALUE"),
        (["dsir.buckets=3"], "does not name 'dsir'"),
        (["lava.eps=1", "lava.eps=2"], "given twice"),
        (["lava.epps=1"], "did you mean 'eps'"),
        (["lava.eps=wide"], "of a type that it can't be"),
    ):
        with pytest.raises(ScoringError, match=why):
            named("lava,random", bad)


def test_a_recipe_takes_settings_of_scorers():
    from resources.recipe_curation import Scoring

    given = Scoring(scorers=["dsir", {"got_d": {"eps": 0.1}}, {"random": None}])
    found = from_recipe(given.scorers)
    assert list(found) == ["dsir", "got_d", "random"]
    assert found["got_d"].eps == 0.1
    with pytest.raises(ScoringError, match="has no setting 'ep'"):
        from_recipe(Scoring(scorers=[{"got_d": {"ep": 0.1}}]).scorers)
