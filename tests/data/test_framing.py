"""Bringing a user's image to what a data set's images look like."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from nesy_gedi.data.framing import Framing, framed, framing_of
from nesy_gedi.data.mnist import load_mnist

DIGITS = load_mnist(Path("there is no such folder"), explicit=False)
MNIST = Framing(0.0, 20.0, (14.0, 14.0))


def centre(image: Tensor) -> tuple[float, float]:
    weight = image[0].double()
    rows, columns = weight.sum(1), weight.sum(0)
    across = torch.arange(28).double()
    return float((rows * across).sum() / rows.sum()), float((columns * across).sum() / columns.sum())


def test_mnist_is_framed_as_its_authors_say() -> None:
    """Digits fit a box of 20 pixels, and their centre of mass is the middle of the 28 (LeCun et al. 1998)."""
    found = framing_of(DIGITS.train_images)
    assert found is not None
    assert (found.background, found.extent) == (0.0, 20.0)
    assert found.centre == pytest.approx((14, 14), abs=0.5)
    inverted = framing_of(255 - DIGITS.train_images)
    assert inverted is not None
    assert inverted.background == 1.0
    assert inverted.centre == pytest.approx(found.centre, abs=1e-4)


def test_photos_colours_and_vectors_have_none() -> None:
    noise = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator())
    assert framing_of(noise) is None
    assert framing_of(DIGITS.train_images[:50].expand(-1, 3, -1, -1)) is None
    assert framing_of(torch.zeros(50, 2, 1, 1)) is None
    assert framing_of(torch.zeros(50, 1, 8, 8, dtype=torch.uint8)) is None
    assert framing_of(DIGITS.train_images[:0]) is None


@given(st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_an_image_of_the_data_set_stays_as_it_is(row: int) -> None:
    image = DIGITS.test_images[row]
    assert torch.equal(framed(image, MNIST, 28, 28), image)
    assert torch.equal(framed(255 - image, MNIST, 28, 28), image)


@given(
    st.integers(0, 999),
    st.sampled_from([2, 3, 5]),
    st.tuples(*[st.integers(1, 90)] * 4),
    st.booleans(),
    st.floats(0.4, 1.0),
)
@settings(max_examples=40, deadline=None)
def test_a_digit_is_found_wherever_it_stands(
    row: int, scale: int, margins: tuple[int, int, int, int], inverted: bool, contrast: float
) -> None:
    """Larger, moved, on the other background and fainter, it becomes nearly the digit that it was."""
    digit = DIGITS.test_images[row]
    large = transforms.resize(digit, [28 * scale, 28 * scale], antialias=True)
    moved = (transforms.pad(large, list(margins)).float() * contrast).round().byte()
    brought = framed(255 - moved if inverted else moved, MNIST, 28, 28)
    assert (brought.shape, brought.dtype) == (digit.shape, torch.uint8)
    assert int(brought.max()) == 255
    assert centre(brought) == pytest.approx((14, 14), abs=0.75)
    stands_out = (brought[0] > 26).nonzero()
    longest = int((stands_out.amax(0) - stands_out.amin(0)).max()) + 1
    assert longest == pytest.approx(20, abs=2)
    both = torch.stack([brought.flatten(), digit.flatten()]).float()
    assert float(both.corrcoef()[0, 1]) > 0.6


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([0, 128, 255]))
@settings(max_examples=30, deadline=None)
def test_blank_images_become_background(height: int, width: int, grey: int) -> None:
    blank = torch.full((1, height, width), grey, dtype=torch.uint8)
    for framing in (MNIST, Framing(1.0, 20.0, (14.0, 14.0))):
        if (height, width) != (28, 28):
            assert bool((framed(blank, framing, 28, 28) == 255 * framing.background).all())


def test_proportions_are_kept_and_nothing_leaves_the_frame() -> None:
    bar = torch.zeros(1, 300, 300, dtype=torch.uint8)
    bar[0, 10:250, 280:290] = 255
    brought = framed(bar, MNIST, 28, 28)
    rows, columns = (brought[0] > 100).nonzero().T
    assert (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1) == (20, 1)
    low = framed(bar, Framing(0.0, 20.0, (40.0, -9.0)), 28, 28)  # its centre would be outside
    rows, columns = (low[0] > 100).nonzero().T
    assert (int(rows.max()), int(columns.min()), len(rows)) == (27, 0, 20)


def test_what_fills_the_frame_is_resized_as_a_whole() -> None:
    photo = torch.randint(100, 256, (1, 56, 60), dtype=torch.uint8, generator=torch.Generator())
    whole = transforms.resize(photo, [28, 28], antialias=True)
    assert torch.equal(framed(photo, Framing(1.0, 20.0, (14.0, 14.0)), 28, 28), whole)
    assert torch.equal(framed(photo, MNIST, 28, 28), 255 - whole)
