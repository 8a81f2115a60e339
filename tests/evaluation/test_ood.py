"""The sign of the scores on a Gaussian, the detection figures by counting, and fitting other sets."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.ood import SCORES, detection, fit_to, ood_scores, read_scores, write_scores
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig


class Gaussian(nn.Module):
    """E(x) = ||x||²/2, as two equal logits: their softmax says nothing, their sum everything."""

    def logits(self, x: Tensor) -> Tensor:
        value = -x.flatten(1).square().sum(1, keepdim=True) / 2
        return (value - math.log(2)).expand(-1, 2)


def test_scores_of_a_gaussian_are_its_log_density_and_minus_its_gradients_norm() -> None:
    points = torch.randn(300, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    scores = ood_scores(Gaussian(), points, chunk=128)  # type: ignore[arg-type]
    radius = points.flatten(1).norm(dim=1)
    torch.testing.assert_close(scores["logpx"], -radius.square() / 2)
    torch.testing.assert_close(scores["gradient"], -radius)
    torch.testing.assert_close(scores["softmax"], torch.full((300,), 0.5))


def test_what_the_gaussian_was_made_for_is_the_positive_class() -> None:
    generator = torch.Generator().manual_seed(0)
    inside, outside = (scale * torch.randn(2000, 2, 1, 1, generator=generator) for scale in (1.0, 3.0))
    ours, others = (ood_scores(Gaussian(), points) for points in (inside, outside))  # type: ignore[arg-type]
    for name in ("logpx", "gradient"):
        found = detection(ours[name], others[name])
        # radii are Rayleigh: P(r < R) for scales 1 and 3 is 9/10; above the radius of 95 % of the first
        # lies exp(-ln(20)/9) of the second
        assert found["auroc"] == pytest.approx(0.9, abs=0.015)
        assert found["fpr95"] == pytest.approx(1 - 20 ** (-1 / 9), abs=0.03)
        assert found["aupr"] > 0.85
        assert detection(others[name], ours[name])["auroc"] == pytest.approx(0.1, abs=0.015)
    assert detection(ours["softmax"], others["softmax"])["auroc"] == 0.5


def test_images_are_differentiated_in_units_of_their_range() -> None:
    torch.manual_seed(0)
    network = GEDINetwork(NetworkConfig("mlp", 9, 1, 4, 4, 3)).train()
    images = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    scores = ood_scores(network, images, chunk=2)
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    network.eval().double()
    with torch.no_grad():
        pixels, step = images.double() / 255, 1e-6
        moves = step * torch.eye(16, dtype=torch.float64).view(16, 1, 4, 4)
        slopes = torch.stack(
            [(network.energy(pixels + m) - network.energy(pixels - m)) / (2 * step) for m in moves]
        )
        posterior = network.posterior(pixels).amax(1)
        torch.testing.assert_close(scores["gradient"].double(), -slopes.norm(dim=0), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(scores["logpx"].double(), -network.energy(pixels), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(scores["softmax"].double(), posterior, rtol=1e-4, atol=1e-4)


def test_a_network_that_diverged_is_refused() -> None:
    network = GEDINetwork(NetworkConfig("mlp", 5, 2, 1, 1, 2))
    for wrong in (torch.nan, torch.inf):
        with torch.no_grad():
            network.last_layer.bias.fill_(wrong)
        with pytest.raises(UserError, match="gives logpx that are no finite numbers: its training diverged"):
            ood_scores(network, torch.randn(6, 2, 1, 1))


values = st.lists(st.integers(-4, 4), min_size=1, max_size=25)


@settings(deadline=None)
@given(values, values)
def test_detection_equals_counting(inside: list[int], outside: list[int]) -> None:
    found = detection(torch.tensor(inside).float(), torch.tensor(outside).float())
    wins = sum((a > b) + (a == b) / 2 for a in inside for b in outside)
    assert found["auroc"] == pytest.approx(wins / (len(inside) * len(outside)))
    thresholds = sorted({*inside, *outside}, reverse=True)
    recall = [np.mean([a >= t for a in inside]) for t in thresholds]
    first = next(t for t, r in zip(thresholds, recall, strict=True) if r >= 0.95)
    assert found["fpr95"] == pytest.approx(np.mean([b >= first for b in outside]))
    hits = [sum(a >= t for a in inside) for t in thresholds]
    precision = [h / (h + sum(b >= t for b in outside)) for h, t in zip(hits, thresholds, strict=True)]
    gains = np.diff([0, *recall])
    assert found["aupr"] == pytest.approx(float(np.dot(gains, precision)))


def test_recall_of_95_percent_is_found_on_a_straight_stretch() -> None:
    # each threshold adds 1 % of both: the curve is a straight line, whose inner points must not be dropped
    scores = torch.arange(100).float()
    assert detection(scores, scores)["fpr95"] == pytest.approx(0.95)


def test_scores_are_kept_beside_those_that_are_there(tmp_path: Path) -> None:
    assert read_scores(tmp_path) == ({}, {})
    own = {"logpx": torch.randn(5), "softmax": torch.rand(5)}
    one, two, new = ({"logpx": torch.randn(3), "softmax": torch.rand(3)} for _ in range(3))
    write_scores(tmp_path, own, {"a/b.npz": one, "own": two})
    write_scores(tmp_path, own, {"own": new})
    inside, others = read_scores(tmp_path)
    assert list(others) == ["a/b.npz", "own"]
    for found, wanted in ((inside, own), (others["a/b.npz"], one), (others["own"], new)):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    (tmp_path / SCORES).write_bytes(b"torn")
    assert read_scores(tmp_path) == ({}, {})


def test_other_sets_are_brought_to_the_runs_shape() -> None:
    grey = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    same, done = fit_to(grey, (1, 8, 8))
    assert same is grey
    assert done == "unchanged"
    colour, done = fit_to(grey, (3, 8, 8))
    assert all(torch.equal(colour[:, [channel]], grey) for channel in range(3))
    assert done == "grey repeated"
    back, done = fit_to(colour, (1, 8, 8))
    assert (back.int() - grey.int()).abs().max() <= 1  # the weights of luma add up to 0.9999
    assert done == "colour to luma"
    primary = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    primary[:, 1] = 100
    assert fit_to(primary, (1, 8, 8))[0].unique().tolist() == [58]  # green weighs 0.587


def test_other_sizes_are_averaged_not_picked() -> None:
    lines = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    lines[..., ::2] = 200
    small, done = fit_to(lines, (3, 4, 4))
    assert small.shape == (1, 3, 4, 4)
    assert small.dtype == torch.uint8
    assert (small.int() - 100).abs().max() <= 25  # without antialiasing: 0 or 200 only, or their aliases
    assert small.float().mean().item() == pytest.approx(100, abs=2)
    assert done == "grey repeated, 16x16 to 4x4 pixels, bilinear, antialias"


def test_vectors_and_images_do_not_mix() -> None:
    points, images = torch.randn(4, 2, 1, 1), torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    assert fit_to(points, (2, 1, 1))[0] is points
    for data, shape in ((points, (1, 8, 8)), (images, (2, 1, 1)), (points, (3, 1, 1))):
        with pytest.raises(UserError, match="cannot be brought to"):
            fit_to(data, shape)
