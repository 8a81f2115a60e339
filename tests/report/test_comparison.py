"""What stands in a comparison of runs, against their files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pages import Page, trained

from nesy_gedi.cli import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of three seeds have a partner."""
    torch.set_num_threads(1)
    here = tmp_path_factory.mktemp("runs")
    common = {"dataset": "moons", "variant": "gedi-no-gen", "examples": 400, "width": 8, "report": False}
    trained(str(here / "short"), seeds=3, **common)
    trained(str(here / "long"), seeds=2, first_seed=1, **{**common, "epochs": 30})
    return here


def seeds(run: Path) -> dict[int, dict[str, float]]:
    return {row["seed"]: row for row in json.loads((run / "result.json").read_text())["seeds"]}


def test_runs_beside_each_other_paired_by_seed(runs: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(runs / "short"), str(runs / "long")])
    assert (result.exit_code, result.stdout) == (0, f"{runs}/comparison.html\n"), result.output
    page = Page(runs / "comparison.html")
    short, long = seeds(runs / "short"), seeds(runs / "long")
    rows = {row[0]: row[1:] for row in page.tables["figures"][1:]}
    assert page.tables["figures"][0] == ["measure", "short", "long", "long more than short"]
    for measure in ("nmi", "matched_accuracy"):
        one, two = ([row[measure] for row in found.values()] for found in (short, long))
        apart = [long[seed][measure] - short[seed][measure] for seed in (1, 2)]
        figures = [(np.mean(v), np.std(v, ddof=1)) for v in (one, two, apart)]
        texts = [
            f"{mean:{sign}.3f} ± {spread:.3f}"
            for (mean, spread), sign in zip(figures, ("", "", "+"), strict=True)
        ]
        assert rows[measure.replace("_", " ")] == texts
    assert [row[:2] for row in page.tables["seeds"][1:]] == [
        *(["short", str(seed)] for seed in (0, 1, 2)), *(["long", str(seed)] for seed in (1, 2)),
    ]  # fmt: skip
    settings = {row[0]: row[1:] for row in page.tables["settings"][1:]}
    assert settings["config.epochs"] == ["2", "30"]
    assert not any(name.startswith("config.method") for name in settings)


def test_its_pictures_have_texts_and_nothing_comes_from_elsewhere(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "both.html"
    result = CliRunner().invoke(main, ["report", str(runs / "short"), str(runs / "long"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    page = Page(out)
    assert "NMI of each of 3 seeds in short, long" in page.charts
    assert len([alt for alt in page.charts if alt.startswith("the terms over")]) == 2
    assert [address for address in page.loaded if not address.startswith(("data:", "#"))] == []
    assert len(page.ids) == len(set(page.ids))


def test_a_run_that_is_none_is_named(runs: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(runs / "short"), str(tmp_path)])
    assert result.exit_code == 2
    assert f"no run in {tmp_path}" in result.stderr
    assert list(tmp_path.iterdir()) == []
