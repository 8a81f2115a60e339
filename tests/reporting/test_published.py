"""The paper's figures stand beside the same program or data and method, and beside nothing else."""

from typing import Any

import pytest

from nesy_gedi.reporting.published import published
from nesy_gedi.resources import resource

ADDITION = resource("programs", "addition.pl").read_text(encoding="utf-8")


def described(program: str | None, dataset: str, method: str, examples: int | None) -> dict[str, Any]:
    request = {"variant": method, "examples": examples, "preset": "cpu"}
    return {"program": program, "data": {"name": dataset}, "request": request}


@pytest.mark.parametrize(
    ("program", "dataset", "method", "examples", "where", "figures"),
    [
        (ADDITION, "mnist", "combined", 1000, "paper, Table 6", {"accuracy": 0.96, "nmi": 0.91}),
        (ADDITION, "mnist", "gedi", 1000, "paper, Table 6", {"nmi": 0.29}),
        (ADDITION, "mnist", "combined", 999, "paper, Table 6", {}),
        (ADDITION + "\n", "mnist", "combined", 1000, "paper", {}),
        (None, "moons", "gedi", None, "paper", {"nmi": 0.94}),
        (None, "circles", "gedi-no-gen", None, "paper", {"nmi": 0.83}),
        (None, "my moons", "gedi", None, "paper", {}),
    ],
)
def test_figures_of_the_paper(
    program: str | None,
    dataset: str,
    method: str,
    examples: int | None,
    where: str,
    figures: dict[str, float],
) -> None:
    """Table 6, and the means over five seeds of the toys."""
    assert published(described(program, dataset, method, examples)) == (where, figures)
