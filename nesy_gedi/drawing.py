"""``nesy-gedi sample``: samples from a trained network's energy by Langevin dynamics, and their pictures."""

import hashlib
import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torchvision.utils import make_grid, save_image

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.subject import recorded
from nesy_gedi.gedi.checkpoint import load_run
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.sampler import SamplerConfig, Support, frozen, sgld
from nesy_gedi.run_files import WEIGHTS
from nesy_gedi.writing import write_whole

FOLDER, ARRAYS, PICTURE = "samples", "samples.npz", "samples.png"
IMAGE_STEPS, VECTOR_STEPS = 500, 20_000
"""SGLD steps of a sample by default. Chains of the toys' recipe take steps of some 0.01 in a plane several
units wide: after 500 of them most points are still where the uniform start put them."""
_CHUNK, _VECTOR_CHUNK = 200, 5000  # chains that move together
_SHOWN = 100  # images on the picture


@dataclass(frozen=True, eq=False)
class Samples:
    """The last states of chains.

    Attributes:
        images: uint8 ``(n, channels, height, width)``, or float32 ``(n, d, 1, 1)``.
        energies: E(x) of the states before they were rounded to bytes, ``(n,)``, nats, up to the constant
            ln Z.
        settings: what they came from: count, steps, step_size, noise_std, seed, weights_sha256.
    """

    images: Tensor
    energies: Tensor
    settings: dict[str, Any]


def run_folder(run: str | Path) -> Path:
    """The folder of a run that is named by its folder or by its weights file."""
    path = Path(run)
    return path if path.is_dir() else path.parent


def weights_digest(run: str | Path) -> str:
    """SHA-256 of a run's weights file."""
    path = Path(run)
    return hashlib.sha256((path / WEIGHTS if path.is_dir() else path).read_bytes()).hexdigest()


def default_steps(bounded: bool) -> int:
    """SGLD steps where nobody said how many: bounded data are images, others vectors."""
    return IMAGE_STEPS if bounded else VECTOR_STEPS


def draw_samples(
    run: str | Path, count: int, steps: int | None, seed: int, console: Console | None = None
) -> Samples:
    """Start chains from uniform noise over the data's range and move them with the run's own sampler.

    Args:
        run: folder or weights file.
        count: number of chains.
        steps: SGLD steps of each; None for :func:`default_steps`.
        seed: decides starts and noise.
        console: where to show progress, if it is a terminal.

    Raises:
        UserError: there is no such run, another version wrote it, or the chains left all bounds.
    """
    network, description = load_run(run)
    alpha, sigma, most = (
        recorded(description, run, "config", "sampler", key)
        for key in ("step_size", "noise_std", "largest_move")
    )
    low, high = recorded(description, run, "data", "range")
    support = Support(low, high, recorded(description, run, "data", "bounded"))
    steps = default_steps(support.bounded) if steps is None else steps
    sampler = SamplerConfig(step_size=alpha, noise_std=sigma, largest_move=most)
    generator = torch.Generator().manual_seed(seed)
    images, energies = move_chains(network, support, sampler, count, steps, generator, console)
    settings = {"count": count, "steps": steps, "step_size": alpha, "noise_std": sigma, "seed": seed}
    return Samples(images, energies, {**settings, "weights_sha256": weights_digest(run)})


def move_chains(
    network: GEDINetwork,
    support: Support,
    sampler: SamplerConfig,
    count: int,
    steps: int,
    generator: torch.Generator,
    console: Console | None = None,
) -> tuple[Tensor, Tensor]:
    """Start chains from uniform noise over a support and move them on a network's energy.

    Args:
        network: on the CPU.
        support: where the chains start, and whether they must stay there.
        sampler: of a step: its size, noise and largest move.
        count: number of chains.
        steps: SGLD steps of each.
        generator: source of starts and noise.
        console: where to show progress, if it is a terminal.

    Returns:
        The last states, as :class:`Samples` has them, and their energies, ``(count,)``, nats.

    Raises:
        UserError: the chains left all bounds.
    """
    chunk = _CHUNK if support.bounded else _VECTOR_CHUNK
    parts = []
    gradient = network.energy_gradient()
    with frozen(network):
        for size in _progress([min(chunk, count - done) for done in range(0, count, chunk)], console):
            start = support.noise((size, *_shape(network)), generator)
            parts.append(
                sgld(
                    gradient,
                    start,
                    steps,
                    sampler.step_size,
                    sampler.noise_std,
                    generator,
                    support.bounds,
                    sampler.largest_move,
                )
            )
    states = torch.cat(parts)
    with torch.no_grad():
        energies = torch.cat([network.energy(part) for part in states.split(chunk)])
    if not bool(energies.isfinite().all()):
        raise UserError(
            "the chains ran away to infinity: the energy has no lower bound; train the network longer"
        )
    return (states * 255).round().byte() if support.bounded else states, energies


