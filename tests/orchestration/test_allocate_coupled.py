"""Coupled problems through the command: the library's answer, and every misstatement with file and field."""

from __future__ import annotations

import copy
import json

import pytest
from click.testing import CliRunner

from assets.allocation.coupled import solve_coupled
from orchestration.cli import main
from tests.allocation.test_coupled import intersections


def invoke(tmp_path, problem, *options):
    file = tmp_path / "problem.json"
    file.write_text(problem if isinstance(problem, str) else json.dumps(problem))
    return file, CliRunner().invoke(main, ["allocate", "--coupled", str(file), *options])


def test_the_command_answers_as_the_library(tmp_path):
    _, told = invoke(tmp_path, intersections(), "--json")
    assert json.loads(told.stdout) == json.loads(json.dumps(solve_coupled(intersections())))
    _, for_people = invoke(tmp_path, intersections())
    for words in ("young-f", "old", "certified to", "performance"):
        assert words in for_people.output


@pytest.mark.parametrize(
    ("path", "to", "words"),
    [
        (("budget",), 0, "field budget"),
        (("budget",), float("nan"), "field budget: nan"),
        (("budget",), None, "field budget: missing"),
        (("kind",), "leximin", "field kind"),
        (("aversion",), -1, "field aversion"),
        (("cells",), [], "field cells"),
        (("cells", 0, "cost"), 0, "cell 'young-f', field cost"),
        (("cells", 0, "cost"), "1", "cell 'young-f', field cost: a number is needed"),
        (("cells", 0, "available"), 0, "cell 'young-f', field available"),
        (("cells", 0, "avialable"), 1, "did you mean 'available'"),
        (("cells", 0, "name"), "young-m", "cell 'young-m', field name: used twice"),
        (("cells", 0, "groups"), {"elder": 1}, "cell 'young-f', field groups"),
        (("cells", 0, "floor"), 900, "cell 'young-f', field floor"),
        (("cells", 2, "floor"), 500, "'old-f' (1250)"),
        (("groups", 0, "name"), "old", "group 'old', field name: used twice"),
        (("groups", 0, "b"), 0, "group 'young', field b"),
        (("groups", 0, "a"), float("nan"), "group 'young', field a: nan"),
        (("groups", 0, "p"), -1, "group 'young', field p"),
    ],
)
def test_misstated_problems(tmp_path, path, to, words):
    problem = copy.deepcopy(intersections())
    node = problem
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = to
    if to is None:
        del node[path[-1]]
    file, told = invoke(tmp_path, problem)
    assert told.exit_code == 2
    assert told.stderr.startswith(f"sluice: {file}: ")
    assert words in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_files_that_state_no_problem(tmp_path, text):
    file, told = invoke(tmp_path, text)
    assert told.exit_code == 2
    assert str(file) in told.stderr
