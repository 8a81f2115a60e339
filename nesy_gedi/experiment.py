"""A whole experiment: from what the user asked to the run folder and the table at the end."""

import statistics
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nesy_gedi.data.mnist import resolve_data_dir
from nesy_gedi.data.sets import load_data_set
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import confusion, predict
from nesy_gedi.examples_file import read_examples
from nesy_gedi.gedi.checkpoint import WEIGHTS, save_network
from nesy_gedi.gedi.config import merge, parse_assignments
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.precision import choose_device, choose_precision
from nesy_gedi.gedi.trainer import EpochMetrics, Trainer
from nesy_gedi.learning import Attempt, Examples, Learner, SeedResult, learned_probabilities
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.examples import TooFewImagesError, parse_distribution
from nesy_gedi.logic.limits import Limits
from nesy_gedi.logic.program import read_program
from nesy_gedi.presets import load_preset
from nesy_gedi.reporting import figures
from nesy_gedi.reporting.progress import Progress
from nesy_gedi.reporting.run import CONFIG, METRICS, RESULT, RunFolder, environment, free_folder
from nesy_gedi.reporting.table import print_table, reading_sentence
from nesy_gedi.resources import resource

RECIPE = "addition"  # the presets in experiments/addition.toml serve every program
MEDIANS = ("accuracy", "matched_accuracy", "nmi", "seconds")


