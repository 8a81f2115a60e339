"""Further forms of the metrics log, made from its lines: ``metrics.csv``, and event files of TensorBoard."""

import csv
import importlib.util
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nesy_gedi.errors import UserError
from nesy_gedi.run_files import COMMA_SEPARATED, EVENTS, METRICS
from nesy_gedi.writing import write_whole

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_PLACE = ("seed", "attempt", "epoch")


class Sink(Protocol):
    """Follows the log of a run."""

    def append(self, row: Mapping[str, Any]) -> None:
        """Take in a line that was just added to the log."""

    def begin_anew(self) -> None:
        """The log was written anew; lines at its end may be gone."""

    def close(self) -> None:
        """No more lines will come."""


def sinks_for(folder: Path, comma_separated: bool, tensorboard: bool) -> list[Sink]:
    """What was asked for, in a run's folder."""
    asked: list[Sink] = [CommaSeparated(folder)] if comma_separated else []
    return [*asked, *([TensorBoard(folder)] if tensorboard else [])]


def check_tensorboard() -> None:
    """Look for the package.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "--tensorboard needs TensorBoard, which is not there: pip install 'nesy-gedi[tensorboard]'"
        )


class CommaSeparated:
    """``metrics.csv``: a row for each line of the log, nested values in columns such as ``terms.gen``.

    A term that does not count yet, or no longer, leaves its cell empty. Numbers are as in the log, lists are
    JSON.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.log, self.path = folder / METRICS, folder / COMMA_SEPARATED
        self.columns: list[str] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row; if it has new columns, write the file anew."""
        cells = flat(row)
        if not cells.keys() <= set(self.columns):
            self.begin_anew()
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(self._text([cells]))

    def begin_anew(self) -> None:
        """The whole log, with the columns that are in it."""
        rows = [flat(json.loads(line)) for line in self.log.read_text(encoding="utf-8").splitlines()]
        self.columns = list(dict.fromkeys(key for row in rows for key in row))
        header = dict(zip(self.columns, self.columns, strict=True))
        write_whole(self.path, self._text([header, *rows]) if rows else "")

    def close(self) -> None:
        """Nothing is open."""

    def _text(self, rows: Iterable[Mapping[str, Any]]) -> str:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows(
            [_cell(row.get(column)) for column in self.columns] for row in rows
        )
        return file.getvalue()


class TensorBoard:
    """Event files in ``tensorboard/seed-S``, and ``seed-S-restart-A`` for a training begun anew.

    Tags are ``terms/gen`` and the like, steps are epochs. Where a training goes over epochs again, because it
    was interrupted or ran away, what was written of them before is purged, as readers of event files know it.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / EVENTS
        self.writer: SummaryWriter | None = None
        self.next: tuple[Any, ...] = ()

    def append(self, row: Mapping[str, Any]) -> None:
        """Write an epoch's numbers so that they are there if the process is killed now."""
        place = tuple(row[key] for key in _PLACE)
        if self.writer is None or place != self.next:
            self._open(*place)
        assert self.writer is not None
        for name, value in flat(row).items():
            if isinstance(value, (int, float)) and name not in _PLACE:
                self.writer.add_scalar(name.replace(".", "/"), value, row["epoch"])
        self.writer.flush()
        self.next = (*place[:2], row["epoch"] + 1)

    def begin_anew(self) -> None:
        """What is gone is purged when the next line comes."""
        self.close()

    def close(self) -> None:
        """End the thread that writes."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _open(self, seed: int, attempt: int, epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # TensorBoard is an extra

        self.close()
        name = f"seed-{seed}" + (f"-restart-{attempt}" if attempt else "")
        self.writer = SummaryWriter(str(self.folder / name), purge_step=epoch)


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested table as one, its keys joined by dots."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
