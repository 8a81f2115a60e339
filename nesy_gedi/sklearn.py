"""GEDI as a scikit-learn estimator: clusters, posterior, energy and samples, of vectors and of images."""

# ruff: noqa: N803 (scikit-learn's name for the data is X)

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from nesy_gedi.data.images import ImageSet, value_range
from nesy_gedi.drawing import default_steps, move_chains
from nesy_gedi.errors import UserError, check_ranges
from nesy_gedi.evaluation.outputs import outputs_of
from nesy_gedi.gedi.networks import energy_of
from nesy_gedi.gedi.precision import choose_device, choose_precision
from nesy_gedi.gedi.sampler import Support
from nesy_gedi.learning import Learner
from nesy_gedi.presets import load_preset
from nesy_gedi.request import changed_settings, check_sizes, recipe_for

_SEEDS = 2**31 - 1
_NEIGHBOUR, _ASKED = 5, 1000  # a view lies as far away as this neighbour does, in the median of so many rows
_NOISE = 0.05, 1.0  # least and most of it, standard deviations


class GEDIClusterer(ClusterMixin, BaseEstimator):
    """Clusters and a density at once: one network gives p(y|x) and, up to a constant, log p(x).

    E. Sansone and R. Manhaeve, "Unifying Self-Supervised Clustering and Energy-Based Models", TMLR 2025.

    Data are vectors, ``(n, d)`` numbers, or images, uint8 ``(n, height, width)`` or ``(n, height, width,
    3)``; the number of dimensions decides. Vectors are standardised, coordinate by coordinate, and views of
    them get Gaussian noise, whose standard deviation is the median distance to the fifth nearest neighbour
    over √d. How large clusters are counts little at first, so that they can follow the shape of the data;
    in a table of few rows and many columns ``settings={"prior_start": 1.0}`` does better. Grey images are
    trained with the recipe for MNIST, which neither mirrors them nor crops them; colour images with the one
    for CIFAR (``experiments/toys.toml`` and ``images.toml``).

    Args:
        n_clusters: c; each is taken to hold about as many rows as the others.
        method: a row of the table of methods: ``gedi``, ``gedi-no-gen`` (clusters alone, in half the time;
            its energy is not trained), ``swav`` and others without a program.
        epochs: passes over the data; the recipe's number of updates decides if it is not given.
        width: units of every hidden layer, or channels of every convolution; the recipe's by default.
        batch_size: rows per update; the recipe's by default.
        n_init: trainings at most. Another one is begun while the terms of the last one ended above their
            optima; the nearest to them is kept. Images are trained once.
        settings: any other setting, as ``--set`` has it, in nested mappings: ``{"sampler": {"steps": 5}}``.
        device: ``auto``, ``cpu`` or ``cuda``, to train on; the fitted network is on the CPU.
        precision: ``auto``, ``bf16``, ``fp32-fused`` or ``fp32``, of training on images.
        random_state: decides weights, order, views and chains: an equal number gives equal weights on the
            same machine with the same number of threads.

    Attributes:
        labels_: the most likely cluster of each row, ``(n,)``, int64, in ``0 .. n_clusters - 1``.
        network_: the trained :class:`~nesy_gedi.gedi.networks.GEDINetwork`; its inputs are pixels in [0, 1],
            ``(n, channels, height, width)``, or standardised vectors ``(n, d, 1, 1)``.
        terms_: mean of each term of the objective over the last epoch in which it counted, nats.
        optima_: the lowest value that each can have, nats; None where there is none.
        config_: all settings of the training.
        scaler_: what standardised the vectors; None for images.
        image_shape_: ``(height, width)`` or ``(height, width, 3)``; None for vectors.
        n_features_in_: numbers in a row: d, or height times width times channels.

    Methods raise ``ValueError`` (:class:`~nesy_gedi.errors.UserError` is one) for data or parameters that are
    wrong.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        method: str = "gedi",
        epochs: int | None = None,
        width: int | None = None,
        batch_size: int | None = None,
        n_init: int = 3,
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.method = method
        self.epochs = epochs
        self.width = width
        self.batch_size = batch_size
        self.n_init = n_init
        self.settings = settings
        self.device = device
        self.precision = precision
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> "GEDIClusterer":
        """Train on vectors or images.

        Args:
            X: as the class says; at least ``n_clusters`` rows.
            y: not looked at.

        Raises:
            UserError: data, parameters or settings are wrong, or the training ran away.
        """
        check_ranges(self, {"n_clusters": (1, math.inf), "n_init": (1, math.inf)})
        self.__dict__.pop("network_", None)  # if this fit fails, no earlier one is asked in its place
        inputs = self._inputs(X, fit=True)
        learner = self._learner(inputs.float() if self.image_shape_ is None else inputs)
        seed = int(check_random_state(self.random_state).randint(_SEEDS))
        _, attempt = learner.run_seed(None, seed, lambda *_: None)
        self.network_ = attempt.network.cpu().eval()
        self.network_.precision = "fp32-fused"  # on any machine the same, as of a network that is loaded
        self.terms_, self.optima_, self.config_ = attempt.terms, learner.optima(), learner.config
        images = learner.images.train_images
        self.support_ = Support(*value_range(images), bounded=self.image_shape_ is not None)
        self.labels_ = self._posterior(inputs).argmax(1)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Most likely cluster of each row, ``(n,)``."""
        clusters: NDArray[np.int64] = self.predict_proba(X).argmax(1)
        return clusters

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating]:
        """Cluster posterior p(y|x), ``(n, n_clusters)``."""
        return self._posterior(self._checked(X))

    def score_samples(self, X: ArrayLike) -> NDArray[np.floating]:
        """log p(x) up to a constant that is the same for all rows, ``(n,)``, nats: minus the energy.

        The constant is ln Z, which nobody knows, and for vectors the scale of the standardisation.
        """
        return -energy_of(self._logits(self._checked(X))).numpy()

    def sample(
        self,
        n_samples: int = 1,
        *,
        steps: int | None = None,
        random_state: int | RandomState | None = None,
    ) -> NDArray[Any]:
        """Draw from the model by Langevin dynamics, from uniform noise over the range of the data.

        Args:
            n_samples: number of chains.
            steps: SGLD steps of each; None for 500 on images, 20,000 on vectors.
            random_state: decides starts and noise; None for the estimator's own.

        Returns:
            ``(n_samples, d)``, or uint8 images of the shape that was fitted.

        Raises:
            UserError: the chains left all bounds.
        """
        check_is_fitted(self, "network_")
        seed = check_random_state(self.random_state if random_state is None else random_state).randint(_SEEDS)
        steps = default_steps(self.support_.bounded) if steps is None else steps
        generator = torch.Generator().manual_seed(int(seed))
        images, _ = move_chains(
            self.network_, self.support_, self.config_.sampler, n_samples, steps, generator
        )
        if self.image_shape_ is not None:
            return images.permute(0, 2, 3, 1).reshape(n_samples, *self.image_shape_).numpy()
        rows: NDArray[np.float64] = self.scaler_.inverse_transform(images.flatten(1).double().numpy())
        return rows

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _checked(self, X: ArrayLike) -> Tensor:
        check_is_fitted(self, "network_")
        return self._inputs(X, fit=False)

    def _inputs(self, X: ArrayLike, fit: bool) -> Tensor:
        """What the network reads: images, uint8, or standardised vectors ``(n, d, 1, 1)``, float64."""
        shape = None
        if np.ndim(X) in (3, 4):
            X = np.asarray(X)
            shape = X.shape[1:]
            if X.dtype != np.uint8 or shape[2:] not in ((), (3,)):
                raise UserError(
                    f"images are uint8, (n, height, width) or (n, height, width, 3), not {X.dtype} {X.shape}"
                )
            X = X.reshape(len(X), math.prod(shape))
        if not fit and shape != self.image_shape_:
            raise UserError(f"fitted on {_kind(self.image_shape_)}, asked about {_kind(shape)}")
        rows = validate_data(self, X, dtype=np.float64 if shape is None else np.uint8, reset=fit)
        if fit:
            self.image_shape_: tuple[int, ...] | None = shape
            self.scaler_: Any = StandardScaler().fit(rows) if shape is None else None
        if shape is None:
            return torch.tensor(self.scaler_.transform(rows))[:, :, None, None]
        pixels = torch.tensor(rows).view(len(rows), *shape[:2], -1)
        return pixels.permute(0, 3, 1, 2).contiguous()

    def _learner(self, inputs: Tensor) -> Learner:
        """All that is to be trained, checked."""
        count, channels = inputs.shape[:2]
        if count < self.n_clusters:
            raise UserError(f"n_samples={count} should be >= n_clusters={self.n_clusters}: give more rows")
        images = ImageSet("X", "an array", inputs, None, inputs[:0], None, classes=0)
        device = choose_device(self.device)
        table = "vectors" if self.image_shape_ is None else "mnist" if channels == 1 else None
        preset = load_preset(recipe_for(images), "cpu", self.method, self._changes(inputs), table)
        precision = choose_precision(self.precision, device)
        learner = Learner(None, images, preset.config, device=device, precision=precision)
        learner.config = replace(learner.config, epochs=preset.epochs(count, 1))
        check_sizes(learner, count)
        return learner

    def _changes(self, inputs: Tensor) -> Mapping[str, Any]:
        """The parameters by the names of the settings."""
        options: dict[str, Any] = {"clusters": self.n_clusters, "naming": {"restarts": self.n_init - 1}}
        options |= {"epochs": self.epochs, "batch_size": self.batch_size}
        if self.width is not None:
            options["network"] = {"width": self.width}
        if self.image_shape_ is None:
            options["augmentation"] = {"noise_std": _noise(inputs.flatten(1).numpy())}
        given = {key: value for key, value in options.items() if value is not None}
        return changed_settings(given, self.settings or {})

    def _posterior(self, inputs: Tensor) -> NDArray[np.floating]:
        posterior: NDArray[np.floating] = self._logits(inputs).softmax(1).numpy()
        return posterior

    def _logits(self, inputs: Tensor) -> Tensor:
        """f(x) ``(n, n_clusters)``, nats.

        For vectors in float64, so that a row's logits do not depend on the rows beside it; for images that
        would take five times as long.
        """
        network = copy.deepcopy(self.network_).double() if self.image_shape_ is None else self.network_
        return outputs_of(network, inputs).logits


def _noise(rows: NDArray[np.float64]) -> float:
    """Standard deviation of a coordinate's noise, for views as far away as a near neighbour.

    Args:
        rows: ``(n, d)``, standardised.
    """
    some = rows[:: math.ceil(len(rows) / _ASKED)]
    near = min(_NEIGHBOUR, len(rows) - 1) + 1  # a row is its own first neighbour
    distances, _ = NearestNeighbors(n_neighbors=near).fit(rows).kneighbors(some)
    return float(np.clip(np.median(distances[:, -1]) / math.sqrt(rows.shape[1]), *_NOISE))


def _kind(shape: tuple[int, ...] | None) -> str:
    return "vectors" if shape is None else f"images of {'x'.join(map(str, shape))}"
