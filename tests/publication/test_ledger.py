"""The ledger: one line a record, and a balance that a lossy reader fails."""

from __future__ import annotations

import polars as pl
import pytest

from assets.publication.ledger import FATES, record_lines, table_lines, unbalanced

FATES_SO_FAR = pl.DataFrame(
    {
        "record_id": ["1", "2", "3", "4", "5"],
        "table": ["t"] * 4 + ["u"],
        "fate": [None, "duplicate", None, "held_out", "evaluation"],
        "reason": [None, "near duplicate", None, "held out", "role is evaluation"],
        "by": [None, "1", None, None, None],
    }
)
UNSELECTED = pl.DataFrame(
    {"record_id": ["3"], "fate": ["not_allocated"], "stage": ["allocation"], "reason": ["no room"]}
)


def lines() -> pl.DataFrame:
    return record_lines(FATES_SO_FAR, pl.DataFrame({"record_id": ["1"]}), UNSELECTED)


def test_every_record_has_one_line_with_its_fate() -> None:
    found = dict(lines().select("record_id", "fate").iter_rows())
    assert found == {
        "1": "published",
        "2": "duplicate",
        "3": "not_allocated",
        "4": "held_out",
        "5": "evaluation",
    }
    assert set(found.values()) <= set(FATES)
    assert lines()["reason"].null_count() == 0
    assert dict(lines().select("record_id", "stage").iter_rows())["3"] == "allocation"


def test_a_survivor_that_is_neither_chosen_nor_explained_is_an_error() -> None:
    with pytest.raises(ValueError, match="without a fate"):
        record_lines(FATES_SO_FAR, pl.DataFrame({"record_id": ["1"]}), UNSELECTED.clear())


def test_a_record_explained_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="got 6 lines"):
        record_lines(
            FATES_SO_FAR, pl.DataFrame({"record_id": ["1"]}), pl.concat([UNSELECTED, UNSELECTED])
        )


def test_the_balance_holds_with_contained_and_quarantined_rows_and_not_without() -> None:
    others = table_lines(
        pl.DataFrame({"table": ["v"], "parent": ["t"], "rows": [7]}),
        pl.DataFrame(
            {
                "table": ["t", "t", "w"],
                "position": [4, 9, None],
                "reason": ["ragged", "broken", "no Parquet"],
            },
            schema={"table": pl.String, "position": pl.Int64, "reason": pl.String},
        ),
        pl.DataFrame({"table": ["t", "u", "v"], "rows": [4, 1, 7]}),
    )
    counted = pl.DataFrame(
        {"table": ["t", "u", "v", "w"], "counted": [6, 1, 7, None]},
        schema={"table": pl.String, "counted": pl.Int64},
    )
    whole = pl.concat([lines(), others])
    assert unbalanced(whole.lazy(), counted).is_empty()
    assert others.filter(pl.col("table") == "t")["reason"][0] == "broken (and 1 more reasons)"
    # a reader that drops ragged rows without a word
    lossy = whole.filter(~((pl.col("fate") == "quarantined") & (pl.col("table") == "t")))
    assert unbalanced(lossy.lazy(), counted).to_dicts() == [
        {"table": "t", "counted": 6, "accounted": 4}
    ]
    # and a table that nobody mentions
    assert unbalanced(whole.filter(pl.col("table") != "u").lazy(), counted)["table"].to_list() == [
        "u"
    ]


def test_rows_outside_a_sample_have_a_line_of_their_own_and_are_missed_without_it() -> None:
    none = pl.DataFrame(schema={"table": pl.String, "position": pl.Int64, "reason": pl.String})
    outside = table_lines(
        pl.DataFrame({"table": ["t", "v"], "parent": [None, "t"], "rows": [9, 7]}),
        none,
        pl.DataFrame({"table": ["t", "v"], "rows": [13, 7]}),
    )
    found = {row["table"]: (row["fate"], row["rows"], row["by"]) for row in outside.to_dicts()}
    assert found == {"t": ("not_sampled", 9, None), "v": ("contained", 7, "t")}
    counted = pl.DataFrame({"table": ["t", "v"], "counted": [13, 7]})
    whole = pl.concat([lines().filter(pl.col("table") == "t"), outside])
    assert unbalanced(whole.lazy(), counted).is_empty()
    lossy = whole.filter(pl.col("fate") != "not_sampled")
    assert unbalanced(lossy.lazy(), counted)["table"].to_list() == ["t"]
