"""The one training loop: images in, a trained network out, for every method in the table."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nesy_gedi.data.images import to_float, value_range
from nesy_gedi.errors import UserError
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.constraint import Constraint
from nesy_gedi.gedi.distributed import World, parallel
from nesy_gedi.gedi.naming import Clusters, best_namings, rename_clusters
from nesy_gedi.gedi.networks import GEDINetwork, energy_of
from nesy_gedi.gedi.objectives import squared_energy
from nesy_gedi.gedi.optimizers import make_optimizers, set_learning_rate
from nesy_gedi.gedi.sampler import ReplayBuffer, Support, sample_step
from nesy_gedi.gedi.stability import DivergedError, Guard, Rollback
from nesy_gedi.gedi.terms import TERMS, StepOutputs

_INITIAL_IMAGES = 600  # images that the start of the projector is centred on


@dataclass(frozen=True)
class TrainingData:
    """What a network is trained on; there are no labels in it.

    Attributes:
        images: uint8 ``(n, channels, height, width)``, or float32 ``(n, d, 1, 1)`` for vectors.
        examples: int64 ``(examples, slots)``, indices into ``images``; one slot where there is no
            constraint.
        constraint: what holds of the images of each example.
        log_prior: ``(classes,)``, the prior p(y); uniform if absent.
    """

    images: Tensor
    examples: Tensor
    constraint: Constraint | None = None
    log_prior: Tensor | None = None


@dataclass
class EpochMetrics:
    """What an epoch came to: means of the terms (nats), speed, and what the naming did.

    Attributes:
        epoch: from 1.
        terms: mean of each, nats.
        images_per_second: of the examples.
        seconds: of this epoch.
        satisfied: share of the examples whose most likely reading satisfies the constraint, when counted.
        largest_cluster: share of the images in the largest cluster, when counted.
        renamed: whether the clusters were given other names.
        rollbacks: returns to an earlier state so far in this training.
    """

    epoch: int
    terms: dict[str, float]
    images_per_second: float
    seconds: float
    satisfied: float | None = None
    largest_cluster: float | None = None
    renamed: bool = False
    rollbacks: tuple[Rollback, ...] = ()


class Trainer:
    """Trains one network; iterate over :meth:`run` and read ``network`` at any time.

    Args:
        config: all settings.
        data: images, examples and constraint.
        seed: decides initial weights, order, views and chains; equal seeds give equal weights on the
            same machine with the same number of threads.
        device: ``cpu`` or ``cuda``.
        precision: one of :data:`~nesy_gedi.gedi.precision.PRECISIONS` but ``auto``, for the encoder.

    Raises:
        UserError: the method wants a constraint and there is none.
    """

    def __init__(
        self, config: TrainConfig, data: TrainingData, seed: int, device: str = "cpu", precision: str = "fp32"
    ) -> None:
        if config.method.uses("nesy") and data.constraint is None:
            raise UserError("the method has a weight for nesy, but there is no program; give one")
        self.world = World()  # the processes that train together, all with the same arguments
        self.config, self.data, self.device = config, data, device
        self.seed = self.world.seed(seed)
        self.images = data.images.to(device)
        self.examples = data.examples.to(device)
        self.constraint = data.constraint
        classes = config.network.classes
        uniform = torch.full((classes,), -math.log(classes))
        self.log_prior = (uniform if data.log_prior is None else data.log_prior).to(device)
        self.generator = torch.Generator(device).manual_seed(self.seed)
        self.naming_generator = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = GEDINetwork(config.network, precision).to(device)
        if config.network.initialisation == "centred":
            self.network.centre(self._pixels(self.examples.flatten()[:_INITIAL_IMAGES]))
        self.optimizers = make_optimizers(
            self.network,
            config.optimizer,
            config.learning_rate,
            config.muon_learning_rate,
            config.weight_decay,
            config.beta2,
            list(data.constraint.parameters()) if data.constraint is not None else [],
        )
        self.parallel = parallel(self.network, self.world)
        self.support = Support(*value_range(data.images), data.images.dtype == torch.uint8)
        self.buffer = (
            ReplayBuffer(
                tuple(self.images.shape[1:]), config.sampler.buffer_size, self.generator, self.support
            )
            if config.method.uses("gen")
            else None
        )
        self.sampler = replace(config.sampler, count=self.world.share(config.sampler.count))  # this rank's
        self.guard = Guard(config.stability)
        self.step = 0  # updates done
        self.epoch = 0  # epochs done
        self.order: Tensor | None = None  # of the examples, in the epoch under way
        self.totals: dict[str, list[float]] = {}  # of each term in it: sum over examples, number of examples
        self.spent = 0.0  # seconds in it
        self.batch = config.examples_per_step(self.examples.shape[1])
        self.steps_per_epoch = math.ceil(len(self.examples) / self.batch)

    def run(self, after_step: Callable[[], None] = lambda: None) -> Iterator[EpochMetrics]:
        """Train on from where it stands; yields after every epoch.

        Args:
            after_step: called after every update, when the trainer can be saved (:mod:`.resuming`); what it
                raises ends the training there.

        Raises:
            DivergedError: the training ran away, and going back to an earlier state did not help.
        """
        while self.epoch < self.config.epochs:
            started = time.perf_counter() - self.spent
            try:
                self._finish_epoch(started, after_step)
            except DivergedError as error:
                self.guard.roll_back(self, error)
                continue
            naming = self._name_clusters(self.epoch + 1)
            self.epoch, self.order, self.spent = self.epoch + 1, None, 0.0
            seconds = time.perf_counter() - started
            terms = {term: total / count for term, (total, count) in self.totals.items()}
            speed, rollbacks = self.examples.numel() / seconds, tuple(self.guard.done)
            yield EpochMetrics(self.epoch, terms, speed, seconds, *naming, rollbacks)

    def _finish_epoch(self, started: float, after_step: Callable[[], None]) -> None:
        """The steps that are left of the epoch under way; ``started`` is when it began, without pauses."""
        self.network.train()
        if self.order is None:
            order = torch.randperm(len(self.examples), generator=self.generator, device=self.device)
            self.order = self.world.same(order)
            self.totals = {}
        for rows in self.order.split(self.batch)[self.step - self.epoch * self.steps_per_epoch :]:
            self.guard.keep(self)
            for term, value in self._train_step(rows).items():
                total = self.totals.setdefault(term, [0.0, 0.0])
                total[0] += value * len(rows)
                total[1] += len(rows)
            self.spent = time.perf_counter() - started
            after_step()

    def _train_step(self, rows: Tensor) -> dict[str, float]:
        """One update from the examples ``(batch,)``; returns the value of every term in nats."""
        progress = self.step / (self.config.epochs * self.steps_per_epoch)
        stability = self.config.stability
        set_learning_rate(
            self.optimizers, self.config.schedule, progress, self.guard.factor, stability.warm_up
        )
        names = self.config.method.terms_at(progress)
        if self.config.method.freeze_encoder and "gen" not in names:
            self._freeze_encoder()
        step = self._outputs(rows, sampled="gen" in names)
        terms = {name: TERMS[name].value(step) for name in names}
        energy = [] if step.samples is None else [energy_of(step.samples).mean()]
        values = torch.stack([*terms.values(), *energy]).detach().tolist()
        for term, value in zip(terms, values[: len(terms)], strict=True):
            if not math.isfinite(value):
                raise DivergedError(f"{term} is {value}")
        found = dict(zip(terms, values[: len(terms)], strict=True))
        self.guard.check(found, values[-1] if energy else None, progress, self.config.network.classes)
        weighted = [self.config.weight_at(term, progress) * value for term, value in terms.items()]
        if stability.energy_l2 and step.samples is not None:
            weighted.append(stability.energy_l2 * squared_energy(torch.cat(step.logits), step.samples))
        for optimizer in self.optimizers:  # what the constraint learns is not in the network
            optimizer.zero_grad(set_to_none=True)
        torch.stack(weighted).sum().backward()
        if stability.gradient_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), stability.gradient_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        return found

    def _freeze_encoder(self) -> None:
        if next(self.network.encoder.parameters()).requires_grad:
            self.network.encoder.requires_grad_(False)
            self.parallel = parallel(self.network, self.world)  # it would wait for gradients

    def _outputs(self, rows: Tensor, sampled: bool) -> StepOutputs:
        """One forward pass over the views of the examples ``(batch,)`` and, if asked, samples together."""
        config, views, slots = self.config, self.config.views_taken, self.examples.shape[1]
        images = self._pixels(self.examples[self.world.part(rows)].flatten())
        sizes = views * [len(rows) * slots]  # over all ranks
        batches = [config.augmentation(images, self.generator, self.support.bounded) for _ in range(views)]
        if sampled:
            assert self.buffer is not None
            batches.append(sample_step(self.network, self.buffer, self.sampler))
            sizes.append(config.sampler.count)
        local = [len(batch) for batch in batches]
        projected, logits = self.parallel(torch.cat(batches), local, sizes)
        logits = logits.split(sizes)
        return StepOutputs(
            logits[:views],
            projected.split(sizes)[:views],
            logits[-1] if sampled else None,
            self.log_prior,
            config.method.prior_form,
            config.network.temperature,
            config.method.epsilon,
            partial(self._log_probability, rows, slots),
        )

    def _log_probability(self, rows: Tensor, slots: int, log_posterior: Tensor) -> Tensor:
        """log P(constraint) of every view of the examples ``(batch,)``: ``(views * batch,)``."""
        assert self.constraint is not None
        shaped = log_posterior.view(-1, slots, log_posterior.shape[1])
        return self.constraint(shaped, rows.repeat(self.config.views_taken))

    def _name_clusters(self, epoch: int) -> tuple[float | None, float | None, bool]:
        """Count the examples satisfied, and search better names for the clusters when it is time to.

        Returns:
            The share of the examples satisfied and of the largest cluster before the search, if counted,
            and whether names were changed.
        """
        naming, constraint = self.config.naming, self.constraint
        last = epoch == self.config.epochs
        due = self.config.method.uses("nesy") and naming.due(epoch, self.config.epochs)
        if constraint is None or not (due or last):
            return None, None, False
        found = self.clusters()
        largest = int(found.flatten().bincount().max()) / found.numel()
        classes = self.config.network.classes
        clusters = Clusters(found, constraint.kinds.cpu(), constraint.satisfied)
        satisfied = float(clusters.shares(np.arange(classes)[None])[0])
        if last or not due or largest > naming.largest_cluster:
            return satisfied, largest, False
        best = best_namings(clusters, classes, self.naming_generator, naming.starts)[0]
        if best.share <= satisfied or best.share < satisfied + naming.least_gain(satisfied):
            return satisfied, largest, False
        rename_clusters(self.network.last_layer, best.classes, self.optimizers)
        return satisfied, largest, True

    @torch.no_grad()
    def clusters(self) -> Tensor:
        """The most likely class of every image of the examples, unaugmented: ``(examples, slots)``."""
        self.network.eval()
        chunks = self.examples.flatten().split(500)
        found = torch.cat([self.network(self._pixels(chunk)).argmax(1) for chunk in chunks])
        return self.world.same(found).view(self.examples.shape).cpu()

    def _pixels(self, indices: Tensor) -> Tensor:
        return to_float(self.images[indices])
