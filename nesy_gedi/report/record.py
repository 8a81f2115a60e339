"""What a run wrote down: its description, the outcome of every seed, the log, later measures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.own_terms import epochs_of
from nesy_gedi.evaluation.report import read_results
from nesy_gedi.gedi.stability import Rollback
from nesy_gedi.results import SeedResult
from nesy_gedi.run_files import CONFIG, METRICS, RESULT


@dataclass(frozen=True)
class Record:
    """The files of a run's folder, read.

    Attributes:
        description: ``config.json``.
        seeds: outcomes, in the order of training; none of a run whose clusters were only named.
        kept: the seed whose network was kept.
        scores: of a run without seeds, by measure.
        evaluation: ``evaluation.json``, by measure.
    """

    folder: Path
    description: Mapping[str, Any]
    seeds: tuple[SeedResult, ...]
    kept: int | None
    scores: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | Path) -> "Record":
        """Read a finished run.

        Raises:
            UserError: there is no run, it is not finished, or a file is damaged.
        """
        path = Path(folder)
        if not (path / CONFIG).is_file():
            raise UserError(f"no run in {path}: name its folder, as in runs/addition-combined-1000")
        if not (path / RESULT).is_file():
            raise UserError(
                f"the run in {path} is not finished: `nesy-gedi train --resume {path}` goes on with it"
            )
        try:
            description = json.loads((path / CONFIG).read_text(encoding="utf-8"))
            result = json.loads((path / RESULT).read_text(encoding="utf-8"))
            seeds = tuple(SeedResult.from_row(row) for row in result.get("seeds", ()))
            description["request"]["seeds"], description["data"]["name"]
            kept = result["kept"] if seeds else None
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is damaged, or of another version ({type(error).__name__}: {error}): train it again"
            ) from error
        return cls(path, description, seeds, kept, result, read_results(path))

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.resolve().name

    @property
    def method(self) -> str:
        """A row of the table of methods."""
        return str(self.description["request"].get("variant"))

    @property
    def best(self) -> SeedResult | None:
        """The outcome of the seed whose network was kept."""
        return next((seed for seed in self.seeds if seed.seed == self.kept), None)

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The epochs of the training whose network was kept; none if the log does not hold it."""
        return [] if self.best is None else epochs_of(self.folder / METRICS, self.best.seed, self.best.terms)

    @property
    def restarts(self) -> int:
        """Trainings that were thrown away, of all seeds."""
        return sum(seed.restarts for seed in self.seeds)

    @property
    def rollbacks(self) -> list[tuple[int, Rollback]]:
        """Returns to an earlier state, with their seeds."""
        return [(seed.seed, rollback) for seed in self.seeds for rollback in seed.rollbacks]
