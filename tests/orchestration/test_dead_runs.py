"""A run whose process died is closed, so that nothing waits for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from orchestration.dead_runs import dead_runs_of, give_up
from resources.lease import Lease, dead_holder
from resources.recipe import Recipe
from resources.recipe_file import parse_recipe

DIE = """
import os, sys
from pathlib import Path
from resources.lease import Lease
Lease(Path(sys.argv[1]), sys.argv[2]).acquire()
os._exit(9)
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    keys = {"lake": "lake", "output": "out", "records": [{"tables": "*", "text": "text"}]}
    return parse_recipe(keys, base=tmp_path)


def die_at_work(root: Path, holder: str) -> None:
    ended = subprocess.run([sys.executable, "-c", DIE, str(root), holder], check=False)
    assert ended.returncode == 9


def test_the_lease_of_a_dead_run_names_it_until_another_takes_over(recipe: Recipe) -> None:
    root = Path(recipe.output)
    assert dead_runs_of(recipe) == set()
    die_at_work(root, "dead")
    assert dead_holder(root) == "dead"
    assert dead_runs_of(recipe) == {"dead"}
    with Lease(root, "next") as lease:
        assert lease.taken_over == "dead"
        assert dead_runs_of(recipe) == set(), "the holder lives"
    with Lease(root, "later") as lease:
        assert lease.taken_over is None


def test_a_dead_run_gives_its_place_in_a_pool_back(tmp_path: Path) -> None:
    @dg.op(pool="gpu")
    def work() -> None: ...

    @dg.job
    def everything() -> None:
        work()

    settings = (
        "concurrency: {pools: {default_limit: 1, granularity: op}}\ntelemetry: {enabled: false}\n"
    )
    (tmp_path / "dagster.yaml").write_text(settings)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = instance.create_run_for_job(everything)
        storage = instance.event_log_storage
        storage.initialize_concurrency_limit_to_default("gpu")
        assert storage.claim_concurrency_slot("gpu", run.run_id, "work").is_claimed
        assert not storage.claim_concurrency_slot("gpu", "another", "work").is_claimed
        give_up(instance, {run.run_id, "maintain-1"})
        closed = instance.get_run_by_id(run.run_id)
        assert closed is not None
        assert closed.status == dg.DagsterRunStatus.FAILURE
        assert storage.claim_concurrency_slot("gpu", "another", "work").is_claimed
