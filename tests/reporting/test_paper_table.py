"""Rows over seeds: mean or median, the deviation of a sample, and the paper's figure beside them."""

import csv
import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nesy_gedi.reporting.paper_table import PaperTable, TableRow, legends

ROW = TableRow("d", "m", (0, 1, 2), {"nmi": [0.0, 0.4, 1.1], "ari": [0.25]}, {"nmi": 0.9})


def table_of(row: TableRow, median: bool = False) -> PaperTable:
    return PaperTable("t", ("nmi", "ari", "seconds"), [row], median, ["made with care"])


@pytest.mark.parametrize(
    ("median", "cell"), [(False, "0.500 ± 0.557 (0.90)"), (True, "0.400 ± 0.557 (0.90)")]
)
def test_a_cell_has_middle_deviation_and_the_papers_figure(median: bool, cell: str) -> None:
    table = table_of(ROW, median)
    assert [table.cell(ROW, measure) for measure in table.measures] == [cell, "0.250", "–"]
    lines = table.markdown().splitlines()
    assert f"| d | m | 3 | {cell} | 0.250 | – |" in lines
    assert "| data | method | seeds | nmi | ari | seconds |" in lines
    assert lines[-1] == "made with care"


def test_remarks_have_a_column_if_there_are_some() -> None:
    row = TableRow("d", "m", (), {}, {"nmi": 0.9}, "not there")
    lines = table_of(row).markdown().splitlines()
    assert "| d | m | 0 | – (0.90) | – | – | not there |" in lines


@given(st.lists(st.floats(-1e6, 1e6), max_size=6), st.booleans())
def test_the_file_for_programs_has_every_digit(values: list[float], median: bool) -> None:
    row = TableRow("d, 100 examples", "m", tuple(range(len(values))), {"nmi": values}, {})
    first, *_ = csv.DictReader(table_of(row, median).comma_separated().splitlines())
    assert first["data"] == "d, 100 examples"
    assert int(first["seeds"]) == len(values)
    middle = first["median" if median else "mean"]
    if values:
        assert float(middle) == (statistics.median if median else statistics.mean)(values)
    else:
        assert middle == ""
    assert (first["std"] == "") == (len(values) < 2)


def test_columns_say_that_one_means_ruled_out() -> None:
    measures = ("representational", "cluster", "label", "at_optimum", "nmi")
    notes = legends(measures)
    assert len(notes) == 2
    assert "1 is ruled out in every seed, 0 in none" in notes[0]
    assert "`at_optimum` is the share of seeds" in notes[1]
    row = TableRow("d", "m", (0,), {"cluster": [1.0]}, {})
    table = PaperTable("t", measures, [row], notes=notes)
    text = table.markdown()
    assert (
        "| cluster collapse ruled out | label inconsistency ruled out | terms at their optimum | nmi |"
        in text
    )
    assert all(note in text for note in notes)
    content = json.loads(table.as_json("c", {}))
    assert content["notes"] == notes
    assert list(content["rows"][0]["values"]) == list(measures)  # names stay what programs read
    assert legends(("nmi", "seconds")) == []


def test_a_remark_cannot_break_the_table() -> None:
    row = TableRow("d", "m", (), {}, {}, "one|two\nthree")
    lines = table_of(row).markdown().splitlines()
    assert "| d | m | 0 | – | – | – | one\\|two three |" in lines
