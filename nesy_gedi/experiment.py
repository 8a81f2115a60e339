"""A whole experiment: from what the user asked to the run folder and the table at the end."""

import statistics
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nesy_gedi.data.mnist import load_mnist, resolve_data_dir
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import confusion, predict
from nesy_gedi.gedi.checkpoint import WEIGHTS, save_network
from nesy_gedi.gedi.config import merge, parse_assignments
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.precision import choose_device, choose_precision
from nesy_gedi.gedi.trainer import EpochMetrics, Trainer
from nesy_gedi.learning import Attempt, Learner, SeedResult
from nesy_gedi.logic.examples import TooFewImagesError
from nesy_gedi.presets import load_preset
from nesy_gedi.reporting import figures
from nesy_gedi.reporting.progress import Progress
from nesy_gedi.reporting.run import CONFIG, METRICS, RESULT, RunFolder, environment, free_folder
from nesy_gedi.reporting.table import print_table
from nesy_gedi.resources import resource

MEDIANS = ("accuracy", "matched_accuracy", "nmi", "seconds")


@dataclass(frozen=True)
class Request:
    """What the user asked; the fields are the options of ``nesy-gedi addition``."""

    experiment: str
    examples: int
    variant: str
    seeds: int
    first_seed: int
    epochs: int | None
    width: int | None
    engine: str
    program: str | None
    preset: str
    data_dir: str | None
    precision: str
    device: str
    out: str | None
    assignments: tuple[str, ...]


class Experiment:
    """A request that has been checked, with its folder made.

    Everything that can be wrong with a request is found before the folder is made.

    Raises:
        UserError: the number of examples, a name, the program, the data or the folder is wrong.
    """

    def __init__(self, request: Request, console: Console) -> None:
        self.request, self.console = request, console
        if request.examples < 1:
            raise UserError(f"--examples {request.examples}: at least 1 is needed, for example 1000")
        changes = parse_assignments(request.assignments)
        if request.width:
            changes = merge({"network": {"width": request.width}}, changes)
        self.preset = load_preset(request.experiment, request.preset, request.variant, changes)
        epochs = request.epochs or self.preset.epochs(request.examples)
        self.device = choose_device(request.device)
        self.precision = choose_precision(request.precision, self.device)
        data_dir, explicit = resolve_data_dir(request.data_dir)
        self.images = load_mnist(data_dir, explicit)
        self.learner = Learner(
            Path(request.program) if request.program else resource("programs", f"{request.experiment}.pl"),
            self.images,
            replace(self.preset.config, epochs=epochs),
            request.engine,
            self.device,
            self.precision,
        )
        self._check_examples(data_dir)
        name = f"{request.experiment}-{request.variant}-{request.examples}"
        self.folder = RunFolder(Path(request.out) if request.out else free_folder(Path("runs"), name))
        self.folder.write_json(CONFIG, self.description())
        self.results: list[SeedResult] = []
        self.progress = Progress(console, epochs, self.learner.optima())
        self.trainer: Trainer | None = None

    def _check_examples(self, data_dir: Path) -> None:
        try:
            self.learner.examples(self.request.examples, self.request.first_seed)
        except TooFewImagesError as error:
            if len(self.images.train_images) >= 60_000:
                raise
            command = f"`nesy-gedi data fetch mnist --data-dir {data_dir}`"
            raise UserError(f"{error}; {command} fetches all 60,000 training images") from None

    def description(self) -> dict[str, Any]:
        """All that decided the run: settings, program, data, versions, commit."""
        return {
            "command": ["nesy-gedi", *sys.argv[1:]],
            "request": asdict(self.request),
            "config": asdict(self.learner.config),
            "program": self.learner.program.source.text,
            "data": self.images.describe(),
            "device": self.device,
            "precision": self.precision,
            "environment": environment(),
        }

    def run(self) -> None:
        """Train every seed, then write result, weights and pictures and print the table.

        On Ctrl-C the weights reached so far are kept, and the interrupt is passed on.
        """
        data = self.images.describe()
        size = f"{data['train']:,} images for training, {data['test']:,} for test"
        self._say(f"{data['name']}: {data['source']}, {size}, sha256 {data['sha256'][:12]}")
        self._say(f"run: {self.folder.path}")
        seeds = range(self.request.first_seed, self.request.first_seed + self.request.seeds)
        attempts: list[Attempt] = []
        try:
            with self.progress:
                for seed in seeds:
                    result, attempt = self.learner.run_seed(self.request.examples, seed, self._on_epoch)
                    attempts.append(attempt)
                    self.results.append(result)
                    self._write_result()
        except KeyboardInterrupt:
            if self.trainer is not None:
                self._save_weights(self.trainer.network)
            raise
        # several seeds, one network to use: the one that its own examples, not the labels, speak for
        chosen = max(range(len(attempts)), key=lambda k: attempts[k].merit)
        self._save_weights(attempts[chosen].network)
        self._draw(attempts[chosen].network, seeds[chosen])
        title = f"{self.request.experiment}, {self.request.variant}, {self.request.examples:,} examples"
        published = self.preset.published.get(str(self.request.examples), {})
        print_table(self.console, title, self.results, published)

    def _on_epoch(self, attempt: int, trainer: Trainer, metrics: EpochMetrics) -> None:
        self.trainer = trainer
        seed = self.request.first_seed + len(self.results)
        self.folder.append_metrics({"seed": seed, "attempt": attempt, **asdict(metrics)})
        again = f" restart {attempt}" if attempt else ""
        self.progress.update(f"seed {seed}{again}", metrics)

    def _write_result(self) -> None:
        content: dict[str, Any] = {
            name: statistics.median(getattr(result, name) for result in self.results) for name in MEDIANS
        }
        content["seeds"] = [asdict(result) for result in self.results]
        self.folder.write_json(RESULT, content)

    def _save_weights(self, network: GEDINetwork) -> None:
        save_network(network, self.folder.path / WEIGHTS, self.description())

    def _draw(self, network: GEDINetwork, seed: int) -> None:
        path, images, labels = self.folder.path, self.images.test_images, self.images.test_labels
        predicted = predict(network, images)
        classes = self.learner.config.network.classes
        figures.terms_figure(path / "terms.png", path / METRICS, seed, self.learner.optima())
        figures.confusion_figure(path / "confusion.png", confusion(predicted, labels, classes))
        figures.classes_figure(path / "digits.png", images, predicted, classes)

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)
