"""Learn to read images from a program alone: data, examples, training with restarts, and the score.

Labels are used twice: to put together examples that satisfy the program, and to score the finished
network. Training itself never sees one.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from nesy_gedi.data.images import ImageSet
from nesy_gedi.errors import unknown
from nesy_gedi.evaluation.clustering import clustering_score, predict
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.objectives import entropy
from nesy_gedi.gedi.trainer import EpochMetrics, Trainer, TrainingData
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.examples import sample_examples
from nesy_gedi.logic.klay_layers import KlayCircuit
from nesy_gedi.logic.program import Program, read_program

ENGINES: tuple[str, ...] = ("circuit", "klay", "deepproblog")
_RESTART_STRIDE = 1000  # keeps the seeds of restarts apart from those of other runs


@dataclass(frozen=True)
class SeedResult:
    """One seed's outcome.

    Attributes:
        accuracy, matched_accuracy, nmi: on the whole test set.
        seconds: wall time of training, restarts included, without scoring.
        restarts: trainings thrown away, because too few examples were satisfied.
        satisfied: share of the training examples whose most likely reading satisfies the program.
        constraint_loss: mean of -log p(constraint) over the last epoch, nats; None without the term.
    """

    seed: int
    accuracy: float
    matched_accuracy: float
    nmi: float
    seconds: float
    restarts: int
    satisfied: float
    constraint_loss: float | None


@dataclass(frozen=True)
class Attempt:
    """A finished training: its network and what the training itself can tell, without labels.

    Attributes:
        satisfied: share of the examples satisfied; a collapsed network satisfies all sums.
        collapsed: most images lie in one cluster.
        constraint_loss: mean of -log p(constraint) over the last epoch, nats; None without the term.
    """

    network: GEDINetwork
    satisfied: float
    collapsed: bool
    constraint_loss: float | None

    @property
    def merit(self) -> tuple[bool, float]:
        """What trainings are compared by, without labels; a collapsed one satisfies all sums."""
        return not self.collapsed, self.satisfied


class Learner:
    """A program and images, ready to be trained on with any number of seeds.

    Args:
        program_path: the ``.pl`` file.
        images: the data set.
        config: settings; the shapes of the network are taken from images and program.
        engine: ``circuit``, ``klay`` or ``deepproblog``, how the constraint is evaluated.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``.

    Raises:
        UserError: the program is wrong or missing, the engine unknown, or ``network.classes`` was set to
            another number than the program's domain has.
    """

    def __init__(
        self,
        program_path: Path,
        images: ImageSet,
        config: TrainConfig,
        engine: str = "circuit",
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        self.program = read_program(program_path)
        self.program.check_classes(config.network.classes)
        self.images, self.device, self.precision = images, device, precision
        channels, height, width = images.train_images.shape[1:]
        shapes = replace(config.network, channels=channels, image_height=height, image_width=width)
        self.config = replace(config, network=shapes)
        circuit = ConstraintCircuit(self.program, config.network.classes)
        self.worlds = circuit.satisfying_worlds()
        self.constraint = _constraint(engine, self.program, circuit)

    def optima(self) -> dict[str, float | None]:
        """Optimum of each of the method's terms, nats; None where there is none."""
        classes = self.config.network.classes
        log_prior = self._log_prior()
        prior = math.log(classes) if log_prior is None else entropy(log_prior.exp())
        if self.config.method.prior_form == "entropy":
            prior = -math.log(classes)
        optima = {"gen": None, "inv": 0.0, "prior": prior, "nesy": 0.0}
        return {term: value for term, value in optima.items() if self.config.method.uses(term)}

    def examples(self, count: int, seed: int) -> Tensor:
        """Positive examples ``(count, slots)``, positions in the training images.

        Raises:
            UserError: the images are too few.
        """
        generator = torch.Generator().manual_seed(seed)
        return sample_examples(self.worlds, self.images.train_labels, count, generator)

    def train(
        self, examples: Tensor, seed: int, on_epoch: Callable[[Trainer, EpochMetrics], None]
    ) -> Attempt:
        """Train one network on ``(count, slots)`` examples; labels play no part from here on."""
        images = self.images.train_images
        data = TrainingData(images, examples, self.constraint, self.worlds, self._log_prior())
        trainer = Trainer(self.config, data, seed, self.device, self.precision)
        metrics = None
        for metrics in trainer.run():
            on_epoch(trainer, metrics)
        assert metrics is not None
        assert metrics.satisfied is not None
        assert metrics.largest_cluster is not None
        collapsed = metrics.largest_cluster > self.config.naming.largest_cluster
        return Attempt(trainer.network, metrics.satisfied, collapsed, metrics.terms.get("nesy"))

    def _log_prior(self) -> Tensor | None:
        """The prior over classes; ``program`` is how often each occurs in the satisfying readings."""
        if self.config.prior == "uniform":
            return None
        uses = self.worlds.nonzero().flatten().bincount(minlength=len(self.worlds))
        return (uses / uses.sum()).log()

    def run_seed(
        self, count: int, seed: int, on_epoch: Callable[[int, Trainer, EpochMetrics], None]
    ) -> tuple[SeedResult, Attempt]:
        """Draw examples, train, start again while too few of them are satisfied, and score the best.

        A method without a prior collapses by design, and one without the constraint cannot know that
        its names are wrong: neither is started again.

        Args:
            count: number of examples.
            seed: decides examples and training.
            on_epoch: called with the attempt's number, the trainer and the metrics after every epoch.
        """
        started = time.perf_counter()
        examples = self.examples(count, seed)
        attempts: list[Attempt] = []
        naming, method = self.config.naming, self.config.method
        allowed = naming.restarts if method.uses("nesy") and method.uses("prior") else 0
        for number in range(allowed + 1):
            attempts.append(self.train(examples, seed + _RESTART_STRIDE * number, partial(on_epoch, number)))
            if attempts[-1].satisfied >= naming.restart_below and not attempts[-1].collapsed:
                break
        best = max(attempts, key=lambda attempt: attempt.merit)
        seconds = time.perf_counter() - started
        return self._score(best, seed, seconds, restarts=len(attempts) - 1), best

    def _score(self, attempt: Attempt, seed: int, seconds: float, restarts: int) -> SeedResult:
        predicted = predict(attempt.network, self.images.test_images)
        score = clustering_score(predicted, self.images.test_labels, self.config.network.classes)
        return SeedResult(
            seed=seed,
            accuracy=score.accuracy,
            matched_accuracy=score.matched_accuracy,
            nmi=score.nmi,
            seconds=seconds,
            restarts=restarts,
            satisfied=attempt.satisfied,
            constraint_loss=attempt.constraint_loss,
        )


def _constraint(engine: str, program: Program, circuit: ConstraintCircuit) -> nn.Module:
    if engine == "circuit":
        return circuit
    if engine == "klay":
        return ConstraintCircuit(program, evaluator=KlayCircuit)
    if engine == "deepproblog":
        # a second to import, and wanted only here
        from nesy_gedi.logic.predicate import DeepProbLogConstraint

        return DeepProbLogConstraint(program)
    raise unknown("engine", engine, ENGINES)
