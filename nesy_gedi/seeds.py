"""A run of several seeds, each a job in ``OUT/seed-S``; ``OUT`` ends as if it had trained them."""

import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.own_terms import epochs_of
from nesy_gedi.experiment import Experiment
from nesy_gedi.gedi.checkpoint import load_network
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.jobs import Job
from nesy_gedi.launching import Launching, launch
from nesy_gedi.request import Request
from nesy_gedi.results import Attempt, SeedResult, excess
from nesy_gedi.run_files import CONFIG, METRICS, can_go_on
from nesy_gedi.run_progress import RunProgress
from nesy_gedi.stored_run import check_same, decisive, finished_seed, stored_request


def begin(request: Request, console: Console, launching: Launching) -> Experiment:
    """A new run: in this process, its seeds in one folder, or each a job.

    Raises:
        UserError: as for :class:`~nesy_gedi.experiment.Experiment`.
    """
    if launching.name == "here":
        return Experiment(request, console)
    return SeedSweep(request, console, launching)


def resume(run: str, console: Console, launching: Launching) -> Experiment:
    """An interrupted run of either kind; seeds that are jobs may go on by another launcher.

    Raises:
        UserError: as for :meth:`~nesy_gedi.experiment.Experiment.resume`, or a run that was begun in one
            process is to go on in several.
    """
    folder = Path(run)
    if launching.name == "here" and not any(folder.glob(f"seed-*/{CONFIG}")):
        return Experiment.resume(run, console)
    if can_go_on(folder):
        raise UserError(f"{run} was begun in one process and goes on in one: leave --launcher out")
    return SeedSweep(stored_request(folder), console, launching, resumed=True)


class SeedSweep(Experiment):
    """An experiment whose seeds are jobs.

    Args:
        request: what to train.
        console: where to report.
        launching: where the jobs run.
        resumed: go on with the run in ``request.out``.

    Raises:
        UserError: as for :class:`~nesy_gedi.experiment.Experiment`.
    """

    def __init__(
        self, request: Request, console: Console, launching: Launching, resumed: bool = False
    ) -> None:
        self.launching = launching
        super().__init__(request, console, resumed)

    def _recovered(self) -> RunProgress:
        """What there is lies in the folders of the seeds."""
        check_same(self.folder.path, decisive(self.description()))
        return RunProgress()

    def _train(self) -> None:
        jobs = self._jobs()
        again = f"`nesy-gedi train --resume {self.folder.path} --launcher {self.launching.name}` goes on"
        failed = launch(jobs, self.launching, self.console, f"{again} where it stopped")
        if failed:
            folder, error = next(iter(failed.items()))
            raise UserError(
                f"{len(failed)} of {len(jobs)} seeds failed: {folder}: {error}; {again} with them"
            )
        for job in jobs:
            self.reached.finish_seed(*self._outcome(job.folder))
        logs = [(job.folder / METRICS).read_text(encoding="utf-8") for job in jobs]
        self.folder.write_metrics("".join(logs))
        self._write_result()

    def _jobs(self) -> list[Job]:
        # device and precision as they are here: seeds of one run are not to differ by their machines
        base = replace(self.request, seeds=1, device=self.prepared.device, precision=self.prepared.precision)
        first, expected = self.request.first_seed, decisive(self.description())
        return [
            Job(
                replace(base, first_seed=seed, out=str(self.folder.path / f"seed-{seed}"), report=False),
                expected,
                tuple(sys.argv[1:]),
            )
            for seed in range(first, first + self.request.seeds)
        ]

    def _outcome(self, folder: Path) -> tuple[SeedResult, Attempt]:
        """What the training of a seed came to, as it would be known had it been here."""
        result, config = SeedResult.from_row(finished_seed(folder)), self.learner.config
        network = GEDINetwork(config.network, self.prepared.precision)
        network.load_state_dict(load_network(folder).state_dict())
        attempt = Attempt(
            network,
            result.terms,
            result.satisfied,
            _largest_cluster(folder, result.seed, result.terms) > config.naming.largest_cluster,
            excess(result.terms, self.learner.optima(), self.learner.allowed()),
            result.probabilities,
            result.rollbacks,
        )
        return result, attempt


def _largest_cluster(folder: Path, seed: int, terms: dict[str, float]) -> float:
    """At the end of the training that was kept."""
    epochs = epochs_of(folder / METRICS, seed, terms)
    if not epochs:
        raise UserError(f"{folder / METRICS} is damaged: remove the folder to train anew")
    return float(epochs[-1]["largest_cluster"] or 0.0)
