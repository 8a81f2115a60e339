"""The end of a run: medians and deviations, the paper's row, and which reading was learned."""

import io
import re
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nesy_gedi.evaluation.clustering import ClusteringScore
from nesy_gedi.reporting.table import print_table, reading_sentence
from nesy_gedi.results import SeedResult

PAPER = {"accuracy": 0.96, "nmi": 0.91}


def result(seed: int, accuracy: float, seconds: float = 60.0, restarts: int = 0) -> SeedResult:
    return SeedResult(
        seed=seed,
        score=ClusteringScore(accuracy, accuracy + 0.01, accuracy - 0.1, accuracy - 0.2, accuracy + 0.2),
        seconds=seconds,
        restarts=restarts,
        satisfied=0.9,
        terms={"nesy": 0.1},
        reads_as=(0, 1),
        probabilities={},
    )


def printed(results: list[SeedResult], published: dict[str, float], width: int = 100) -> list[str]:
    file = io.StringIO()
    print_table(Console(file=file, width=width), "addition, combined", results, ("paper, Table 6", published))
    return [line.rstrip() for line in file.getvalue().splitlines() if line.strip()]


def test_median_and_deviation_over_seeds() -> None:
    accuracies = [0.97, 0.5, 0.99, 0.98]
    results = [result(k, a, 10.0 * (k + 1), restarts=k) for k, a in enumerate(accuracies)]
    lines = printed(results, {})
    (row,) = (line for line in lines if "median of 4" in line)
    spread = f"{statistics.stdev(accuracies):.3f}"
    assert row.split("of 4")[1].split() == [
        *("0.975", "±", spread), *("0.985", "±", spread), *("0.875", "±", spread),
        "25", "6",
    ]  # fmt: skip


def test_one_seed_has_no_deviation() -> None:
    lines = printed([result(0, 0.987)], {})
    (row,) = (line for line in lines if "1 seed" in line)
    assert row.split() == ["1", "seed", "0.987", "0.997", "0.887", "60", "0"]
    assert not [line for line in lines if "paper" in line or "±" in line]


def test_clusters_without_names_have_no_accuracy_without_matching() -> None:
    file = io.StringIO()
    print_table(Console(file=file, width=100), "moons, gedi", [result(0, 0.5)], ("", {}), named=False)
    head, row = (line for line in file.getvalue().splitlines() if "NMI" in line or "1 seed" in line)
    assert re.split(r"\s{2,}", head.strip()) == [
        *("NMI", "ARI", "matched", "NMI per batch of 64", "seconds", "restarts")
    ]
    assert row.split() == ["1", "seed", "0.400", "0.300", "0.510", "0.700", "60", "0"]


def test_what_was_not_measured_is_a_dash_and_does_not_disturb() -> None:
    unlabelled = replace(result(1, 0.5), score=None)
    lines = printed([unlabelled], {})
    (row,) = (line for line in lines if "1 seed" in line)
    assert row.split() == ["1", "seed", "–", "–", "–", "60", "0"]
    both = printed([unlabelled, replace(unlabelled, seconds=30.0, restarts=2)], {})
    (row,) = (line for line in both if "median of 2" in line)
    assert row.split() == ["median", "of", "2", "–", "–", "–", "45", "2"]


@pytest.mark.parametrize(
    ("published", "cells"), [(PAPER, ["0.96", "0.91"]), ({"nmi": 0.29}, ["0.29"])], ids=["both", "nmi"]
)
def test_the_papers_row_stands_under_the_same_columns(published: dict[str, float], cells: list[str]) -> None:
    lines = printed([result(0, 0.987)], published)
    (head,) = (line for line in lines if "NMI" in line)
    (row,) = (line for line in lines if "paper, Table 6" in line)
    assert row.split("Table 6")[1].split() == cells
    assert row.index(cells[-1]) + len(cells[-1]) == head.index("NMI") + len("NMI")


def test_nothing_is_cut_off_or_wrapped_in_80_columns() -> None:
    results = [result(k, 0.9 + k / 100, 1000.0 * (k + 1), restarts=3) for k in range(10)]
    lines = printed(results, PAPER, width=80)
    assert lines[0].strip() == "addition, combined"
    assert not [line for line in lines if "…" in line]
    assert [line.count("±") for line in lines if "±" in line] == [3]
    assert len(lines) == 5  # title, heading, rule, ours, the paper's


def test_the_intended_reading_is_called_so() -> None:
    assert reading_sentence(["a", "b", "c"], [0, 1, 2]).startswith("every symbol is read as what it is")


def test_one_reading_for_all_is_told_by_its_name() -> None:
    sentence = reading_sentence(["no", "yes"], [1, 1])
    assert sentence == "every image is read as yes: a reasoning shortcut, or nothing learned"


@given(st.permutations(list("abcdef")), st.lists(st.integers(0, 5), min_size=6, max_size=6))
def test_each_class_that_is_read_as_another_is_named_and_no_other(names: list[str], reads: list[int]) -> None:
    sentence = reading_sentence(names, reads)
    wrong = [f"{names[k]} as {names[read]}" for k, read in enumerate(reads) if read != k]
    if wrong and len(set(reads)) > 1:
        start = "not the intended reading: "
        assert sentence.startswith(start)
        pairs, _, hint = sentence.removeprefix(start).partition(" (")
        assert pairs.split(", ") == wrong
        assert "nesy-gedi program audit" in hint
    else:
        assert "not the intended" not in sentence
    assert ("the intended reading" in sentence and "not" not in sentence) == (not wrong)
