"""Every way to misstate a problem file: one line that names file, group and field, exit status 2, no traceback."""

from __future__ import annotations

import copy
import json

import pytest
from click.testing import CliRunner

from orchestration.cli import main
from tests.allocation.stated import two_by_two

NAN, INF = float("nan"), float("inf")
PLAIN = {
    "budget": 1000,
    "objective": {"kind": "weighted_sum"},
    "groups": [
        {
            "name": "A",
            "weight": 0.5,
            "cost": 1,
            "available": 5000,
            "curve": {"form": "power", "a": 0.9, "b": 2, "p": 0.5},
        },
        {
            "name": "B",
            "weight": 0.5,
            "cost": 2,
            "available": 300,
            "curve": {"form": "hyperbola", "a": 0.8, "k": 50},
        },
    ],
}
TABLE = {"form": "tabulated", "n": [1, 2, 3], "value": [0, 0.1, 0.9]}
LEVEL = {"kind": "min_cost", "level": "raw", "target": 0.95}
POOL = {"name": "x", "worth": 1, "cost": 1, "available": 3}


def refused(tmp_path, text, *options):
    file = tmp_path / "problem.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    out = CliRunner().invoke(main, ["allocate", str(file), *options])
    assert isinstance(out.exception, SystemExit), out.exception
    assert out.exit_code == 2
    lines = out.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"sluice: {file}: ")
    assert not out.stdout
    return lines[0]


def changed(problem, *path, to):
    problem = copy.deepcopy(problem)
    node = problem
    for part in path[:-1]:
        node = node[part]
    if to is None:
        node.pop(path[-1], None)
    else:
        node[path[-1]] = to
    return json.dumps(problem)


@pytest.mark.parametrize("options", [(), ("--joint",), ("--rounds", "r")], ids=str)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("{a", "line 1 column 2"),
        ("[]", "holds a list, not an object"),
        ("3", "holds a number"),
        ("null", "holds null"),
        ('"x"', "holds a string"),
        ("true", "holds a truth value"),
        ('{"budget": 1, "budget": 2}', "'budget' stands twice"),
        ("[" * 100_000, "JSON"),
        (b"\xff\xfe\x00{", "UTF-8"),
        ("{}", "missing"),
        ("name,weight\nA,1\n", "can't be read as JSON"),
    ],
)
def test_files_that_state_no_problem(tmp_path, text, words, options):
    assert words in refused(tmp_path, text, *options)


@pytest.mark.parametrize(
    ("path", "to", "words"),
    [
        (("budget",), NAN, "field budget: nan is not a finite number"),
        (("budget",), INF, "field budget: inf is not a finite number"),
        (("budget",), -1, "field budget: input should be greater"),
        (("budget",), None, "field budget: weighted_sum needs one"),
        (("budget",), "1000", "field budget: a number is needed, got '1000'"),
        (("budget",), True, "field budget: a number is needed, got True"),
        (("budget",), [1], "field budget: a number is needed"),
        (("bugdet",), 3, "unknown key; did you mean 'budget'"),
        (("groups",), [], "field groups"),
        (("groups",), {"A": 1}, "field groups: a list is needed"),
        (("groups",), ["A"], "an object with keys is needed"),
        (("groups", 0, "name"), "B", "group 'B', field name: two groups have this name"),
        (("groups", 0, "name"), "", "field name: empty"),
        (("groups", 0, "name"), 3, "field name: a text is needed"),
        (("groups", 0, "cost"), 0, "group 'A', field cost"),
        (("groups", 0, "cost"), -2, "group 'A', field cost"),
        (("groups", 0, "cost"), "a", "group 'A', field cost: a number is needed"),
        (("groups", 0, "cost"), None, "group 'A', field cost: missing"),
        (("groups", 0, "available"), 0, "group 'A', field available: 0 records"),
        (("groups", 0, "available"), -1, "group 'A', field available"),
        (("groups", 0, "available"), None, "group 'A', field available: missing"),
        (("groups", 0, "weight"), -1, "group 'A', field weight"),
        (("groups", 0, "weight"), None, "group 'A', field weight"),
        (("groups", 0, "wieght"), 1, "did you mean 'weight'"),
        (("groups", 0, "budget"), 1, "group 'A', field budget: unknown key here"),
        (("groups", 0, "held"), NAN, "group 'A', field held"),
        (("groups", 0, "curve"), None, "group 'A', field curve: missing"),
        (("groups", 0, "curve"), {}, "group 'A', field curve: form None is not known"),
        (("groups", 0, "curve", "form"), "powr", "form 'powr' is not known; use power"),
        (("groups", 0, "curve", "a"), NAN, "group 'A', curve, field a: nan"),
        (("groups", 0, "curve", "b"), 0, "group 'A', curve, field b"),
        (("groups", 0, "curve", "p"), -0.5, "not concave"),
        (("groups", 0, "curve"), TABLE, "group 'A', field curve: the table is convex"),
        (("groups", 0, "curve"), {**TABLE, "value": [0, NAN, 1]}, "group 'A', curve"),
        (("groups", 0, "curve"), {**TABLE, "n": [1, 3, 2]}, "sizes n must rise"),
        (("groups", 0, "curve"), {**TABLE, "value": [0.9, 0.2, 0.1]}, "values fall"),
        (("groups", 0, "floor"), 900, ""),
        (("groups", 1, "floor"), 400, "group 'B', field floor: 400 samples"),
        (("groups", 0, "floor"), 2000, "'A' (2000)"),
        (("groups", 0, "floor"), -1, "group 'A', field floor"),
        (("groups", 0, "pools"), [], "group 'A', field pools"),
        (("groups", 0, "pools"), [POOL, POOL], "two pools have the same name"),
        (("groups", 0, "pools"), [{**POOL, "worth": NAN}], "group 'A', pool 'x', field worth"),
        (("groups", 0, "pools"), [{**POOL, "worth": 0}], "every pool has worth 0"),
        (("groups", 0, "repeats"), {"r_star": 0}, "group 'A', repeats, field r_star"),
        (("groups", 0, "repeats"), {"r_star": 1, "max_passes": 0.5}, "at least one pass"),
        (("objective",), "max_min", "field objective: an object with keys is needed"),
        (("objective",), {"kind": "maxmin"}, "objective, field kind"),
        (("objective",), {"kind": "max_min"}, "objective, field level: max_min compares groups"),
        (("objective",), {"kind": "leximin", "level": "RAW"}, "objective, field level"),
        (("objective",), {"kind": "max_min", "level": "skill"}, "group 'A', field chance"),
        (("objective",), {"kind": "isoelastic"}, "objective, field aversion: isoelastic needs it"),
        (("objective",), {"kind": "isoelastic", "aversion": -1}, "objective, field aversion"),
        (("objective",), {"kind": "isoelastic", "aversion": NAN}, "objective, field aversion"),
        (("objective",), {"kind": "isoelastic", "aversion": 1e6}, "use less, or max_min"),
        (("objective",), {"kind": "max_min", "level": "raw", "aversion": 1}, "field aversion"),
        (("objective",), LEVEL, "field budget: min_cost looks for the least spend"),
        (("objective",), {"kind": "min_cost", "level": "raw"}, "objective, field target"),
    ],
)
def test_misstated_plain_problems(tmp_path, path, to, words):
    problem = copy.deepcopy(PLAIN)
    if words == "":  # together with another floor that the budget can't pay either
        problem["groups"][1]["floor"] = 200
        words = "groups 'A' (900), 'B' (400) cost 1300 together"
        assert "least budget that would do is 1300" in refused(
            tmp_path, changed(problem, *path, to=to)
        )
    assert words in refused(tmp_path, changed(problem, *path, to=to))


