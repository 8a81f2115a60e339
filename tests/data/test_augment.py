"""Views against what torch and torchvision compute with the same parameters."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as V

from nesy_gedi.data.augment import AFFINE, TABLE_9, Augmentation, _affine_maps, _warp
from nesy_gedi.errors import UserError


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def random_images(batch: int = 16, channels: int = 1, height: int = 28, width: int = 28) -> Tensor:
    return torch.rand(batch, channels, height, width, generator=seeded(7))


def warped(images: Tensor, **given: Any) -> Tensor:
    """``images`` under the parameters that are given, the same for each; the others do nothing."""
    numbers = {"degrees": 0.0, "scale": 1.0, "translate": (0.0, 0.0), "shear": 0.0, "side": 1.0}
    values = {**numbers, "centre": (0.0, 0.0), **given}
    batch = len(images)
    maps = _affine_maps(**{name: torch.tensor([value] * batch) for name, value in values.items()})
    return _warp(images, maps)


@pytest.mark.parametrize("channels", [1, 3])
def test_defaults_change_nothing(channels: int) -> None:
    images = random_images(channels=channels)
    assert torch.equal(Augmentation()(images, seeded()), images)


def test_unit_map_changes_nothing() -> None:
    images = random_images(height=20, width=28)
    torch.testing.assert_close(warped(images), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, 2), (-4, 5)])
def test_shift_by_whole_pixels(right: int, down: int) -> None:
    images = random_images(height=20, width=28)
    expected = F.pad(images, (right, -right, down, -down))
    shifted = warped(images, translate=(float(right), float(down)))
    torch.testing.assert_close(shifted, expected, atol=1e-5, rtol=0)


def test_quarter_turn() -> None:
    images = random_images()
    turned = warped(images, degrees=90.0)
    torch.testing.assert_close(turned, torch.rot90(images, -1, (2, 3)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(28, 28), (20, 28)])
def test_equals_torchvision_affine(size: tuple[int, int]) -> None:
    images = random_images(height=size[0], width=size[1])
    for degrees, scale, shear, translate in (
        (13.0, 1.0, 0.0, [0, 0]),
        (0.0, 0.9, 0.0, [0, 0]),
        (0.0, 1.0, 20.0, [0, 0]),
        (-37.0, 1.3, 15.0, [2, -3]),
    ):
        expected = V.affine(
            images,
            angle=degrees,
            scale=scale,
            shear=[shear, 0.0],
            translate=translate,
            interpolation=InterpolationMode.BILINEAR,
        )
        ours = warped(
            images, degrees=degrees, scale=scale, shear=shear, translate=tuple(float(t) for t in translate)
        )
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_crop_is_a_resized_crop() -> None:
    images = random_images()
    # The 14 x 14 pixels from (row 0, column 12) have their centre 7 above and 5 right of the image's.
    expected = F.interpolate(images[:, :, 0:14, 12:26], scale_factor=2, mode="bilinear")
    ours = warped(images, side=0.5, centre=(5.0, -7.0))
    # at the border the resized crop repeats its own edge, while ours sees the pixels outside it
    torch.testing.assert_close(ours[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_crop_after_affine() -> None:
    x, y = torch.arange(28.0), torch.arange(28.0)[:, None]
    images = (0.02 * x + 0.01 * y + 0.1).expand(1, 1, 28, 28)  # on a plane, interpolating twice is exact
    affine = {"degrees": 25.0, "scale": 1.1, "shear": 10.0, "translate": (1.0, -2.0)}
    crop = {"side": 0.75, "centre": (2.0, 1.0)}
    at_once = warped(images, **affine, **crop)
    in_turn = warped(warped(images, **affine), **crop)
    inside = (slice(None), slice(None), slice(5, -5), slice(5, -5))
    torch.testing.assert_close(at_once[inside], in_turn[inside], atol=1e-5, rtol=0)


def test_crop_never_leaves_the_image() -> None:
    white = torch.ones(500, 1, 28, 28)
    views = Augmentation(crop=0.3)(white, seeded())
    assert views[:, :, 2:-2, 2:-2].min() > 1 - 1e-5


def test_every_image_has_its_own_parameters() -> None:
    same = random_images(1, 3).expand(40, -1, -1, -1)
    for augmentation in (
        Augmentation(degrees=15.0),
        Augmentation(scale=0.2),
        Augmentation(translate=3.0),
        Augmentation(shear=20.0),
        Augmentation(crop=0.7),
        Augmentation(jitter=0.4),
        Augmentation(noise_std=0.03),
    ):
        views = augmentation(same, seeded())
        assert len({view.numpy().tobytes() for view in views}) == 40, augmentation


def centres(views: Tensor) -> Tensor:
    """Centre of mass (x, y) of each image, pixels."""
    mass = views.sum(dim=(1, 2, 3))
    x = (views.sum(dim=(1, 2)) * torch.arange(views.shape[3])).sum(1) / mass
    y = (views.sum(dim=(1, 3)) * torch.arange(views.shape[2])).sum(1) / mass
    return torch.stack((x, y), dim=1)


def test_parameters_are_uniform_over_their_range() -> None:
    block = torch.zeros(4000, 1, 28, 28)
    block[:, :, 11:17, 11:17] = 1.0
    shifts = centres(Augmentation(translate=2.0)(block, seeded())) - 13.5
    assert shifts.abs().max() <= 2.0 + 1e-4
    for axis in (0, 1):
        assert shifts[:, axis].mean().abs() < 0.08
        assert shifts[:, axis].std().item() == pytest.approx(2.0 / 3**0.5, rel=0.05)
    areas = Augmentation(scale=0.3)(block, seeded()).sum(dim=(1, 2, 3)) / 36
    factors = areas.sqrt()
    assert 0.66 < factors.min() < 0.74
    assert 1.26 < factors.max() < 1.34


def test_flip() -> None:
    images = random_images(2000, 1, 4, 6)
    assert torch.equal(Augmentation(flip_probability=1.0)(images, seeded()), images.flip(-1))
    views = Augmentation(flip_probability=0.3)(images, seeded())
    flipped = (views == images.flip(-1)).all(dim=(1, 2, 3))
    kept = (views == images).all(dim=(1, 2, 3))
    assert bool((flipped ^ kept).all())
    assert flipped.float().mean().item() == pytest.approx(0.3, abs=0.04)


def test_noise_has_its_standard_deviation() -> None:
    views = Augmentation(noise_std=0.03)(torch.full((100, 1, 28, 28), 0.5), seeded())
    assert views.std().item() == pytest.approx(0.03, rel=0.02)
    assert views.mean().item() == pytest.approx(0.5, abs=1e-3)


def test_grey_makes_channels_equal() -> None:
    images = random_images(1000, 3, 8, 8)
    everything = Augmentation(grey_probability=1.0)(images, seeded())
    torch.testing.assert_close(everything, V.rgb_to_grayscale(images, 3), atol=1e-3, rtol=0)
    some = Augmentation(grey_probability=0.2)(images, seeded())
    grey = (some[:, 0] == some[:, 2]).all(dim=(1, 2))
    assert grey.float().mean().item() == pytest.approx(0.2, abs=0.05)
    assert torch.equal(some[~grey], images[~grey])
    one_channel = random_images(10)
    assert torch.equal(Augmentation(grey_probability=1.0)(one_channel, seeded()), one_channel)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_equals_torchvision(channels: int) -> None:
    images = 0.25 + 0.25 * random_images(6, channels)  # nothing reaches the clamp
    jittered = Augmentation(jitter=0.4)._jitter_colours(images, seeded(3))
    factors = 1.0 + 0.4 * (2.0 * torch.rand(6, 3, 1, 1, 1, generator=seeded(3)) - 1.0)
    for image, view, factor in zip(images, jittered, factors.flatten(1).tolist(), strict=True):
        expected = V.adjust_contrast(V.adjust_brightness(image, factor[0]), factor[1])
        if channels == 3:
            expected = V.adjust_saturation(expected, factor[2])
        torch.testing.assert_close(view, expected, atol=1e-3, rtol=0)


def test_jitter_acts_on_its_share() -> None:
    images = random_images(1000, 3, 8, 8)
    views = Augmentation(jitter=0.4, jitter_probability=0.1)(images, seeded())
    changed = (views != images).any(dim=1).any(dim=1).any(dim=1)
    assert changed.float().mean().item() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("augmentation", [AFFINE, TABLE_9])
@pytest.mark.parametrize("channels", [1, 3])
def test_presets(augmentation: Augmentation, channels: int) -> None:
    images = random_images(64, channels)
    before = images.clone()
    views = augmentation(images, seeded(1))
    assert torch.equal(images, before)
    assert views.shape == images.shape
    assert views.dtype == torch.float32
    assert views.min() >= 0
    assert views.max() <= 1
    assert torch.equal(views, augmentation(images, seeded(1)))
    generator = seeded(1)
    assert not torch.equal(augmentation(images, generator), augmentation(images, generator))
    torch.manual_seed(5)  # the global generator has no part in it
    assert torch.equal(views, augmentation(images, seeded(1)))


@pytest.mark.parametrize(
    "field",
    [
        {"crop": 0.0},
        {"scale": 1.0},
        {"shear": 90.0},
        {"flip_probability": 1.5},
        {"noise_std": -0.1},
        {"degrees": float("nan")},
    ],
)
def test_out_of_range(field: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(field))}=.* choose "):
        Augmentation(**field)
