"""Pictures of what a network holds: clusters by energy, confusion, samples and their way."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from markupsafe import Markup
from matplotlib.figure import Figure
from torch import Tensor

from nesy_gedi.drawing import IMAGE_STEPS
from nesy_gedi.evaluation.clustering import confusion
from nesy_gedi.gedi.sampler import Support, frozen, sgld
from nesy_gedi.report.material import Material
from nesy_gedi.report.pictures import Picture, chart, strip
from nesy_gedi.reporting.figures import draw_plane

_EACH = 8  # images at either end of a cluster
_MOST_CLUSTERS = 100  # of a gallery
_CHAINS, _PLANE_CHAINS = 8, 100
_PLANE_STEPS = 5000  # seconds; enough to see where chains go, a quarter of what `sample` takes
_STOPS = (0.0, 0.02, 0.1, 0.3, 1.0)  # of a chain's steps, where it is looked at


@dataclass(frozen=True)
class Cluster:
    """What one cluster holds.

    Attributes:
        size: number of images.
        typical: its images of the lowest energy; None if it is empty.
        strange: its images of the highest energy; None if it is empty.
    """

    name: str
    size: int
    typical: Picture | None
    strange: Picture | None


def gallery(material: Material) -> list[Cluster]:
    """Each cluster with its most and least typical images."""
    images, names = material.shown[0], material.needed.cluster_names
    return [_cluster(material, images, k, name) for k, name in enumerate(names[:_MOST_CLUSTERS])]


def _cluster(material: Material, images: Tensor, k: int, name: str) -> Cluster:
    rows = (material.outputs.predicted == k).nonzero()[:, 0]
    rows = rows[material.energies[rows].argsort()]
    if not len(rows):
        return Cluster(name, 0, None, None)
    ends = [("most typical", rows[:_EACH]), ("least typical", rows[-_EACH:].flip(0))]
    pictures = []
    for kind, chosen in ends:
        low, high = material.energies[chosen].aminmax()
        alt = (
            f"cluster {name}: its {len(chosen)} {kind} of {len(rows)} {material.split} images, energies from "
            f"{low:.2f} to {high:.2f} nats"
        )
        pictures.append(strip(images[chosen], alt))
    return Cluster(name, len(rows), *pictures)


@dataclass(frozen=True)
class Confusion:
    """Counts of images: rows are labels, columns what the network calls them.

    Attributes:
        shares: of each row's images, ``counts`` over their sum.
    """

    labels: Sequence[str]
    clusters: Sequence[str]
    counts: list[list[int]]
    shares: list[list[float]]


def confusion_of(material: Material) -> Confusion | None:
    """The confusion matrix of the images that have classes; None where nobody knows them."""
    labels, clusters = material.needed.domain, material.needed.cluster_names
    if material.shown[1] is None or material.needed.test_set() is None:
        return None
    table = confusion(material.outputs.predicted, material.shown[1], len(clusters), len(labels))
    shares = table / table.sum(1, keepdims=True).clip(min=1)
    return Confusion(labels, clusters, table.tolist(), shares.tolist())


@dataclass(frozen=True)
class Trajectories:
    """Chains on their way from noise.

    Attributes:
        stops: the step, the states there, and their mean energy in nats.
        reference: mean energy of the data, nats.
    """

    stops: list[tuple[int, Picture, float]]
    reference: float


@torch.no_grad()
def trajectories(material: Material) -> Trajectories:
    """Chains of the run's own sampler, started from noise, at some of their steps."""
    states = _chains(material, _CHAINS)
    stops = []
    for step, x in states:
        energy = float(material.trained.network.energy(x).mean())
        alt = f"{len(x)} samples after {step} SGLD steps, mean energy {energy:.2f} nats"
        stops.append((step, strip((x * 255).round().byte(), alt), energy))
    return Trajectories(stops, float(material.energies.mean()))


def plane(material: Material) -> Markup:
    """Clusters of points of the plane, the energy, and where chains of the run's own sampler end."""
    points = material.shown[0]
    step, ends = _chains(material, _PLANE_CHAINS)[-1] if "gen" in material.uses else (0, points[:0])

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, 2)
        draw_plane(axes, material.trained.network, points)
        if len(ends):
            across, up = ends.flatten(1).numpy().T
            axes[1].scatter(across, up, s=6, color="tab:red", label="samples")
            axes[1].legend(loc="upper right", fontsize=7)

    sampled = f"; red: {len(ends)} samples after {step:,} SGLD steps from noise" if len(ends) else ""
    return chart(draw, f"left: {len(points)} points by cluster; right: the energy in nats{sampled}", 7.2, 3.2)


@torch.no_grad()
def _chains(material: Material, count: int) -> list[tuple[int, Tensor]]:
    """Steps, and the states of all chains there."""
    network, description = material.trained.network, material.record.description
    sampler, data = description["config"]["sampler"], description["data"]
    low, high = data["range"]
    support = Support(low, high, data["bounded"])
    generator = torch.Generator().manual_seed(0)
    config = network.config
    x = support.noise((count, config.channels, config.image_height, config.image_width), generator)
    steps = IMAGE_STEPS if support.bounded else _PLANE_STEPS
    found, done = [(0, x)], 0
    with frozen(network):
        gradient = network.energy_gradient()
        for stop in [round(share * steps) for share in _STOPS[1:]]:
            alpha, sigma, most = (sampler[key] for key in ("step_size", "noise_std", "largest_move"))
            x = sgld(gradient, x, stop - done, alpha, sigma, generator, support.bounds, most)
            done = stop
            found.append((stop, x))
    return found
