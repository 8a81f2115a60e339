"""Learn to read images from a program alone: data, examples, training with restarts, and the score.

Labels are used twice: to put together examples that satisfy the program, and to score the finished
network. Training itself never sees one.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from nesy_gedi.data.images import ImageSet, domain_labels
from nesy_gedi.errors import UserError, unknown
from nesy_gedi.evaluation.clustering import clustering_score, confusion, majority_reading, predict
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.objectives import entropy
from nesy_gedi.gedi.trainer import EpochMetrics, Trainer, TrainingData
from nesy_gedi.logic.bound import ExampleConstraint, LogProbability
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.examples import ExampleSource, Readings
from nesy_gedi.logic.klay_layers import KlayCircuit
from nesy_gedi.logic.layers import LayeredCircuit
from nesy_gedi.logic.limits import Limits

ENGINES: tuple[str, ...] = ("circuit", "klay", "deepproblog")
_RESTART_STRIDE = 1000  # keeps the seeds of restarts apart from those of other runs


@dataclass(frozen=True)
class SeedResult:
    """One seed's outcome.

    Attributes:
        accuracy, matched_accuracy, nmi: on the whole test set; None where there are no labels.
        seconds: wall time of training, restarts included, without scoring.
        restarts: trainings thrown away, because too few examples were satisfied.
        satisfied: share of the training examples whose most likely reading satisfies the program; None
            without a program.
        constraint_loss: mean of -log p(constraint) over the last epoch, nats; None without the term.
        reads_as: for each class of the labels the one that most of its test images are read as.
        probabilities: the program's learnable probabilities as learned.
    """

    seed: int
    accuracy: float | None
    matched_accuracy: float | None
    nmi: float | None
    seconds: float
    restarts: int
    satisfied: float | None
    constraint_loss: float | None
    reads_as: tuple[int, ...] | None
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Examples:
    """What one network is trained on.

    Attributes:
        images: positions in the training images, ``(count, slots)``, int64.
        readings: what is known of the examples beside their images; None without a program.
    """

    images: Tensor
    readings: Readings | None


@dataclass(frozen=True)
class Attempt:
    """A finished training: its network and what the training itself can tell, without labels.

    Attributes:
        satisfied: share of the examples satisfied; a collapsed network satisfies all sums.
        collapsed: most images lie in one cluster.
        constraint_loss: mean of -log p(constraint) over the last epoch, nats; None without the term.
        probabilities: the program's learnable probabilities as learned.
    """

    network: GEDINetwork
    satisfied: float | None
    collapsed: bool
    constraint_loss: float | None
    probabilities: dict[str, float]

    @property
    def merit(self) -> tuple[bool, float]:
        """What trainings are compared by, without labels; a collapsed one satisfies all sums."""
        return not self.collapsed, self.satisfied or 0.0


class Learner:
    """A program and images, ready to be trained on with any number of seeds.

    Args:
        program: the checked program; None to find clusters without names.
        images: the data set.
        config: settings; the shapes of the network are taken from images and program.
        engine: ``circuit``, ``klay`` or ``deepproblog``, how the constraint is evaluated.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``.
        distribution: of the examples' readings; see :class:`~nesy_gedi.logic.examples.ExampleSource`.
        limits: of compiling the program.

    Raises:
        UserError: the program is wrong, the engine unknown, or the images do not fit the program.
    """

    def __init__(
        self,
        program: Program | None,
        images: ImageSet,
        config: TrainConfig,
        engine: str = "circuit",
        device: str = "cpu",
        precision: str = "fp32",
        distribution: str | Mapping[str, float] = "readings",
        limits: Limits | None = Limits(),  # noqa: B008 (frozen)
    ) -> None:
        if engine not in ENGINES:
            raise unknown("engine", engine, ENGINES)
        if program is None and config.method.uses("nesy"):
            raise UserError(
                "the method has a weight for nesy, but there is no program: give one with --program"
            )
        self.program, self.images, self.device, self.precision = program, images, device, precision
        self.circuit: ConstraintCircuit | None = None
        self.source: ExampleSource | None = None
        self.evaluate: LogProbability | None = None
        self.given: Examples | None = None
        domain = images.class_names
        if program is not None:
            domain = program.domains[program.single_network()]
            evaluator = KlayCircuit if engine == "klay" else LayeredCircuit
            self.circuit = ConstraintCircuit(program, evaluator, limits)
            self.evaluate = _deepproblog(self.circuit) if engine == "deepproblog" else None
            self.source = ExampleSource(self.circuit, distribution)
        self.domain = domain
        channels, height, width = images.train_images.shape[1:]
        network = replace(
            config.network, classes=len(domain), channels=channels, image_height=height, image_width=width
        )
        self.config = replace(config, network=network)
        self.train_labels = self._labels(images.train_labels)
        self.test_labels = self._labels(images.test_labels)

    def _labels(self, labels: Tensor | None) -> Tensor | None:
        if labels is None or self.program is None:
            return labels
        return domain_labels(self.images, labels, self.domain, str(self.program.path))

    def give(self, examples: Examples) -> None:
        """Train on these examples instead of drawing some."""
        self.given = examples

    def optima(self) -> dict[str, float | None]:
        """Optimum of each of the method's terms, nats; None where there is none."""
        classes = self.config.network.classes
        log_prior = self._log_prior()
        prior = math.log(classes) if log_prior is None else entropy(log_prior.exp())
        if self.config.method.prior_form == "entropy":
            prior = -math.log(classes)
        certain = self.circuit is None or self.circuit.certain
        optima = {"gen": None, "inv": 0.0, "prior": prior, "nesy": 0.0 if certain else None}
        return {term: value for term, value in optima.items() if self.config.method.uses(term)}

    def examples(self, count: int, seed: int) -> Examples:
        """Positive examples: drawn from the labelled images, or those that were given.

        Raises:
            UserError: the images are too few.
        """
        if self.given is not None:
            return self.given
        generator = torch.Generator().manual_seed(seed)
        if self.source is None:
            order = torch.randperm(len(self.images.train_images), generator=generator)
            if count > len(order):
                raise UserError(f"{count} examples asked, but there are {len(order)} images: ask for fewer")
            return Examples(order[:count].unsqueeze(1), None)
        if self.train_labels is None:
            raise UserError(
                "the images have no labels to draw examples by: give the examples (--examples-csv)"
            )
        return Examples(*self.source.sample(self.train_labels, count, generator))

    def constraint(self, examples: Examples) -> ExampleConstraint | None:
        """The program's constraint on examples, with learnable probabilities of its own."""
        if self.circuit is None or examples.readings is None:
            return None
        circuit = copy.deepcopy(self.circuit) if self.circuit.program.parameters else self.circuit
        return ExampleConstraint(circuit, examples.readings, self.evaluate).to(self.device)

    def train(
        self, examples: Examples, seed: int, on_epoch: Callable[[Trainer, EpochMetrics], None]
    ) -> Attempt:
        """Train one network; labels play no part from here on."""
        constraint = self.constraint(examples)
        images = self.images.train_images
        data = TrainingData(images, examples.images, constraint, self._log_prior())
        trainer = Trainer(self.config, data, seed, self.device, self.precision)
        metrics = None
        for metrics in trainer.run():
            on_epoch(trainer, metrics)
        assert metrics is not None
        collapsed = (metrics.largest_cluster or 0.0) > self.config.naming.largest_cluster
        loss, probabilities = metrics.terms.get("nesy"), learned_probabilities(trainer)
        return Attempt(trainer.network, metrics.satisfied, collapsed, loss, probabilities)

    def _log_prior(self) -> Tensor | None:
        """The prior over classes; ``program`` is how often each occurs in the satisfying readings."""
        if self.config.prior == "uniform" or self.source is None:
            return None
        given = self.given.readings if self.given is not None else None
        uses = self.source.expected_uses(given).clamp_min(1e-6)
        return (uses / uses.sum()).log().float()

    def run_seed(
        self, count: int, seed: int, on_epoch: Callable[[int, Trainer, EpochMetrics], None]
    ) -> tuple[SeedResult, Attempt]:
        """Draw examples, train, start again while too few of them are satisfied, and score the best.

        A method without a prior collapses by design, one without the constraint cannot know that its
        names are wrong, and a program with probabilities of its own never holds for sure: none of these
        is started again.

        Args:
            count: number of examples.
            seed: decides examples and training.
            on_epoch: called with the attempt's number, the trainer and the metrics after every epoch.
        """
        started = time.perf_counter()
        examples = self.examples(count, seed)
        attempts: list[Attempt] = []
        naming, method = self.config.naming, self.config.method
        knows = method.uses("nesy") and method.uses("prior") and self.circuit is not None
        allowed = naming.restarts if knows and self.circuit is not None and self.circuit.certain else 0
        for number in range(allowed + 1):
            attempts.append(self.train(examples, seed + _RESTART_STRIDE * number, partial(on_epoch, number)))
            if (attempts[-1].satisfied or 0.0) >= naming.restart_below and not attempts[-1].collapsed:
                break
        best = max(attempts, key=lambda attempt: attempt.merit)
        seconds = time.perf_counter() - started
        return self._score(best, seed, seconds, restarts=len(attempts) - 1), best

    def test_set(self) -> tuple[Tensor, Tensor] | None:
        """The test images that the program can name, and their classes; None without labels."""
        if self.test_labels is None:
            return None
        named = self.test_labels >= 0
        return self.images.test_images[named], self.test_labels[named]

    def _score(self, attempt: Attempt, seed: int, seconds: float, restarts: int) -> SeedResult:
        score, reads_as, test = None, None, self.test_set()
        if test is not None:
            classes = self.config.network.classes
            predicted = predict(attempt.network, test[0])
            score = clustering_score(predicted, test[1], classes)
            reads_as = majority_reading(confusion(predicted, test[1], classes))
        return SeedResult(
            seed=seed,
            accuracy=score.accuracy if score else None,
            matched_accuracy=score.matched_accuracy if score else None,
            nmi=score.nmi if score else None,
            seconds=seconds,
            restarts=restarts,
            satisfied=attempt.satisfied,
            constraint_loss=attempt.constraint_loss,
            reads_as=reads_as,
            probabilities=attempt.probabilities,
        )


def learned_probabilities(trainer: Trainer) -> dict[str, float]:
    """The program's learnable probabilities as they are now."""
    constraint = trainer.constraint
    return constraint.circuit.probabilities.described() if isinstance(constraint, ExampleConstraint) else {}


def _deepproblog(circuit: ConstraintCircuit) -> LogProbability:
    # a second to import, and wanted only here
    from nesy_gedi.logic.predicate import DeepProbLogConstraint

    return DeepProbLogConstraint(circuit.program, circuit.compiled.answers)
