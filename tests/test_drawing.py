"""Samples are the chains that they say they are, and come back as they were written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from untrained_runs import FAST, save_run

from nesy_gedi.data.sets import load_data_set
from nesy_gedi.drawing import draw_samples, sample_run, stored_samples, write_samples
from nesy_gedi.errors import UserError
from nesy_gedi.evaluating import evaluate
from nesy_gedi.gedi.checkpoint import WEIGHTS, load_run, save_network

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_samples_are_the_chains_of_the_runs_own_sampler(run: Path) -> None:
    network, description = load_run(run)
    samples = draw_samples(run, 5, 3, seed=7)
    generator = torch.Generator().manual_seed(7)
    state = torch.rand(5, 1, 28, 28, generator=generator)
    sampler = description["config"]["sampler"]
    for _ in range(3):
        state.requires_grad_(True)
        (slope,) = torch.autograd.grad(network.energy(state).sum(), state)
        noise = torch.randn(state.shape, generator=generator)
        state = (state.detach() - sampler["step_size"] * slope + sampler["noise_std"] * noise).clamp(0, 1)
    torch.testing.assert_close(samples.energies, network.energy(state).detach(), rtol=1e-4, atol=1e-4)
    assert (samples.images.int() - (state * 255).round().int()).abs().max() <= 1
    assert samples.images.dtype == torch.uint8


def test_samples_are_written_for_others_to_read(run: Path) -> None:
    console = Console(width=200, record=True, quiet=True)
    sample_run(console, str(run), 5, 2, 1, None)
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["samples.npz", "samples.png"]
    drawn = draw_samples(run, 5, 2, 1)
    with np.load(run / "samples" / "samples.npz", allow_pickle=False) as file:
        assert file["images"].shape == (5, 28, 28, 1)
        assert file["images"].dtype == np.uint8
        np.testing.assert_array_equal(file["images"][..., 0], drawn.images[:, 0].numpy())
        np.testing.assert_array_equal(file["energies"], drawn.energies.numpy())
    grid = np.asarray(Image.open(run / "samples" / "samples.png"))
    np.testing.assert_array_equal(grid[2:30, 2:30, 0], drawn.images[0, 0].numpy())
    assert stored_samples(run, 5, 2) is not None
    assert stored_samples(run, 5, 3) is None
    assert stored_samples(run, 4, 2) is None
    network, description = load_run(run)
    with torch.no_grad():
        network.last_layer.bias.add_(1)
    save_network(network, run / WEIGHTS, description)
    assert stored_samples(run, 5, 2) is None  # of other weights
    (run / "samples" / "samples.npz").write_text("damaged")
    assert stored_samples(run, 5, 2) is None


def test_vectors_are_drawn_unbounded_from_their_range() -> None:
    moons = load_data_set("moons", None)
    shape = {"encoder": "mlp", "channels": 2, "image_height": 1, "image_width": 1, "classes": 2}
    run = save_run("run", moons, temperature=0.0, **shape)
    low, high = moons.describe()["range"]
    at_once = draw_samples(run, 300, 1, seed=0).images
    assert at_once.dtype == torch.float32
    assert at_once.min() < low + 0.5
    assert at_once.max() > high - 0.5
    samples = draw_samples(run, 40, 300, seed=0)
    assert samples.images.abs().max() > 2 * max(-low, high)  # downhill for ever: nothing clamps them
    written = write_samples(samples, run / "samples")
    assert [path.name for path in written] == ["samples.npz", "samples.png"]
    assert Image.open(written[1]).format == "PNG"
    stored = stored_samples(run, 40, 300)
    assert stored is not None
    assert torch.equal(stored.images, samples.images)
    found = evaluate(run, replace(FAST, measures=("generation", "clustering"), reference="test"))
    assert list(found) == ["clustering", "generation"]
    with pytest.raises(UserError, match="Inception reads images"):
        evaluate(run, replace(FAST, measures=("generation",), features="inception"))
