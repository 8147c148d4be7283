"""Rows that charts share."""

import polars as pl

from snql.reporting.kit import rows


def test_every_run_has_its_turn_where_rows_are_many() -> None:
    frame = pl.DataFrame({"run": ["a", "a", "a", "b", "c"], "row": range(5)})
    assert rows.fairly(frame, 4)["row"].to_list() == [0, 1, 3, 4]
    assert rows.fairly(frame, 2)["row"].to_list() == [0, 3]
