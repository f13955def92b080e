"""What the tables of the deduplication stage hold, column by column."""

from __future__ import annotations

RECORDS, DUPLICATES, FATES = (
    "deduplication/records",
    "deduplication/duplicates",
    "deduplication/fates",
)
CONTAINED, CLUSTERS = "deduplication/contained", "deduplication/clusters"
CONTAMINATION, SPANS = "deduplication/contamination", "deduplication/spans"
CUTS, CUT_RECORDS = "deduplication/cuts", "deduplication/cut_records"

#: by table: what a row is, and its columns
TABLES: dict[str, tuple[str, dict[str, str]]] = {
    RECORDS: (
        "One row a record that was read.",
        {
            "record_id": "string: 32 hex digits, stable under reordering and re-ingestion",
            "content_id": "string: what is learned from, without label and groups",
            "table": "string: source table",
            "position": "int64: row in it, counted from 0",
            "role": "string: train, evaluation or target",
            "text": "string: what is learned from",
            "features": "list: or numbers",
            "uri": "string: or an address",
            "label": "string: label",
            "rule": "int32: which rule of the recipe read it",
            "tokens": "int64: words and marks, or features",
        },
    ),
    DUPLICATES: (
        "One row a record that has a twin, with the record that is kept instead.",
        {
            "record_id": "string: record",
            "cluster": "string: smallest content id of the component",
            "kind": "string: exact or near",
            "keeper": "string: the record that stays",
            "similarity": "double: exact Jaccard with the keeper",
            "label_conflict": "bool: the twins carry different labels",
        },
    ),
    FATES: (
        "One row a record: what this stage decided; null for those that go on.",
        {
            "record_id": "string: record",
            "content_id": "string: content",
            "table": "string: source table",
            "fate": "string: duplicate, contaminated, evaluation, filtered, held_out or null",
            "reason": "string: why",
            "by": "string: in favour or because of which record",
            "since": "int32: with `survivor: incumbent`, when it came to be kept, counted in releases that kept "
            "something new; null otherwise",
        },
    ),
    CONTAINED: (
        "One row a table that was not read, because another table that was read holds all its rows; "
        "in a sampled run also one row a table of which rows lie outside the sample.",
        {
            "table": "string: table",
            "parent": "string: the table that was read; null for rows outside the sample",
            "rows": "int64: its rows, or how many of them lie outside the sample",
        },
    ),
    CLUSTERS: (
        "The largest clusters of twins, with two of their records side by side.",
        {
            "cluster": "string: smallest content id of the component",
            "records": "int64: in it",
            "kept": "int64: of these",
            "bytes_saved": "int64: length of those that are not kept",
            "pairs": "int64: verified pairs of distinct sets of shingles",
            "weakest": "double: the smallest similarity of a pair",
            "diameter": "int64: steps between the two contents farthest apart (a lower bound); 0: all are copies",
            "record_id": "string: a record that is kept",
            "twin_id": "string: the least similar one that is dropped for it",
            "similarity": "double: of these two; null: never compared",
            "text": "string: how the kept one begins",
            "twin_text": "string: how the dropped one begins",
        },
    ),
    CONTAMINATION: (
        "Spans that training texts share with evaluation or target texts, where the recipe asks for them.",
        {
            "content_id": "string: the training text, or the first of those equal to it as normalised",
            "against": "string: the evaluation or target record",
            "role": "string: its role",
            "tokens": "int64: length of the span",
            "start": "int64: first character in the training text",
            "end": "int64: the one after the last",
            "against_start": "int64: first character in the other text",
            "against_end": "int64: the one after the last",
        },
    ),
    SPANS: (
        "Spans that training texts which go on share with one another, where the recipe asks for them.",
        {
            "content_id": "string: a text",
            "start": "int64: first character",
            "end": "int64: the one after the last",
            "tokens": "int64: length of the span",
            "other": "string: content id of a text that has it too",
            "other_start": "int64: first character there",
            "other_end": "int64: the one after the last",
            "removable": "bool: the other text comes first in the survivor order",
        },
    ),
    CUTS: (
        "One row a span that is cut out of a record, where the recipe asks for it, and the record that keeps it.",
        {
            "record_id": "string: the record that loses it",
            "content_id": "string: its content as it was read",
            "start": "int64: first character, in the text as it was read",
            "end": "int64: the one after the last",
            "tokens": "int64: length of the span",
            "keeper": "string: the record that keeps it",
            "keeper_start": "int64: first character there, as it was read",
            "keeper_end": "int64: the one after the last",
        },
    ),
    CUT_RECORDS: (
        "One row a record that spans were cut out of, as it goes on; it stands in the place of its row in "
        "`deduplication/records`.",
        {
            "record_id": "string: the same as before",
            "content_id": "string: of what is left",
            "table": "string: source table",
            "position": "int64: row in it, counted from 0",
            "role": "string: train",
            "text": "string: what is left",
            "features": "list: none",
            "uri": "string: none",
            "label": "string: label",
            "rule": "int32: which rule of the recipe read it",
            "tokens": "int64: words and marks of what is left",
        },
    ),
}
