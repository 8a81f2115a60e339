"""Samples are the chains that they say they are, and come back as they were written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from untrained_runs import FAST, save_run

from nesy_gedi import drawing
from nesy_gedi.data.sets import load_data_set
from nesy_gedi.drawing import (
    default_steps,
    draw_samples,
    kept_samples,
    sample_run,
    stored_samples,
    write_samples,
)
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


def test_damaged_samples_are_drawn_anew(run: Path) -> None:
    drawn = draw_samples(run, 4, 1, 0)
    path = write_samples(drawn, run / "samples")[0]
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:-10], whole[:100] + b"\0" * 50 + whole[150:]):
        path.write_bytes(content)
        assert stored_samples(run, 4, 1) is None
    arrays = {"images": drawn.images.permute(0, 2, 3, 1).numpy(), "energies": drawn.energies.numpy()}
    for settings in ("[1]", "{}", json.dumps({**drawn.settings, "seed": 0, "count": 5})):
        np.savez(path, **arrays, settings=np.array(settings))
        assert stored_samples(run, 4, 1) is None
    with open(path, "wb") as file:
        np.save(file, arrays["images"])
    assert stored_samples(run, 4, 1) is None
    assert torch.equal(kept_samples(run, 4, 1, 0).images, drawn.images)
    kept = stored_samples(run, 4, 1)
    assert kept is not None
    assert torch.equal(kept.images, drawn.images)


def test_number_of_steps_depends_on_the_kind_of_data(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (default_steps(bounded=True), default_steps(bounded=False)) == (500, 20_000)
    monkeypatch.setattr(drawing, "IMAGE_STEPS", 3)
    monkeypatch.setattr(drawing, "VECTOR_STEPS", 7)
    shape = {"encoder": "mlp", "channels": 2, "image_height": 1, "image_width": 1, "classes": 2}
    for folder, steps in ((run, 3), (save_run("points", load_data_set("moons", None), **shape), 7)):
        samples = draw_samples(folder, 2, None, 0)
        assert samples.settings["steps"] == steps
        assert torch.equal(samples.images, draw_samples(folder, 2, steps, 0).images)
        found = evaluate(folder, replace(FAST, measures=("generation",), sampler_steps=None))
        assert found["generation"]["classifier"]["settings"]["sampler_steps"] == steps


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
