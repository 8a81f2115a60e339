"""A whole experiment: from what the user asked to the run folder and the table at the end."""

import statistics
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from nesy_gedi.evaluation.clustering import confusion, predict
from nesy_gedi.evaluation.failures import verdicts
from nesy_gedi.gedi.checkpoint import WEIGHTS, save_network
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.trainer import EpochMetrics, Trainer
from nesy_gedi.reporting import figures
from nesy_gedi.reporting.progress import Progress
from nesy_gedi.reporting.run import CONFIG, METRICS, RESULT, RunFolder, environment, free_folder
from nesy_gedi.reporting.table import print_table, reading_sentence
from nesy_gedi.request import Request, prepare
from nesy_gedi.resources import resource
from nesy_gedi.results import Attempt, SeedResult, learned_probabilities

MEDIANS = ("accuracy", "matched_accuracy", "nmi", "ari", "batch_nmi", "seconds")


class Experiment:
    """A request that has been checked, with its folder made.

    Everything that can be wrong with a request is found before the folder is made.

    Raises:
        UserError: the request is wrong, or the folder holds a run.
    """

    def __init__(self, request: Request, console: Console) -> None:
        self.request, self.console = request, console
        self.prepared = prepare(request)
        self.learner, self.examples = self.prepared.learner, self.prepared.examples
        name = "-".join([self.name, self.prepared.method, *([str(self.examples)] if self.examples else [])])
        self.folder = RunFolder(Path(request.out) if request.out else free_folder(Path("runs"), name))
        self.folder.write_json(CONFIG, self.description())
        self.results: list[SeedResult] = []
        self.progress = Progress(console, self.learner.config.epochs, self.learner.optima())
        self.trainer: Trainer | None = None

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
            "environment": environment(),
        }

    def run(self) -> None:
        """Train every seed, then write result, weights and pictures and print the table.

        On Ctrl-C the weights reached so far are kept, and the interrupt is passed on.
        """
        data, program = self.learner.images.describe(), self.learner.program
        size = f"{data['train']:,} images for training, {data['test']:,} for test"
        self._say(f"{data['name']}: {data['source']}, {size}, sha256 {data['sha256'][:12]}")
        if program is not None:
            self._say(f"program: {program.path}, query {program.query}")
        self._say(f"run: {self.folder.path}")
        seeds = range(self.request.first_seed, self.request.first_seed + self.request.seeds)
        attempts: list[Attempt] = []
        try:
            with self.progress:
                for seed in seeds:
                    result, attempt = self.learner.run_seed(self.examples, seed, self._on_epoch)
                    attempts.append(attempt)
                    self.results.append(result)
                    self._write_result()
        except KeyboardInterrupt:
            if self.trainer is not None:
                self._save(self.trainer.network, learned_probabilities(self.trainer))
            raise
        # several seeds, one network to use: the one that its own examples, not the labels, speak for
        chosen = max(range(len(attempts)), key=lambda k: attempts[k].merit)
        self._save(attempts[chosen].network, attempts[chosen].probabilities)
        self._draw(attempts[chosen], seeds[chosen])
        self._report(attempts[chosen], self.results[chosen])

    def _report(self, attempt: Attempt, result: SeedResult) -> None:
        """The table, and in sentences what was learned."""
        title = ", ".join(
            [self.name, self.prepared.method, *([f"{self.examples:,} examples"] if self.examples else [])]
        )
        named = self.learner.program is not None
        print_table(self.console, title, self.results, self._published(), named)
        if result.reads_as is not None:
            self._say(reading_sentence(self.learner.domain, result.reads_as))
        for head, value in attempt.probabilities.items():
            self._say(f"learned: {value:.3f} :: {head}")
        if not named:
            network = attempt.network.config
            units = network.projection or network.classes
            for verdict in verdicts(result.terms, self.learner.optima(), network.classes, units):
                state = {True: "ruled out", False: "not ruled out", None: "not decided by this method"}
                self._say(f"{verdict.mode}: {state[verdict.ruled_out]} ({verdict.reason})")

    def _published(self) -> Mapping[str, float]:
        """The paper's figures, if the program is the paper's."""
        program = self.learner.program
        paper = resource("programs", "addition.pl").read_text(encoding="utf-8")
        if program is None or program.source.text != paper:
            return {}
        return self.prepared.preset.published.get(str(self.examples), {})

    def _on_epoch(self, attempt: int, trainer: Trainer, metrics: EpochMetrics) -> None:
        self.trainer = trainer
        seed = self.request.first_seed + len(self.results)
        self.folder.append_metrics({"seed": seed, "attempt": attempt, **asdict(metrics)})
        again = f" restart {attempt}" if attempt else ""
        self.progress.update(f"seed {seed}{again}", metrics)

    def _write_result(self) -> None:
        content: dict[str, Any] = {}
        rows = [result.row() for result in self.results]
        for name in MEDIANS:
            values = [row[name] for row in rows]
            content[name] = statistics.median(values) if None not in values else None
        content["seeds"] = rows
        self.folder.write_json(RESULT, content)

    def _save(self, network: GEDINetwork, probabilities: Mapping[str, float]) -> None:
        extra = {**self.description(), "probabilities": dict(probabilities)}
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