def test_a_target_out_of_reach_names_the_groups(tmp_path):
    problem = {"objective": LEVEL, "groups": PLAIN["groups"]}
    told = refused(tmp_path, json.dumps(problem))
    assert "'A' (at most 0.871716), 'B' (at most 0.685714)" in told


CELL = {"U": 100, "worth": 1, "tau": 2}


@pytest.mark.parametrize(
    ("path", "to", "words"),
    [
        (("budget",), NAN, "field budget: nan"),
        (("budget",), INF, "field budget: inf"),
        (("budget",), 0, "field budget"),
        (("budget",), None, "field budget: missing"),
        (("groups", 0, "name"), "B", "group 'B', field name: two groups"),
        (("groups", 0, "a"), NAN, "group 'A', field a: nan"),
        (("groups", 0, "p"), -1, "group 'A', field p"),
        (("groups", 0, "cells"), [], "group 'A', field cells"),
        (("groups", 0, "cells"), [{**CELL, "cost": 0}], "group 'A', cell '#0', field cost"),
        (("groups", 0, "cells"), [{**CELL, "U": 0}], "group 'A', field U: no records"),
        (("groups", 0, "cells"), [{**CELL, "worth": 0}], "group 'A', field worth: 0 for every"),
        (("groups", 0, "cells"), [{**CELL, "wroth": 0}], "did you mean 'worth'"),
        (("groups", 0, "cells"), [{"U": 3}], "group 'A', field tau"),
        (("groups", 0, "cells"), [{**CELL, "name": "x"}] * 2, "two pools have the same name"),
        (("groups", 0, "floor"), 1500, "'A' (1500)"),
        (("groups", 0, "floor"), 1e9, "group 'A', field floor"),
        (("objective",), {"kind": "isoelastic", "aversion": -1}, "objective, field aversion"),
        (("objective",), {"kind": "isoelastic", "aversion": 1e6}, "use less, or max_min"),
        (("objective",), {"kind": "max_min", "aversion": 2}, "objective, field aversion"),
        (("objective",), {"kind": "max_min", "level": "skill"}, "group 'A', field chance"),
        (("objective",), {"kind": "isoelastic", "aversion": 1, "level": "excess"}, "field level"),
        (("repetition",), "twice", "field repetition"),
        (("formulation",), "mixture", "field repetition: the mixture form"),
    ],
)
def test_misstated_joint_problems(tmp_path, path, to, words):
    problem = two_by_two()
    assert words in refused(tmp_path, changed(problem, *path, to=to), "--joint")


def test_weights_that_are_all_nothing(tmp_path):
    for problem, options in ((PLAIN, ()), (two_by_two(), ("--joint",))):
        idle = copy.deepcopy(problem)
        for group in idle["groups"]:
            group["weight"] = 0
        assert "every weight is 0" in refused(tmp_path, json.dumps(idle), *options)


def test_an_answer_without_a_number_is_still_json(tmp_path):
    file = tmp_path / "problem.json"
    file.write_text(changed(PLAIN, "budget", to=0))  # the power curve is minus infinity at 0
    told = CliRunner().invoke(main, ["allocate", str(file), "--json"], catch_exceptions=False)
    answer = json.loads(told.stdout, parse_constant=pytest.fail)
    assert answer["objective"] is None
    for_people = CliRunner().invoke(main, ["allocate", str(file)], catch_exceptions=False)
    assert "objective -" in for_people.output


@pytest.mark.parametrize("budget", [1e20, 1e300])
def test_a_budget_beyond_all_data_is_no_fault(tmp_path, budget):
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(two_by_two() | {"budget": budget}))
    told = CliRunner().invoke(main, ["allocate", "--joint", str(file)], catch_exceptions=False)
    assert json.loads(told.stdout)["verdict"] == "no difference"
