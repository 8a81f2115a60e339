"""A whole experiment: from what the user asked to the run folder and the table at the end."""

import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import confusion, predict
from nesy_gedi.evaluation.failures import verdicts
from nesy_gedi.gedi.checkpoint import save_network
from nesy_gedi.gedi.distributed import World
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.resuming import StateFiles
from nesy_gedi.gedi.trainer import EpochMetrics, Trainer
from nesy_gedi.reporting import figures
from nesy_gedi.reporting.progress import Progress
from nesy_gedi.reporting.published import published
from nesy_gedi.reporting.run import RunFolder, environment, free_folder, or_resume
from nesy_gedi.reporting.sinks import sinks_for
from nesy_gedi.reporting.table import print_table, reading_sentence, rollback_sentence
from nesy_gedi.request import Request, prepare
from nesy_gedi.results import Attempt, SeedResult, learned_probabilities
from nesy_gedi.run_files import METRICS, RESULT, WEIGHTS
from nesy_gedi.run_lock import training
from nesy_gedi.run_progress import RunProgress
from nesy_gedi.stopping import StoppedError, StopRequest
from nesy_gedi.stored_run import check_same, decisive, stored_request
from nesy_gedi.trained import known_of

MEDIANS = ("accuracy", "matched_accuracy", "nmi", "ari", "batch_nmi", "seconds")


