"""Distances between samples and data in a space of features: FID, KID, and the same in other spaces."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.ood import fit_to
from nesy_gedi.evaluation.outputs import outputs_of
from nesy_gedi.gedi.checkpoint import load_network
from nesy_gedi.gedi.networks import GEDINetwork

INCEPTION, CLASSIFIER = "inception", "classifier"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_SUBSETS, _SUBSET_SIZE = 100, 1000  # of the KID, as in Bińkowski et al. 2018 and torch-fidelity


@dataclass(frozen=True)
class FeatureSpace:
    """Where samples and data are compared.

    Attributes:
        name: ``inception``, ``classifier``, or the path of another run's network.
        resize: what is done to an image before, in words.
        extract: uint8 images ``(n, channels, height, width)``, or float32 vectors, to ``(n, d)``, fp32.
    """

    name: str
    resize: str
    extract: Callable[[Tensor], Tensor]

    @property
    def frechet(self) -> str:
        """What the Fréchet distance is called: FID on Inception's features only."""
        return "FID" if self.name == INCEPTION else f"FD (features: {self.name})"

    @property
    def kernel(self) -> str:
        """What the kernel distance is called: KID on Inception's features only."""
        return "KID" if self.name == INCEPTION else f"KD (features: {self.name})"


def feature_space(
    choice: str, network: GEDINetwork, sample: Tensor, inception_weights: str | None = None
) -> FeatureSpace:
    """The space that ``--features`` names.

    Args:
        choice: ``inception``, ``classifier``, or a run or weights file whose encoder is used.
        network: the run's own, for ``classifier``.
        sample: images of the run's data ``(n, channels, height, width)``, one or more, to tell whether and
            how they must be resized.
        inception_weights: path of the Inception network's file; the hub cache's if not given.

    Raises:
        UserError: there is no such file, it is damaged or another, or the images do not fit.
    """
    if choice == INCEPTION:
        if sample.is_floating_point():
            raise UserError("Inception reads images, these are vectors: use --features classifier")
        extractor = load_inception(inception_weights)
        resize = "299x299, bilinear as TensorFlow 1"
        return FeatureSpace(INCEPTION, resize, lambda images: inception_features(extractor, images))
    if choice == CLASSIFIER:
        return FeatureSpace(CLASSIFIER, "unchanged", lambda images: outputs_of(network, images).features)
    other = load_network(choice)
    shape = (other.config.channels, other.config.image_height, other.config.image_width)
    _, resize = fit_to(sample[:1], shape)
    return FeatureSpace(choice, resize, lambda images: outputs_of(other, fit_to(images, shape)[0]).features)


def load_inception(path: str | None = None, sha256: str = INCEPTION_SHA256) -> FeatureExtractorInceptionV3:
    """The 2015 Inception network of the FID (Heusel et al. 2017), from a file; it is never downloaded.

    Args:
        path: the file; by default it is looked for where ``torch.hub`` keeps its own.
        sha256: digest that the file must have.

    Raises:
        UserError: there is no such file, or it is another one.
    """
    name = URL_INCEPTION_V3.rsplit("/", 1)[1]
    file = Path(path) if path else Path(torch.hub.get_dir(), "checkpoints", name)
    if not file.is_file():
        raise UserError(
            f"no Inception weights at {file}: FID and KID need {name} (SHA-256 {sha256[:8]}…) from "
            f"{URL_INCEPTION_V3}; put it there or name it with --inception-weights, or measure on other "
            "features with --features classifier"
        )
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UserError(
            f"{file} has SHA-256 {found[:8]}…, the Inception weights of the FID have {sha256[:8]}…: it is "
            f"damaged or another file; {URL_INCEPTION_V3} has the right one"
        )
    try:
        tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"{file} holds no weights that can be loaded safely") from error
    # the library unpickles whatever is in its file: it gets one that holds nothing but these tensors
    safe = io.BytesIO()
    torch.save(tensors, safe)
    safe.seek(0)
    return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=safe)


@torch.no_grad()
def inception_features(extractor: FeatureExtractorInceptionV3, images: Tensor, chunk: int = 50) -> Tensor:
    """Features ``(n, 2048)`` of uint8 images ``(n, 1 or 3, height, width)``; grey ones are repeated."""
    images, _ = fit_to(images, (3, *images.shape[2:]))
    return torch.cat([extractor(part)[0] for part in images.split(chunk)])


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Fréchet distance of Gaussians fitted to features ``(n, d)`` and ``(m, d)`` (Heusel et al. 2017).

    ||μ₁ - μ₂||² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½), in double precision.
    """
    fitted = []
    for features in (first.double().numpy(), second.double().numpy()):
        covariance = np.atleast_2d(np.cov(features, rowvar=False))
        fitted.append({"mu": features.mean(0), "sigma": covariance})
    return float(fid_statistics_to_metric(*fitted, verbose=False)[KEY_METRIC_FID])


def kernel_distance(first: Tensor, second: Tensor, seed: int = 0) -> tuple[float, float, int]:
    """Squared maximum mean discrepancy with a cubic kernel (Bińkowski et al. 2018), unbiased.

    Args:
        first: features ``(n, d)``, n at least 2.
        second: features ``(m, d)``, m at least 2.
        seed: decides the 100 random subsets.

    Returns:
        Mean and standard deviation over the subsets, and how many rows of each set a subset has: 1,000,
        or as many as there are.
    """
    size = min(_SUBSET_SIZE, len(first), len(second))
    options = {"kid_subsets": _SUBSETS, "kid_subset_size": size, "rng_seed": seed, "verbose": False}
    found = kid_features_to_metric(first.double(), second.double(), **options)
    return float(found[KEY_METRIC_KID_MEAN]), float(found[KEY_METRIC_KID_STD]), size


def degenerate(samples: Tensor, reference: Tensor) -> list[str]:
    """Why a distance between two sets of features ``(n, d)`` is not to be trusted, in sentences."""
    remarks = []
    for name, features in (("samples", samples), ("reference images", reference)):
        count, width = features.shape
        if count <= width:
            remarks.append(
                f"{count:,} {name} for {width:,} features: their covariance is singular, and the Fréchet "
                "distance much too high"
            )
    return remarks
