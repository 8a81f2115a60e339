"""Positive examples of a program from a labelled image set (the paper's appendix N, for any program).

This is the only place where labels are read: to put together images that satisfy the constraint.
"""

import torch
from torch import Tensor

from nesy_gedi.errors import UserError

_TRIES = 1000


class TooFewImagesError(UserError):
    """The pool cannot give the examples that were asked."""


def sample_examples(worlds: Tensor, labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw examples: satisfying readings uniformly, then images of these classes, each used at most once.

    For the addition this is: pairs 0 <= a, b with a + b <= 9 uniformly, and an image of their sum. The
    readings are drawn anew as long as some class would need more images than there are, so they are
    uniform under the condition that the images suffice.

    Args:
        worlds: which readings satisfy the program, bool ``(classes,) * slots``.
        labels: class of every image in the pool, ``(n,)``, int64.
        count: number of examples.
        generator: source of randomness, on the CPU.

    Returns:
        Positions in the pool, ``(count, slots)``, int64.

    Raises:
        UserError: ``count`` is below one or above :func:`capacity`, or no draw out of 1000 fits.
    """
    scarcest, most = _scarcest(worlds, labels)
    if count < 1:
        raise UserError(f"{count} examples asked, at least 1 is needed: ask for 1 to {most}")
    if count > most:
        raise TooFewImagesError(
            f"{count} examples asked, but the {len(labels)} images of the pool give at most {most} "
            f"(class {scarcest} runs out first): ask for at most {most} or provide more images"
        )
    readings = worlds.nonzero()
    available = labels.bincount(minlength=len(worlds))
    for _ in range(_TRIES):
        drawn = readings[torch.randint(len(readings), (count,), generator=generator)]
        if (drawn.flatten().bincount(minlength=len(worlds)) <= available[: len(worlds)]).all():
            return _fill(drawn, labels, generator)
    raise TooFewImagesError(
        f"{count} examples asked: in {_TRIES} draws some class always needed more images than the pool of "
        f"{len(labels)} has; {most} would use all images of class {scarcest}: ask for fewer"
    )


def capacity(worlds: Tensor, labels: Tensor) -> int:
    """The largest number of examples whose expected use of every class stays within the pool.

    Args:
        worlds: which readings satisfy the program, bool ``(classes,) * slots``.
        labels: class of every image in the pool, ``(n,)``, int64.

    Raises:
        UserError: no reading satisfies the program, or a label is not one of the program's classes.
    """
    return _scarcest(worlds, labels)[1]


def _scarcest(worlds: Tensor, labels: Tensor) -> tuple[int, int]:
    """The class that runs out first, and the number of examples after which it does."""
    classes = len(worlds)
    if not worlds.any():
        raise UserError("no reading satisfies the program, so it has no examples: mend its rules")
    if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= classes):
        raise UserError(
            f"labels go from {int(labels.min())} to {int(labels.max())}, but the program has classes 0 to "
            f"{classes - 1}: give images of these classes"
        )
    readings = worlds.nonzero()
    uses = readings.flatten().bincount(minlength=classes)
    available = labels.bincount(minlength=classes)
    limits = {k: len(readings) * int(available[k]) // int(uses[k]) for k in range(classes) if uses[k]}
    scarcest = min(limits, key=lambda k: limits[k])
    return scarcest, limits[scarcest]


def _fill(readings: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    images = torch.empty_like(readings)
    for k in readings.unique().tolist():
        pool = (labels == k).nonzero()[:, 0]
        slots = readings == k
        order = torch.randperm(len(pool), generator=generator)
        images[slots] = pool[order[: int(slots.sum())]]
    return images
