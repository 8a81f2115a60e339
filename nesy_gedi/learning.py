"""Learn to read images from a program alone: data, examples, training with restarts, and the score.

Labels are used twice: to put together examples that satisfy the program, and to score the finished
network. Training itself never sees one.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from nesy_gedi.data.images import ImageSet, domain_labels
from nesy_gedi.errors import UserError, unknown
from nesy_gedi.evaluation.clustering import clustering_score, confusion, majority_reading, predict
from nesy_gedi.evaluation.own_terms import optima_of
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.trainer import EpochMetrics, Trainer, TrainingData
from nesy_gedi.logic.bound import ExampleConstraint, LogProbability
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.examples import ExampleSource
from nesy_gedi.logic.klay_layers import KlayCircuit
from nesy_gedi.logic.layers import LayeredCircuit
from nesy_gedi.logic.limits import Limits
from nesy_gedi.results import Attempt, Examples, SeedResult, excess, learned_probabilities
from nesy_gedi.run_progress import SeedProgress

ENGINES: tuple[str, ...] = ("circuit", "klay", "deepproblog")
_RESTART_STRIDE = 1000  # keeps the seeds of restarts apart from those of other runs


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
        self.config = config
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
            if self.circuit.compiled.always and config.method.uses("nesy"):
                raise program.source.error(
                    program.query, f"{program.query} holds whatever the images show: nothing to learn from it"
                )
            self.evaluate = _deepproblog(self.circuit) if engine == "deepproblog" else None
            self.source = ExampleSource(self.circuit, distribution)
        self.domain = domain
        channels, height, width = images.train_images.shape[1:]
        network = replace(
            config.network,
            classes=self._clusters(config.clusters),
            channels=channels,
            image_height=height,
            image_width=width,
        )
        self.config = replace(config, network=network)
        self.train_labels = self._labels(images.train_labels)
        self.test_labels = self._labels(images.test_labels)

    def _clusters(self, asked: int) -> int:
        """The number of clusters: what was asked for, else as many as there are classes."""
        known = len(self.domain)
        if self.program is not None and asked not in (0, known):
            self.program.check_classes(asked)
        if not (asked or known):
            raise UserError(
                f"{self.images.name} has no labels to count classes by: say how many clusters (--clusters 10)"
            )
        return asked or known

    @property
    def cluster_names(self) -> tuple[str, ...]:
        """The program's symbols; without a program, numbers, which have nothing to do with the classes."""
        if self.program is not None:
            return self.domain
        return tuple(str(k) for k in range(self.config.network.classes))

    def _labels(self, labels: Tensor | None) -> Tensor | None:
        if labels is None or self.program is None:
            return labels
        return domain_labels(self.images, labels, self.domain, str(self.program.path))

    def give(self, examples: Examples) -> None:
        """Train on these examples instead of drawing some."""
        self.given = examples

    def optima(self) -> dict[str, float | None]:
        """Optimum of each of the method's terms, nats; None where there is none."""
        certain = self.circuit is not None and self.circuit.certain
        classes = self.config.network.classes
        return optima_of(self.config.method, classes, self._log_prior(), certain)

    def examples(self, count: int | None, seed: int) -> Examples:
        """Positive examples: drawn from the labelled images, or those that were given.

        Without a program, ``count`` of the images, or all of them if it is None.

        Raises:
            UserError: the images are too few.
        """
        if self.given is not None:
            return self.given
        generator = torch.Generator().manual_seed(seed)
        if self.source is None:
            order = torch.randperm(len(self.images.train_images), generator=generator)
            if count is not None and count > len(order):
                raise UserError(f"{count} examples asked, but there are {len(order)} images: ask for fewer")
            return Examples(order[:count].unsqueeze(1), None)
        if self.train_labels is None:
            raise UserError(
                "the images have no labels to draw examples by: give the examples (--examples-csv)"
            )
        assert count is not None
        return Examples(*self.source.sample(self.train_labels, count, generator))

    def constraint(self, examples: Examples) -> ExampleConstraint | None:
        """The program's constraint on examples, with learnable probabilities of its own."""
        if self.circuit is None or examples.readings is None:
            return None
        circuit = copy.deepcopy(self.circuit) if self.circuit.program.parameters else self.circuit
        return ExampleConstraint(circuit, examples.readings, self.evaluate).to(self.device)

    def train(
        self,
        examples: Examples,
        seed: int,
        on_epoch: Callable[[Trainer, EpochMetrics], None],
        progress: SeedProgress | None = None,
        after_step: Callable[[], None] = lambda: None,
    ) -> Attempt:
        """Train one network, on from where ``progress`` has it; labels play no part from here on."""
        constraint = self.constraint(examples)
        images = self.images.train_images
        data = TrainingData(images, examples.images, constraint, self._log_prior())
        trainer = Trainer(self.config, data, seed, self.device, self.precision)
        progress = progress or SeedProgress()
        progress.begin(trainer)
        metrics, terms = None, progress.terms
        for metrics in trainer.run(after_step):
            terms |= metrics.terms
            on_epoch(trainer, metrics)
        assert metrics is not None
        collapsed = (metrics.largest_cluster or 0.0) > self.config.naming.largest_cluster
        return Attempt(
            trainer.network,
            terms,
            metrics.satisfied,
            collapsed,
            excess(terms, self.optima(), self.allowed()),
            learned_probabilities(trainer),
            metrics.rollbacks,
        )

    def allowed(self) -> dict[str, float]:
        """How far above its optimum a term may end, for the terms that the method has."""
        method, allowed = self.config.method, self.config.restart_above
        return {term: most for term, most in allowed.items() if method.uses(term)}

    def _log_prior(self) -> Tensor | None:
        """The prior over classes; ``program`` is how often each occurs in the satisfying readings."""
        if self.config.prior == "uniform" or self.source is None:
            return None
        given = self.given.readings if self.given is not None else None
        uses = self.source.expected_uses(given).clamp_min(1e-6)
        return (uses / uses.sum()).log().float()

    def run_seed(
        self,
        count: int | None,
        seed: int,
        on_epoch: Callable[[int, Trainer, EpochMetrics], None],
        progress: SeedProgress | None = None,
        after_step: Callable[[], None] = lambda: None,
    ) -> tuple[SeedResult, Attempt]:
        """Draw examples, train, begin anew while the training itself says that it failed, score the best.

        Args:
            count: number of examples; None for all images, without a program.
            seed: decides examples and training.
            on_epoch: called with the attempt's number, the trainer and the metrics after every epoch.
            progress: how far the seed had come; kept up to date, so that it can be saved after every step.
            after_step: called after every update; what it raises ends the training there.
        """
        progress = progress or SeedProgress()
        examples, attempts = self.examples(count, seed), progress.attempts
        for number in range(len(attempts), self._restarts() + 1):
            each = partial(on_epoch, number)
            attempt = self.train(examples, seed + _RESTART_STRIDE * number, each, progress, after_step)
            attempts.append(attempt)
            if self._succeeded(attempt):
                break
        best = max(attempts, key=lambda attempt: attempt.merit)
        return self._score(best, seed, progress.seconds, restarts=len(attempts) - 1), best

    def _restarts(self) -> int:
        """How often a training may be begun anew.

        A method without a prior collapses by design, one without the constraint cannot know that its
        names are wrong, and a program with probabilities of its own never holds for sure: none of these
        is started again on account of a program.
        """
        method, most = self.config.method, self.config.naming.restarts
        if self.circuit is None or not method.uses("nesy"):
            return most if self.config.restart_above else 0
        return most if method.uses("prior") and self.circuit.certain else 0

    def _succeeded(self, attempt: Attempt) -> bool:
        if self.circuit is None or not self.config.method.uses("nesy"):
            return attempt.excess == 0
        enough = (attempt.satisfied or 0.0) >= self.config.naming.restart_below
        return enough and not attempt.collapsed

    def test_set(self) -> tuple[Tensor, Tensor] | None:
        """The test images that the program can name, and their classes; None without labels.

        Returns:
            ``(n, channels, height, width)`` and ``(n,)``.
        """
        if self.test_labels is None:
            return None
        named = self.test_labels >= 0
        return self.images.test_images[named], self.test_labels[named]

    def _score(self, attempt: Attempt, seed: int, seconds: float, restarts: int) -> SeedResult:
        score, reads_as, test = None, None, self.test_set()
        if test is not None:
            predicted = predict(attempt.network, test[0])
            score = clustering_score(predicted, test[1], self.config.network.classes)
            if self.program is not None:
                reads_as = majority_reading(confusion(predicted, test[1], self.config.network.classes))
        return SeedResult(
            seed,
            score,
            seconds,
            restarts,
            attempt.terms,
            attempt.satisfied,
            reads_as,
            attempt.probabilities,
            attempt.rollbacks,
        )


def _deepproblog(circuit: ConstraintCircuit) -> LogProbability:
    # a second to import, and wanted only here
    from nesy_gedi.logic.predicate import DeepProbLogConstraint

    return DeepProbLogConstraint(circuit.program, circuit.compiled.answers)
