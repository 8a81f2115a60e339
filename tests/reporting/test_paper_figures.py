"""Figures over runs of several methods: every term has a panel, every optimum its line."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.failures import MODES
from nesy_gedi.reporting import paper_figures
from nesy_gedi.reporting.paper_figures import Panel, chains, samples, terms


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[plt.Figure]:
    """The figures that are drawn, instead of files."""
    drawn: list[plt.Figure] = []
    monkeypatch.setattr(paper_figures, "_save", lambda figure, path: drawn.append(figure) or [])
    yield drawn
    plt.close("all")


def panel(
    folder: Path, optima: dict[str, float | None], epochs: list[dict[str, float]], classes: int = 2
) -> Panel:
    folder.mkdir()
    write_log(folder, [epochs])
    kept = {"seed": 0, "terms": epochs[-1] if epochs else {}}
    (folder / "result.json").write_text(json.dumps({"seeds": [kept]}))
    return Panel(folder.name, folder, "moons", optima, classes, None)


def write_log(folder: Path, attempts: list[list[dict[str, float]]]) -> None:
    lines = [
        {"seed": 0, "attempt": number, "epoch": k + 1, "terms": found}
        for number, epochs in enumerate(attempts)
        for k, found in enumerate(epochs)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def solid(axis: plt.Axes) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in axis.lines if line.get_linestyle() == "-"}


def dashed(axis: plt.Axes) -> list[float]:
    return [float(line.get_ydata()[0]) for line in axis.lines if line.get_linestyle() == "--"]


def test_terms_of_all_methods_have_a_panel_and_every_optimum_a_line(
    tmp_path: Path, figures: list[plt.Figure]
) -> None:
    two, ten = math.log(2), math.log(10)
    runs = [
        panel(tmp_path / "jem", {"gen": None}, [{"gen": -1.0}, {"gen": -2.0}]),
        panel(
            tmp_path / "gedi",
            {"gen": None, "prior": two},
            [{"gen": 1.0, "prior": 0.9}, {"gen": 0.5, "prior": 0.7}],
        ),
        panel(
            tmp_path / "ten",
            {"inv": 0.0, "prior": ten},
            [{"inv": 2.0, "prior": 3.0}, {"inv": 1.0, "prior": 2.5}],
            10,
        ),
        panel(
            tmp_path / "again",
            {"inv": 0.0, "prior": ten},
            [{"inv": 2.0, "prior": 3.0}, {"inv": 1.0, "prior": 2.5}],
            10,
        ),
    ]
    terms(tmp_path / "figure", runs)
    gen, prior, inv, last = figures[0].axes
    assert [axis.get_title() for axis in (gen, prior, inv)] == ["gen", "prior", "inv"]
    assert solid(gen) == {"jem": [-1.0, -2.0], "gedi": [1.0, 0.5]}
    assert set(solid(prior)) == {"gedi", "ten", "again"}
    assert dashed(gen) == []
    assert dashed(prior) == pytest.approx([two, ten])
    assert dashed(inv) == [0.0]
    colours = {line.get_label(): line.get_color() for axis in (gen, prior, inv, last) for line in axis.lines}
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["jem", "gedi", "ten", "again"]
    handles = figures[0].legends[0].legend_handles
    assert [handle.get_color() for handle in handles] == [colours[run.title] for run in runs]


def test_a_run_is_judged_by_its_own_optima_and_classes(tmp_path: Path, figures: list[plt.Figure]) -> None:
    """A prior at ln 10 is balance for ten clusters, and collapse for two."""
    epochs = [{"inv": 0.0, "prior": math.log(10)}] * 2
    balanced = panel(tmp_path / "ten", {"inv": 0.0, "prior": math.log(10)}, epochs, 10)
    collapsed = panel(tmp_path / "two", {"inv": 0.0, "prior": math.log(2)}, epochs, 2)
    for order in ([balanced, collapsed], [collapsed, balanced]):
        terms(tmp_path / "figure", order)
    for figure in figures:
        found = {line.get_label(): list(line.get_ydata()) for line in figure.axes[-1].lines}
        cluster = MODES.index("cluster collapse")
        assert cluster in found["ten"]
        assert cluster not in found["two"]


def test_a_line_of_one_epoch_is_a_point(tmp_path: Path, figures: list[plt.Figure]) -> None:
    short = panel(tmp_path / "short", {"inv": 0.0}, [{"inv": 1.0}])
    long = panel(tmp_path / "long", {"inv": 0.0}, [{"inv": 1.0}, {"inv": 0.5}])
    terms(tmp_path / "figure", [short, long])
    markers = {line.get_label(): line.get_marker() for line in figures[0].axes[0].lines}
    assert (markers["short"], markers["long"]) == ("o", "None")


def test_the_training_that_was_kept_is_drawn_not_the_last(tmp_path: Path, figures: list[plt.Figure]) -> None:
    kept, worse = [{"inv": 1.0}, {"inv": 0.1}], [{"inv": 2.0}, {"inv": 0.7}]
    run = panel(tmp_path / "run", {"inv": 0.0}, kept)
    write_log(run.folder, [worse, kept, worse])
    terms(tmp_path / "figure", [run])
    assert solid(figures[0].axes[0]) == {"run": [1.0, 0.1]}


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{",
        "[]\n",
        '{"attempt": 0, "epoch": 1}\n',
        '{"attempt": 0, "epoch": 1, "terms": {"inv": null}}\n',
    ],
)
def test_a_damaged_log_is_told_in_one_line(tmp_path: Path, content: str | None) -> None:
    run = panel(tmp_path / "run", {"inv": 0.0}, [{"inv": 1.0}])
    path = run.folder / "metrics.jsonl"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged: remove the folder to train anew"):
        terms(tmp_path / "figure", [run])


@pytest.mark.parametrize("asked", [None, 3])
def test_titles_have_the_steps_that_were_taken(
    tmp_path: Path, figures: list[plt.Figure], monkeypatch: pytest.MonkeyPatch, asked: int | None
) -> None:
    def drawn(run: Path, count: int, steps: int | None, seed: int) -> SimpleNamespace:
        images = torch.zeros(count, 2, 1, 1) if run.name == "points" else torch.zeros(count, 1, 4, 4).byte()
        return SimpleNamespace(images=images, settings={"steps": steps or 20_000})

    monkeypatch.setattr(paper_figures, "draw_samples", drawn)
    monkeypatch.setattr(paper_figures, "load_network", lambda folder: None)
    monkeypatch.setattr(paper_figures, "draw_plane", lambda *arguments: None)
    points = panel(tmp_path / "points", {}, [])
    chains(tmp_path / "figure5", [points], {"moons": SimpleNamespace(test_images=None)}, asked)
    samples(tmp_path / "figure6", [panel(tmp_path / "images", {}, [])], asked)
    assert [figure.axes[0].get_title().split()[-2:] for figure in figures] == [
        ["20,000" if asked is None else "3", "steps"]
    ] * 2
