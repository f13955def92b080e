"""Proxy runs in several processes: the rows of one process, bit by bit, and the loss of a worker loses one run."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from assets.filtering.proxies.data import ProxyError
from assets.filtering.proxies.design import design
from assets.filtering.proxies.finished import Finished
from assets.filtering.proxies.settings import ProxyLimits
from assets.filtering.proxies.workers import WORK_A_WORKER, count_workers, train_runs
from tests.filtering.test_proxies import SETTINGS, text_data

SMALL = ProxyLimits(seconds=2.0, flops_per_second=2e9, largest=200, largest_group=48)


@pytest.fixture
def workers():
    """Return what lists the processes that were started since, and not by another test."""
    before = {child.pid for child in multiprocessing.active_children()}
    return lambda: [c for c in multiprocessing.active_children() if c.pid not in before]


@pytest.fixture(scope="module")
def serial():
    data = text_data(600, groups=1)
    specs = design(data, limits=SMALL, settings=SETTINGS)
    return data, specs, train_runs(specs, data, settings=SETTINGS)


def test_two_workers_give_the_rows_of_one_and_a_killed_one_loses_one_run(serial, workers, tmp_path):
    """Mutants: order of arrival; drop the lost run; restart all runs; let the study fail."""
    data, specs, rows = serial
    lost, seen = [], []
    finished = Finished(tmp_path / "runs")

    def progress(done, total):
        seen.append((done, total))
        if len(seen) == 1:
            # every worker is in the middle of a run
            os.kill(workers()[0].pid, signal.SIGKILL)

    found = train_runs(
        specs,
        data,
        settings=SETTINGS,
        workers=2,
        finished=finished,
        progress=progress,
        lost=lambda spec: lost.append(spec.run_id),
    )
    assert found == rows
    assert len(lost) == 1
    assert seen == [(n, len(specs)) for n in range(1, len(specs) + 1)]
    assert not workers()
    # all are kept, the lost one too
    again = train_runs(specs, None, settings=SETTINGS, workers=2, finished=finished)
    assert again == rows


def test_finished_runs_are_kept_one_by_one_and_told_for_what_they_are_now_made(serial, tmp_path):
    data, specs, rows = serial
    finished = Finished(tmp_path / "runs")

    def stop(done, _):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_runs(specs, data, settings=SETTINGS, finished=finished, progress=stop)
    assert sum(finished.get(spec) is not None for spec in specs) == 3
    assert not list((tmp_path / "runs").glob("*.new"))
    trained = []
    found = train_runs(
        specs, data, settings=SETTINGS, finished=finished, progress=lambda n, _: trained.append(n)
    )
    assert found == rows
    assert len(trained) == len(specs) - 3
    from dataclasses import replace

    other = replace(specs[0], purpose="widening")
    assert finished.get(other)[0]["purpose"] == "widening"
    assert train_runs([specs[0], specs[0]], data, settings=SETTINGS, finished=finished) == [
        rows[0],
        rows[0],
    ]


def test_what_fails_in_a_worker_fails_here(serial, workers):
    data, specs, _ = serial
    few = text_data(60, groups=1)
    with pytest.raises(KeyError):
        train_runs(specs[:2], few, settings=SETTINGS, workers=2)
    assert not workers()
    del data


def test_a_run_that_ends_two_workers_is_named(serial, workers, monkeypatch):
    data, specs, _ = serial
    monkeypatch.setattr("assets.filtering.proxies.workers._serve", _die)
    with pytest.raises(ProxyError, match=f"{specs[0].run_id}.*ended 2 worker.*proxy_workers"):
        train_runs(specs[:2], data, settings=SETTINGS, workers=2)
    assert not workers()


def _die(connection, *_):
    connection.recv()
    os._exit(9)


def test_workers_are_as_many_as_asked_or_as_cores_and_work_allow(serial):
    data, specs, _ = serial
    from assets.filtering.proxies.work import work_of

    assert count_workers(specs, data, SETTINGS, cores=8, asked=3) == 3
    assert count_workers(specs[:2], data, SETTINGS, cores=8, asked=3) == 2
    assert count_workers(specs, data, SETTINGS, cores=8) == 1
    assert sum(work_of(s, data, SETTINGS) for s in specs) < WORK_A_WORKER
    many = list(specs) * 400
    assert count_workers(many, data, SETTINGS, cores=2) == 2
    assert count_workers([], data, SETTINGS, cores=2) == 1
