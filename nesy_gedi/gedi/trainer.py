"""The one training loop: images in, a trained network out, for every method in the table."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nesy_gedi.errors import UserError
from nesy_gedi.gedi import objectives
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.constraint import Constraint
from nesy_gedi.gedi.naming import Clusters, best_namings, rename_clusters
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.optimizers import make_optimizers, set_learning_rate
from nesy_gedi.gedi.sampler import ReplayBuffer, sample_step

_INITIAL_IMAGES = 600  # images that the start of the projector is centred on


class NotFiniteError(UserError):
    """A term of the loss is NaN or infinite; the message names the step and the term."""


@dataclass(frozen=True)
class TrainingData:
    """What a network is trained on; there are no labels in it.

    Attributes:
        images: uint8 ``(n, channels, height, width)``.
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
        satisfied: share of the examples whose most likely reading satisfies the constraint, when counted.
        largest_cluster: share of the images in the largest cluster, when counted.
        renamed: whether the clusters were given other names.
    """

    epoch: int
    terms: dict[str, float]
    images_per_second: float
    seconds: float
    satisfied: float | None = None
    largest_cluster: float | None = None
    renamed: bool = False


class Trainer:
    """Trains one network; iterate over :meth:`run` and read ``network`` at any time.

    Args:
        config: all settings.
        data: images, examples and constraint.
        seed: decides initial weights, order, views and chains; equal seeds give equal weights on the
            same machine with the same number of threads.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``, for the encoder.

    Raises:
        UserError: the method wants a constraint and there is none.
    """

    def __init__(
        self, config: TrainConfig, data: TrainingData, seed: int, device: str = "cpu", precision: str = "fp32"
    ) -> None:
        if config.method.uses("nesy") and data.constraint is None:
            raise UserError("the method has a weight for nesy, but there is no program; give one")
        self.config, self.data, self.device = config, data, device
        self.images = data.images.to(device)
        self.examples = data.examples.to(device)
        self.constraint = data.constraint
        classes = config.network.classes
        uniform = torch.full((classes,), -math.log(classes))
        self.log_prior = (uniform if data.log_prior is None else data.log_prior).to(device)
        self.generator = torch.Generator(device).manual_seed(seed)
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
            list(data.constraint.parameters()) if data.constraint is not None else [],
        )
        self.buffer = (
            ReplayBuffer(tuple(self.images.shape[1:]), config.sampler.buffer_size, self.generator)
            if config.method.uses("gen")
            else None
        )
        self.step = 0
        self.batch = config.examples_per_step(self.examples.shape[1])
        self.steps_per_epoch = math.ceil(len(self.examples) / self.batch)

    def run(self) -> Iterator[EpochMetrics]:
        """Train; yields after every epoch.

        Raises:
            NotFiniteError: a term is not finite.
        """
        for epoch in range(1, self.config.epochs + 1):
            started = time.perf_counter()
            self.network.train()
            totals: dict[str, float] = {}
            order = torch.randperm(len(self.examples), generator=self.generator, device=self.device)
            for rows in order.split(self.batch):
                for term, value in self._train_step(rows).items():
                    totals[term] = totals.get(term, 0.0) + value * len(rows) / len(self.examples)
            naming = self._name_clusters(epoch)
            seconds = time.perf_counter() - started
            yield EpochMetrics(epoch, totals, self.examples.numel() / seconds, seconds, *naming)

    def _train_step(self, rows: Tensor) -> dict[str, float]:
        """One update from the examples ``(batch,)``; returns the value of every term in nats."""
        progress = self.step / (self.config.epochs * self.steps_per_epoch)
        set_learning_rate(self.optimizers, self.config.schedule, progress)
        terms = self._terms(rows)
        values = torch.stack(list(terms.values())).detach().tolist()
        for term, value in zip(terms, values, strict=True):
            if not math.isfinite(value):
                raise NotFiniteError(
                    f"the loss is not finite: {term} is {value} at step {self.step + 1}; lower "
                    f"learning_rate or muon_learning_rate, or the weight of {term}"
                )
        weighted = [self.config.weight_at(term, progress) * value for term, value in terms.items()]
        for optimizer in self.optimizers:  # what the constraint learns is not in the network
            optimizer.zero_grad(set_to_none=True)
        torch.stack(weighted).sum().backward()
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        return dict(zip(terms, values, strict=True))

    def _terms(self, rows: Tensor) -> dict[str, Tensor]:
        """The method's terms, after one forward pass over views and samples together."""
        method, config = self.config.method, self.config
        examples = self.examples[rows]
        images = self._pixels(examples.flatten())
        batches = [config.augmentation(images, self.generator) for _ in range(config.views)]
        if self.buffer is not None:
            batches.append(sample_step(self.network, self.buffer, config.sampler))
        logits = self.network(torch.cat(batches)).split([len(batch) for batch in batches])
        views = logits[: config.views]
        log_posterior = torch.cat(views).log_softmax(1)
        terms: dict[str, Tensor] = {}
        if method.uses("gen"):
            terms["gen"] = objectives.generative(torch.cat(views), logits[-1])
        if method.uses("inv"):
            terms["inv"] = objectives.invariance(views[0], views[1])
        if method.uses("prior"):
            terms["prior"] = objectives.PRIORS[method.prior_form](log_posterior, self.log_prior)
        if method.uses("nesy"):
            assert self.constraint is not None
            slots = log_posterior.view(-1, examples.shape[1], log_posterior.shape[1])
            terms["nesy"] = objectives.constraint(self.constraint(slots, rows.repeat(config.views)))
        return terms

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
        return found.view(self.examples.shape).cpu()

    def _pixels(self, indices: Tensor) -> Tensor:
        return self.images[indices].float() / 255
