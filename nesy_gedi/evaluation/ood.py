"""Telling the data that a network was trained on from other data, by scores that need no labels."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from nesy_gedi.data.images import to_float
from nesy_gedi.errors import UserError
from nesy_gedi.gedi.networks import GEDINetwork, energy_of
from nesy_gedi.gedi.sampler import frozen
from nesy_gedi.run_files import SCORES
from nesy_gedi.writing import write_whole

Scores = Mapping[str, Tensor]
RECALL = 0.95  # true positive rate at which the false positive rate is read off


def ood_scores(network: GEDINetwork, images: Tensor, chunk: int = 250) -> dict[str, Tensor]:
    """Scores ``(n,)`` that should be high on the training data's distribution and low elsewhere.

    ``logpx``: log p(x) up to a constant, nats. ``gradient``: -||∂ log p(x)/∂x||₂ (both Grathwohl et al. 2020
    and the paper), pixels counted in [0, 1]. ``softmax``: the largest cluster posterior (Hendrycks &
    Gimpel 2017).

    Args:
        network: its ``logits`` are used; it is left as it was.
        images: uint8 ``(n, channels, height, width)``, or float32 ``(n, d, 1, 1)``.
        chunk: images per pass.

    Raises:
        UserError: a score is infinite or none at all, so no comparison would mean anything.
    """
    parts: dict[str, list[Tensor]] = {"logpx": [], "gradient": [], "softmax": []}
    with frozen(network), torch.enable_grad():
        for part in images.split(chunk):
            x = to_float(part).clone().requires_grad_(True)
            logits = network.logits(x)
            logpx = -energy_of(logits)
            (gradient,) = torch.autograd.grad(logpx.sum(), x)
            parts["logpx"].append(logpx.detach())
            parts["gradient"].append(-gradient.flatten(1).norm(dim=1))
            parts["softmax"].append(logits.detach().softmax(1).amax(1))
    scores = {name: torch.cat(values) for name, values in parts.items()}
    for name, values in scores.items():
        if not bool(values.isfinite().all()):
            raise UserError(f"the network gives {name} that are no finite numbers: its training diverged")
    return scores


def detection(inside: Tensor, outside: Tensor) -> dict[str, float]:
    """How well a score tells in-distribution (the positive class) from the rest.

    Args:
        inside: scores of in-distribution images, ``(n,)``.
        outside: scores of other images, ``(m,)``.

    Returns:
        ``auroc``, ``aupr`` (average precision; chance is n / (n + m)) and ``fpr95``: the share of the others
        above the first threshold that at least 95 % of the in-distribution images reach (lower is better).
    """
    positive, scores = labelled_scores(inside, outside)
    # thresholds on a straight line are kept: the first with enough recall may be one of them
    false, true, _ = roc_curve(positive, scores, drop_intermediate=False)
    return {
        "auroc": float(roc_auc_score(positive, scores)),
        "aupr": float(average_precision_score(positive, scores)),
        "fpr95": float(false[np.argmax(true >= RECALL)]),
    }


def labelled_scores(inside: Tensor, outside: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Whether each of all images is in-distribution, 1 or 0, and its score: ``(n + m,)`` both.

    Args:
        inside: scores of in-distribution images, ``(n,)``.
        outside: scores of other images, ``(m,)``.
    """
    positive = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    return positive, torch.cat([inside, outside]).double().numpy()


def write_scores(folder: Path, inside: Scores, others: Mapping[str, Scores]) -> None:
    """Keep scores in a run's folder, beside those of other data sets that are there already.

    Args:
        folder: of the run.
        inside: of the run's own test images, by the name of the score.
        others: the same of other data sets, by their names.

    Raises:
        UserError: the folder cannot be written.
    """
    known = {**read_scores(folder)[1], **others}
    arrays: dict[str, Any] = {f"own {name}": values.numpy() for name, values in inside.items()}
    for number, scores in enumerate(known.values()):
        arrays |= {f"{number} {name}": values.numpy() for name, values in scores.items()}
    file = io.BytesIO()
    np.savez(file, others=np.array(list(known)), **arrays)
    try:
        write_whole(folder / SCORES, file.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {folder / SCORES} ({error.strerror})") from error


def read_scores(folder: Path) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """What :func:`write_scores` kept: none if nothing was compared, or the file is damaged.

    Returns:
        Scores ``(n,)`` of the run's own test images by name; and of each other data set, ``(m,)``.
    """
    try:
        with np.load(folder / SCORES, allow_pickle=False) as file:
            others = [str(name) for name in file["others"]]
            arrays = {key: torch.from_numpy(file[key]) for key in file.files if key != "others"}
    except Exception:  # not there, or not ours; zipfile and numpy raise many kinds on damaged files
        return {}, {}
    by_set: dict[str, dict[str, Tensor]] = {}
    for key, values in arrays.items():
        number, name = key.split(" ", 1)
        by_set.setdefault(number, {})[name] = values
    own = by_set.pop("own", {})
    return own, {others[int(number)]: scores for number, scores in by_set.items()}


def fit_to(images: Tensor, shape: Sequence[int]) -> tuple[Tensor, str]:
    """Bring images to another number of channels and size.

    Args:
        images: uint8 ``(n, channels, height, width)`` with 1 or 3 channels; or vectors, which must fit.
        shape: ``(channels, height, width)`` that is wanted.

    Returns:
        The images, and what was done to them in words; "unchanged" if nothing.

    Raises:
        UserError: vectors of another length, vectors for images, or images for vectors.
    """
    wanted, found = tuple(shape), tuple(images.shape[1:])
    if found == wanted:
        return images, "unchanged"
    pixels = not images.is_floating_point() and {found[0], wanted[0]} <= {1, 3}
    if not pixels:
        raise UserError(
            f"data of shape {_text(found)} cannot be brought to {_text(wanted)}: take another set"
        )
    done = []
    if found[0] < wanted[0]:
        images = images.expand(-1, wanted[0], -1, -1)
        done.append("grey repeated")
    elif found[0] > wanted[0]:
        images = transforms.rgb_to_grayscale(images)
        done.append("colour to luma")
    if found[1:] != wanted[1:]:
        images = transforms.resize(images, list(wanted[1:]), InterpolationMode.BILINEAR, antialias=True)
        done.append(f"{_text(found[1:])} to {_text(wanted[1:])} pixels, bilinear, antialias")
    return images, ", ".join(done)


def _text(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)
