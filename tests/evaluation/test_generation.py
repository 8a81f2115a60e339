"""Distances in closed form, against scipy and torchmetrics; and the Inception file's safety."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch_fidelity import feature_extractor_inceptionv3 as library
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.generation import (
    INCEPTION_SHA256,
    degenerate,
    feature_space,
    frechet_distance,
    inception_features,
    kernel_distance,
    load_inception,
)
from nesy_gedi.gedi.checkpoint import WEIGHTS, save_network
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig


def gaussian(count: int, width: int, seed: int) -> Tensor:
    """Correlated features with a mean of their own."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator)
    return torch.randn(count, width, generator=generator) @ mixing + torch.randn(width, generator=generator)


def exact(count: int, deviations: list[float], mean: list[float]) -> Tensor:
    """Features whose sample mean and covariance are as asked, to rounding."""
    raw = torch.randn(count, len(mean), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    raw = raw - raw.mean(0)
    white = raw @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(raw.T).view(len(mean), -1))).T
    return white * torch.tensor(deviations) + torch.tensor(mean)


def test_distance_of_gaussians_in_closed_form() -> None:
    # with diagonal covariances: ||μ - μ'||² + Σ (σ - σ')²
    first, second = exact(50, [1.0, 2.0, 0.5], [0.0, 1.0, 0.0]), exact(40, [3.0, 2.0, 1.5], [2.0, 1.0, -1.0])
    assert frechet_distance(first, second) == pytest.approx(4 + 1 + 4 + 0 + 1, abs=1e-6)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(first, first + 2) == pytest.approx(12, abs=1e-6)
    one, other = exact(30, [2.0], [0.0]), exact(30, [5.0], [1.0])
    assert frechet_distance(one, other) == pytest.approx(10, abs=1e-6)


def test_distance_equals_the_definition_by_scipys_matrix_root() -> None:
    first, second = gaussian(200, 8, 0).double(), gaussian(150, 8, 1).double()
    left, right = np.cov(first.numpy().T), np.cov(second.numpy().T)
    shift = (first.mean(0) - second.mean(0)).square().sum().item()
    wanted = shift + np.trace(left + right - 2 * sqrtm(left @ right).real)
    assert frechet_distance(first, second) == pytest.approx(wanted, rel=1e-6)
    assert frechet_distance(first.float(), second.float()) == pytest.approx(wanted, rel=1e-4)


class Given(torch.nn.Module):
    """torchmetrics asks for a network; this one's images are features already."""

    num_features = 8

    def forward(self, features: Tensor) -> Tensor:
        return features


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")
def test_distances_equal_those_of_torchmetrics() -> None:
    first, second = gaussian(80, 8, 0), gaussian(80, 8, 1)
    metric = FrechetInceptionDistance(feature=Given(), input_img_size=(8,))
    kernel = KernelInceptionDistance(feature=Given(), subsets=2, subset_size=80)
    for oracle in (metric, kernel):
        oracle.update(first, real=True)
        oracle.update(second, real=False)
    assert frechet_distance(second, first) == pytest.approx(metric.compute().item(), rel=1e-4)
    mean, deviation, size = kernel_distance(second, first)  # a subset is all there is, in another order
    assert mean == pytest.approx(kernel.compute()[0].item(), rel=1e-4)
    assert (deviation, size) == (pytest.approx(0, abs=1e-9), 80)


def test_kernel_distance_is_unbiased_and_repeats() -> None:
    first, second = gaussian(560, 4, 0).split([300, 260])
    mean, deviation, size = kernel_distance(first, second[:200], seed=1)
    assert size == 200
    assert abs(mean) < 3 * deviation
    assert kernel_distance(first, second[:200], seed=1) == (mean, deviation, size)
    assert kernel_distance(first, second + 1, seed=1)[0] > 10 * deviation


def test_too_few_samples_are_told() -> None:
    enough = torch.zeros(9, 8)
    assert degenerate(enough, enough) == []
    (remark,) = degenerate(torch.zeros(8, 8), enough)
    assert remark.startswith("8 samples for 8 features")
    (remark,) = degenerate(enough, torch.zeros(5, 8))
    assert remark.startswith("5 reference images for 8 features")


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network() -> GEDINetwork:
    torch.manual_seed(0)
    return GEDINetwork(NetworkConfig(width=4, image_height=8, image_width=8)).eval()


def no_download(*_: object, **__: object) -> None:
    raise AssertionError("downloads nothing")


def test_missing_weights_are_not_downloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: Tensor, network: GEDINetwork
) -> None:
    monkeypatch.setattr(library, "load_state_dict_from_url", no_download)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    for asked, place in (
        (None, tmp_path / "checkpoints"),
        (str(tmp_path / "here.pth"), tmp_path / "here.pth"),
    ):
        with pytest.raises(UserError) as error:
            feature_space("inception", network, images, asked)
        told = str(error.value)
        assert f"no Inception weights at {place}" in told
        assert library.URL_INCEPTION_V3 in told
        assert f"SHA-256 {INCEPTION_SHA256[:8]}…" in told
        assert "\n" not in told
    # the digits in the file's own name
    assert library.URL_INCEPTION_V3.endswith(f"-{INCEPTION_SHA256[:8]}.pth")


class Trap:
    """What unpickling it would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("sprung"),))  # type: ignore[return-value]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_another_file_is_refused_and_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    for content in (pickle.dumps(Trap()), b"", b"no weights"):
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        with pytest.raises(UserError, match=rf"has SHA-256 {digest[:8]}…, the .* have 6726825d…"):
            load_inception(str(path))
        with pytest.raises(UserError, match="holds no weights"):
            load_inception(str(path), digest)
    torch.save({"trap": Trap()}, path)
    with pytest.raises(UserError, match="holds no weights"):
        load_inception(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
    assert not Path("sprung").exists()


def test_weights_are_loaded_and_grey_images_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: Tensor
) -> None:
    monkeypatch.setattr(library, "load_state_dict_from_url", no_download)
    with monkeypatch.context() as patch:  # the library builds its network with weights only
        patch.setattr(library.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        patch.setattr(library, "load_state_dict_from_url", lambda *_, **__: {})
        plain = library.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(plain.state_dict(), tmp_path / "weights.pth")
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    loaded = load_inception(str(tmp_path / "weights.pth"), digest)
    features = inception_features(loaded, images[:2], chunk=1)
    assert features.shape == (2, 2048)
    torch.testing.assert_close(features, plain(images[:2].repeat(1, 3, 1, 1))[0], rtol=1e-3, atol=1e-4)


def test_other_features_never_go_by_the_name_of_fid(
    tmp_path: Path, images: Tensor, network: GEDINetwork
) -> None:
    own = feature_space("classifier", network, images)
    assert (own.frechet, own.kernel) == ("FD (features: classifier)", "KD (features: classifier)")
    torch.testing.assert_close(own.extract(images), network.features(images / 255).detach())
    path = str(tmp_path / WEIGHTS)
    torch.manual_seed(1)
    other = GEDINetwork(NetworkConfig("mlp", 5, 3, 8, 8)).eval()
    save_network(other, tmp_path / WEIGHTS, {})
    space = feature_space(path, network, images)
    assert (space.frechet, space.resize) == (f"FD (features: {path})", "grey repeated")
    wanted = other.features(images.expand(-1, 3, -1, -1) / 255).detach()
    torch.testing.assert_close(space.extract(images), wanted)
    with pytest.raises(UserError, match="no weights at"):
        feature_space(str(tmp_path / "none"), network, images)
    with pytest.raises(UserError, match="Inception reads images"):
        feature_space("inception", network, torch.randn(3, 2, 1, 1))
