"""One live display of a training on a terminal, plain lines elsewhere."""

from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nesy_gedi.gedi.trainer import EpochMetrics

_MOST_LINES = 50  # of one training, where there is no terminal


class Progress:
    """Shows every epoch: each term beside its optimum, images per second, time left. A context manager.

    Args:
        console: where to write; its kind decides between the display and lines.
        epochs: number of epochs of one training.
        optima: optimum of each term in nats; None where there is none.
    """

    def __init__(self, console: Console, epochs: int, optima: Mapping[str, float | None]) -> None:
        self.console, self.epochs, self.optima = console, epochs, optima
        self.seconds = 0.0
        self.live = (
            Live(console=console, transient=True, refresh_per_second=4) if console.is_interactive else None
        )

    def __enter__(self) -> "Progress":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live:
            self.live.stop()

    def update(self, title: str, metrics: EpochMetrics) -> None:
        """Show an epoch of the training called ``title``."""
        self.seconds = metrics.seconds if metrics.epoch == 1 else self.seconds + metrics.seconds
        left = round(self.seconds / metrics.epoch * (self.epochs - metrics.epoch))
        epoch = f"epoch {metrics.epoch}/{self.epochs}"
        pace = f"{metrics.images_per_second:,.0f} images/s"
        remaining = f"{left // 60}:{left % 60:02} left"
        if self.live:
            heading = Text(f"{title}  {epoch}  {pace}  {remaining}", style="bold")
            self.live.update(Group(heading, self._table(metrics), Text(_naming(metrics))), refresh=True)
            return
        every = -(-self.epochs // _MOST_LINES)
        if metrics.epoch % every and metrics.epoch not in (1, self.epochs) and not metrics.renamed:
            return
        terms = "  ".join(
            f"{term} {value:.3f}{self._optimum(term, ' ({})')}" for term, value in metrics.terms.items()
        )
        self.console.print(
            f"{title}  {epoch}  {terms}  {_naming(metrics)}{pace}  {remaining}", soft_wrap=True
        )

    def _table(self, metrics: EpochMetrics) -> Table:
        table = Table()
        table.add_column("term")
        table.add_column("nats", justify="right")
        table.add_column("optimum", justify="right")
        for term, value in metrics.terms.items():
            table.add_row(term, f"{value:.3f}", self._optimum(term, "{}"))
        return table

    def _optimum(self, term: str, form: str) -> str:
        optimum = self.optima.get(term)
        return "" if optimum is None else form.format(f"{optimum:.3f}")


def _naming(metrics: EpochMetrics) -> str:
    if metrics.satisfied is None:
        return ""
    renamed = ", clusters renamed" if metrics.renamed else ""
    return f"{metrics.satisfied:.1%} of the examples satisfied{renamed}  "
