"""Out-of-distribution scores in a report: histograms and ROC curves, from what ``evaluate`` kept."""

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure
from sklearn.metrics import auc, roc_curve
from torch import Tensor

from nesy_gedi.evaluation.ood import detection, labelled_scores, read_scores
from nesy_gedi.report.pictures import chart

_BINS = 40


@dataclass(frozen=True)
class Curves:
    """One score on the run's own data and on another data set.

    Attributes:
        auroc: as :func:`~nesy_gedi.evaluation.ood.detection` gives it.
        fpr95: likewise.
        chart: histograms of the score, and the ROC curve.
    """

    other: str
    score: str
    auroc: float
    fpr95: float
    chart: Markup


def curves(folder: Path) -> list[Curves]:
    """A pair of figures for each other data set and score; none if nothing was compared."""
    inside, others = read_scores(folder)
    return [
        _curves(other, score, inside[score], values)
        for other, scores in others.items()
        for score, values in scores.items()
    ]


def _curves(other: str, score: str, inside: Tensor, outside: Tensor) -> Curves:
    figures = detection(inside, outside)
    false, true, _ = roc_curve(*labelled_scores(inside, outside))

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=[2, 1])
        shown = [inside.numpy(), outside.numpy()]
        left.hist(shown, _BINS, density=True, histtype="stepfilled", alpha=0.6, label=["own data", other])
        left.set(xlabel=score, ylabel="density")
        left.legend(fontsize=8)
        right.plot(false, true)
        right.plot([0, 1], [0, 1], linestyle="--", color="grey", linewidth=1)
        right.set(xlabel="others taken for own", ylabel="own recognised", aspect="equal")

    alt = (
        f"left: histograms of {score} on {len(inside)} own images and {len(outside)} of {other}; "
        f"right: their ROC curve, area {auc(false, true):.3f}"
    )
    return Curves(other, score, figures["auroc"], figures["fpr95"], chart(draw, alt))