def write_samples(samples: Samples, folder: Path) -> list[Path]:
    """Write ``samples.npz`` and, for images and points of the plane, ``samples.png``, each whole.

    The arrays are ``images`` (uint8 NHWC, or float32 ``(n, d)``), ``energies`` and, as JSON, ``settings``.

    Returns:
        The files written.

    Raises:
        UserError: the folder cannot be written.
    """
    shaped = samples.images.flatten(1) if _vectors(samples.images) else samples.images.permute(0, 2, 3, 1)
    arrays = io.BytesIO()
    settings = np.array(json.dumps(samples.settings))
    np.savez(arrays, images=shaped.numpy(), energies=samples.energies.numpy(), settings=settings)
    contents = {ARRAYS: arrays}
    if not _vectors(samples.images) or samples.images.shape[1] == 2:
        contents[PICTURE] = io.BytesIO()
        _draw(samples, contents[PICTURE])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_whole(folder / name, content.getvalue())
    except OSError as error:
        raise UserError(
            f"cannot write samples to {folder} ({error.strerror}); choose another --out"
        ) from error
    return [folder / name for name in contents]


def stored_samples(run: str | Path, count: int, steps: int) -> Samples | None:
    """The samples in a run's folder, if they are of these weights, as many, and of chains as long.

    None if they are not, or the file is damaged: samples can always be drawn anew.
    """
    path = run_folder(run) / FOLDER / ARRAYS
    try:
        with np.load(path, allow_pickle=False) as file:
            settings = json.loads(str(file["settings"]))
            arrays = torch.from_numpy(file["images"]), torch.from_numpy(file["energies"])
        found = {key: settings[key] for key in ("count", "steps", "weights_sha256", "seed")}
        images = arrays[0].permute(0, 3, 1, 2) if arrays[0].dim() == 4 else arrays[0][:, :, None, None]
    except Exception:  # not there, or not ours; zipfile and numpy raise many kinds on damaged files
        return None
    wanted = {"count": count, "steps": steps, "weights_sha256": weights_digest(run), "seed": found["seed"]}
    if found != wanted or len(images) != count:
        return None
    return Samples(images.contiguous(), arrays[1], settings)


def kept_samples(run: str | Path, count: int, steps: int, seed: int) -> Samples:
    """Those in the run's folder, or new ones, which are put there.

    Raises:
        UserError: as :func:`draw_samples` and :func:`write_samples`.
    """
    samples = stored_samples(run, count, steps)
    if samples is None:
        samples = draw_samples(run, count, steps, seed)
        write_samples(samples, run_folder(run) / FOLDER)
    return samples


def sample_run(console: Console, run: str, count: int, steps: int | None, seed: int, out: str | None) -> None:
    """Draw samples, write them to ``out`` (by default ``RUN/samples``), and say where they are.

    Raises:
        UserError: as :func:`draw_samples` and :func:`write_samples`.
    """
    samples = draw_samples(run, count, steps, seed, console)
    mean = samples.energies.mean().item()
    written = write_samples(samples, Path(out) if out else run_folder(run) / FOLDER)
    text = f"{count:,} samples after {samples.settings['steps']:,} steps, mean energy {mean:.3f} nats"
    for line in (text, *map(str, written)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _shape(network: GEDINetwork) -> tuple[int, int, int]:
    return network.config.channels, network.config.image_height, network.config.image_width


def _vectors(images: Tensor) -> bool:
    return images.is_floating_point()


def _progress(chunks: list[int], console: Console | None) -> Iterable[int]:
    if console is None or not console.is_interactive:
        return chunks
    return track(chunks, "sampling", console=console, transient=True)


def _draw(samples: Samples, file: BinaryIO) -> None:
    if not _vectors(samples.images):
        shown = samples.images[:_SHOWN]
        grid = make_grid(shown.float() / 255, nrow=math.ceil(math.sqrt(len(shown))), pad_value=1.0)
        save_image(grid, file, format="png")
        return
    # a second to import, and wanted only here
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    axis = figure.subplots()
    x, y = samples.images.flatten(1).numpy().T
    axis.scatter(x, y, s=6, c=samples.energies.numpy(), cmap="viridis")
    axis.set(aspect="equal", title="samples, coloured by energy")
    figure.savefig(file, format="png", dpi=120)