@dataclass(frozen=True)
class Request:
    """What the user asked; the fields are the options of ``nesy-gedi train``."""

    program: str | None = None
    query: str | None = None
    dataset: str = "mnist"
    examples: int = 1000
    distribution: str = "readings"
    examples_csv: str | None = None
    images: str | None = None
    variant: str = "combined"
    seeds: int = 1
    first_seed: int = 0
    epochs: int | None = None
    width: int | None = None
    engine: str = "circuit"
    preset: str = "default"
    data_dir: str | None = None
    precision: str = "auto"
    device: str = "auto"
    out: str | None = None
    assignments: tuple[str, ...] = ()
    trust_program: bool = False
    compile_timeout: float = 60.0


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
        self.preset = load_preset(RECIPE, request.preset, request.variant, changes)
        self.device = choose_device(request.device)
        self.precision = choose_precision(request.precision, self.device)
        program = None
        if request.program is not None:
            program = read_program(request.program, request.query, request.trust_program)
        elif request.query is not None or request.distribution != "readings":
            raise UserError("--query and --distribution are about a program: give one with --program")
        self.learner, self.examples = self._learner(program)
        self._check_classes(changes)
        slots = self.learner.examples(1, 0).images.shape[1] if program else 1
        epochs = request.epochs or self.preset.epochs(self.examples, slots)
        self.learner.config = replace(self.learner.config, epochs=epochs)
        self._check_examples()
        name = f"{self.name}-{request.variant}-{self.examples}"
        self.folder = RunFolder(Path(request.out) if request.out else free_folder(Path("runs"), name))
        self.folder.write_json(CONFIG, self.description())
        self.results: list[SeedResult] = []
        self.progress = Progress(console, epochs, self.learner.optima())
        self.trainer: Trainer | None = None

    @property
    def name(self) -> str:
        """The program's, else the data set's."""
        program = self.learner.program
        return program.path.stem if program is not None else self.request.dataset

    def _check_classes(self, changes: Mapping[str, Any]) -> None:
        """Refuse a number of classes that is not that of the program, or without one of the data set."""
        network = changes.get("network")
        asked = network.get("classes") if isinstance(network, Mapping) else None
        program, found = self.learner.program, len(self.learner.domain)
        if asked is None or asked == found:
            return
        if program is not None:
            program.check_classes(asked)
        raise UserError(f"network.classes={asked}, but {self.request.dataset} has {found}: leave it out")

    def _learner(self, program: Program | None) -> tuple[Learner, int]:
        """The learner, and the number of examples."""
        request, config = self.request, self.preset.config
        limits = Limits(request.compile_timeout)
        rest = (
            config,
            request.engine,
            self.device,
            self.precision,
            parse_distribution(request.distribution),
            limits,
        )
        if request.examples_csv is None and request.images is None:
            images = load_data_set(request.dataset, request.data_dir)
            return Learner(program, images, *rest), request.examples
        if program is None or request.examples_csv is None or request.images is None:
            raise UserError("--examples-csv and --images go together, with a --program: give all three")
        circuit = ConstraintCircuit(program, limits=limits)
        images, rows, readings = read_examples(circuit, Path(request.examples_csv), Path(request.images))
        learner = Learner(program, images, *rest)
        learner.give(Examples(rows, readings))
        return learner, len(rows)

    def _check_examples(self) -> None:
        try:
            self.learner.examples(self.examples, self.request.first_seed)
        except TooFewImagesError as error:
            if len(self.learner.images.train_images) >= 60_000:
                raise
            data_dir, _ = resolve_data_dir(self.request.data_dir)
            command = f"`nesy-gedi data fetch mnist --data-dir {data_dir}`"
            raise UserError(f"{error}; {command} fetches all 60,000 training images") from None

    def description(self) -> dict[str, Any]:
        """All that decided the run: settings, program, data, versions, commit."""
        program = self.learner.program
        return {
            "command": ["nesy-gedi", *sys.argv[1:]],
            "request": asdict(self.request),
            "config": asdict(self.learner.config),
            "program": program.source.text if program is not None else None,
            "query": str(program.query) if program is not None else None,
            "data": self.learner.images.describe(),
            "device": self.device,
            "precision": self.precision,
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
        title = f"{self.name}, {self.request.variant}, {self.examples:,} examples"
        print_table(self.console, title, self.results, self._published())
        reads_as = self.results[chosen].reads_as
        if program is not None and reads_as is not None:
            self._say(reading_sentence(self.learner.domain, reads_as))
        for head, value in attempts[chosen].probabilities.items():
            self._say(f"learned: {value:.3f} :: {head}")

    def _published(self) -> Mapping[str, float]:
        """The paper's figures, if the program is the paper's."""
        program = self.learner.program
        paper = resource("programs", "addition.pl").read_text(encoding="utf-8")
        if program is None or program.source.text != paper:
            return {}
        return self.preset.published.get(str(self.examples), {})

    def _on_epoch(self, attempt: int, trainer: Trainer, metrics: EpochMetrics) -> None:
        self.trainer = trainer
        seed = self.request.first_seed + len(self.results)
        self.folder.append_metrics({"seed": seed, "attempt": attempt, **asdict(metrics)})
        again = f" restart {attempt}" if attempt else ""
        self.progress.update(f"seed {seed}{again}", metrics)

    def _write_result(self) -> None:
        content: dict[str, Any] = {}
        for name in MEDIANS:
            values = [getattr(result, name) for result in self.results]
            content[name] = statistics.median(values) if None not in values else None
        content["seeds"] = [asdict(result) for result in self.results]
        self.folder.write_json(RESULT, content)

    def _save(self, network: GEDINetwork, probabilities: Mapping[str, float]) -> None:
        extra = {**self.description(), "probabilities": dict(probabilities)}
        save_network(network, self.folder.path / WEIGHTS, extra)

    def _draw(self, attempt: Attempt, seed: int) -> None:
        path, names = self.folder.path, self.learner.domain
        figures.terms_figure(path / "terms.png", path / METRICS, seed, self.learner.optima())
        test = self.learner.test_set()
        images = self.learner.images.train_images if test is None else test[0]
        predicted = predict(attempt.network, images)
        figures.classes_figure(path / "classes.png", images, predicted, names)
        if test is not None:
            figures.confusion_figure(path / "confusion.png", confusion(predicted, test[1], len(names)), names)

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)