class Experiment:
    """A request that has been checked, with its folder made.

    Everything that can be wrong with a request is found before the folder is made.

    Args:
        request: what to train.
        console: where to report.
        resumed: go on with the run in ``request.out``; see :meth:`resume`.

    Raises:
        UserError: the request is wrong, or the folder holds a run.
    """

    def __init__(self, request: Request, console: Console, resumed: bool = False) -> None:
        self.world = World()
        self.request, self.console = request, console if self.world.leads else Console(quiet=True)
        self.prepared = prepare(request)
        self.learner, self.examples = self.prepared.learner, self.prepared.examples
        name = "-".join([self.name, self.prepared.method, *([str(self.examples)] if self.examples else [])])
        path = Path(request.out) if request.out else None
        self.folder = self.world.once(
            lambda: RunFolder(path or free_folder(Path("runs"), name), resumed, self.world.leads)
        )
        self.folder.writes = self.world.leads
        self.folder.sinks = sinks_for(self.folder.path, request.csv, request.tensorboard)
        self.states = StateFiles(self.folder.path)
        self.reached = self._recovered() if resumed else RunProgress()
        if not resumed:
            self.folder.begin(self.description())
        self.progress = Progress(self.console, self.learner.config.epochs, self.learner.optima())
        self.stop = StopRequest()
        self.saved_at = time.monotonic()
        self.said: set[str] = set()  # of rollbacks

    @classmethod
    def resume(cls, run: str | Path, console: Console) -> "Experiment":
        """The experiment of an interrupted run, as it was when its state was last saved.

        Raises:
            UserError: there is no such run, it is finished, or program, data or settings have changed.
        """
        return cls(stored_request(Path(run)), console, resumed=True)

    def _recovered(self) -> RunProgress:
        """From the newest state that can be read; from the beginning if there is none."""
        check_same(self.folder.path, decisive(self.description()))
        config = self.learner.config.network
        reached = RunProgress()
        for state in self.states.load():
            if isinstance(state, str):
                self._say(f"{state}; the one before it is tried")
                continue
            reached = RunProgress.from_state(state, config, self.prepared.precision)
            break
        else:
            self._say("no state that can be read was saved yet: the run begins anew")
        with or_resume(self.folder.path):
            self.folder.keep_metrics(reached.lines)
        return reached

    @property
    def name(self) -> str:
        """The program's, else the data set's."""
        program = self.learner.program
        return program.path.stem if program is not None else Path(self.request.dataset).stem

    def description(self) -> dict[str, Any]:
        """All that decided the run: settings, program, data, versions, commit."""
        program = self.learner.program
        return {
            "command": ["nesy-gedi", *sys.argv[1:]],
            "request": {**asdict(self.request), "variant": self.prepared.method, "examples": self.examples},
            "config": asdict(self.learner.config),
            "program": program.source.text if program is not None else None,
            "query": str(program.query) if program is not None else None,
            "data": self.learner.images.describe(),
            "device": self.prepared.device,
            "precision": self.prepared.precision,
            "processes": self.world.size,
            "environment": environment(),
        }

    def run(self) -> None:
        """Train every seed that is left, then write result, weights and pictures and print the table.

        Raises:
            StoppedError: SIGINT or SIGTERM came; state and weights reached so far are saved.
            UserError: another process trains in the folder, or it can no longer be written.
        """
        alone = training(self.folder.path) if self.world.leads else nullcontext()
        with or_resume(self.folder.path), alone, closing(self.folder):
            self._announce()
            self._train()
            if self.world.leads:
                self._finish()

    def _finish(self) -> None:
        """Weights, pictures and table, when all seeds are trained."""
        # several seeds, one network to use: the one that its own examples, not the labels, speak for
        assert self.reached.best is not None
        place, chosen = self.reached.best
        known = known_of(chosen.network, self.learner.images)
        self._save(chosen.network, chosen.probabilities, known)
        self._draw(chosen, self.request.first_seed + place)
        self.states.remove()
        self._report(chosen, self.reached.results[place])
        if self.request.report:
            self._write_report()

    def _announce(self) -> None:
        data, program = self.learner.images.describe(), self.learner.program
        size = f"{data['train']:,} images for training, {data['test']:,} for test"
        self._say(f"{data['name']}: {data['source']}, {size}, sha256 {data['sha256'][:12]}")
        if program is not None:
            self._say(f"program: {program.path}, query {program.query}")
        self._say(f"run: {self.folder.path}")

    def _train(self) -> None:
        """All seeds that are left."""
        reached = self.reached
        with self.progress, self.stop:
            while len(reached.results) < self.request.seeds:
                seed = self.request.first_seed + len(reached.results)
                finished = self.learner.run_seed(
                    self.examples, seed, self._on_epoch, reached.seed, self._after_step
                )
                reached.finish_seed(*finished)
                self._write_result()

    def _after_step(self) -> None:
        """Save the state from time to time, and when a signal says that it is the last chance."""
        late = self.world.leads and time.monotonic() >= self.saved_at + self.request.save_seconds
        stopped, due = self.world.largest(self.stop.signal, late)
        if stopped:
            self._save_state()
            trainer = self.reached.seed.trainer
            assert trainer is not None
            self._save(trainer.network, learned_probabilities(trainer))
            again = f"`nesy-gedi train --resume {self.folder.path}` goes on where it stopped"
            raise StoppedError(int(stopped), f"interrupted; {again}")
        if due:
            self._save_state()

    def _save_state(self) -> None:
        state = self.reached.state()
        try:
            if self.world.leads:
                self.states.save(state)
        except OSError as error:
            self._say(f"the state cannot be saved ({error.strerror}): training goes on, the last one is kept")
        self.saved_at = time.monotonic()

    def _report(self, attempt: Attempt, result: SeedResult) -> None:
        """The table, and in sentences what was learned."""
        title = ", ".join(
            [self.name, self.prepared.method, *([f"{self.examples:,} examples"] if self.examples else [])]
        )
        named = self.learner.program is not None
        print_table(self.console, title, self.reached.results, published(self.description()), named)
        if result.reads_as is not None:
            self._say(reading_sentence(self.learner.domain, result.reads_as))
        for rollback in result.rollbacks:
            self._say(rollback_sentence(rollback))
        for head, value in attempt.probabilities.items():
            self._say(f"learned: {value:.3f} :: {head}")
        if not named:
            network = attempt.network.config
            units = network.projection or network.classes
            for verdict in verdicts(result.terms, self.learner.optima(), network.classes, units):
                state = {True: "ruled out", False: "not ruled out", None: "not decided by this method"}
                self._say(f"{verdict.mode}: {state[verdict.ruled_out]} ({verdict.reason})")

    def _write_report(self) -> None:
        # a second to import, and wanted only here
        from nesy_gedi.report.page import write_report

        try:
            self._say(f"report: {write_report(self.folder.path, self.learner)}")
        except UserError as error:  # the training is done and kept
            self._say(f"no report: {error}")

    def _on_epoch(self, attempt: int, trainer: Trainer, metrics: EpochMetrics) -> None:
        seed = self.request.first_seed + len(self.reached.results)
        self.folder.append_metrics({"seed": seed, "attempt": attempt, **asdict(metrics)})
        self.reached.lines += 1
        again = f" restart {attempt}" if attempt else ""
        for rollback in metrics.rollbacks:
            sentence = f"seed {seed}{again}  {rollback_sentence(rollback)}"
            if sentence not in self.said:
                self.said.add(sentence)
                self._say(sentence)
        self.progress.update(f"seed {seed}{again}", metrics)

    def _write_result(self) -> None:
        content: dict[str, Any] = {}
        rows = [result.row() for result in self.reached.results]
        for name in MEDIANS:
            values = [row[name] for row in rows]
            content[name] = statistics.median(values) if None not in values else None
        content["kept"] = self.request.first_seed + self.reached.best[0] if self.reached.best else None
        content["seeds"] = rows
        self.folder.write_json(RESULT, content)

    def _save(
        self, network: GEDINetwork, probabilities: Mapping[str, float], known: Mapping[str, Any] | None = None
    ) -> None:
        """Write the weights; with what images the network knows, when it is finished."""
        if not self.world.leads:
            return
        extra = {**self.description(), "probabilities": dict(probabilities), "known": dict(known or {})}
        save_network(network, self.folder.path / WEIGHTS, extra)

    def _draw(self, attempt: Attempt, seed: int) -> None:
        path, names = self.folder.path, self.learner.cluster_names
        figures.terms_figure(path / "terms.png", path / METRICS, seed, self.learner.optima())
        test = self.learner.test_set()
        images = self.learner.images.train_images if test is None else test[0]
        predicted = predict(attempt.network, images)
        if not images.is_floating_point():
            figures.classes_figure(path / "classes.png", images, predicted, names)
        elif images[0].numel() == 2:
            figures.plane_figure(path / "plane.png", attempt.network, images)
        if test is not None:
            labels = self.learner.domain
            table = confusion(predicted, test[1], len(names), len(labels))
            figures.confusion_figure(path / "confusion.png", table, labels, names)

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)
