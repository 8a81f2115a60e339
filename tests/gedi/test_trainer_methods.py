"""Methods beyond GEDI in the one trainer: stages, baselines, vectors, the rising prior."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from nesy_gedi.data.augment import Augmentation
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.methods import METHODS, Method
from nesy_gedi.gedi.networks import NetworkConfig
from nesy_gedi.gedi.sampler import PIXELS, ReplayBuffer, SamplerConfig, Support
from nesy_gedi.gedi.terms import TERMS
from nesy_gedi.gedi.trainer import Trainer, TrainingData

PLANE = NetworkConfig("mlp", 8, 2, 1, 1, 3, projector_hidden=8)
SPHERE = replace(PLANE, projection=4, projector_norm=True)
BARLOW = replace(PLANE, projector_norm=True, temperature=0.0)


def points(count: int = 60) -> TrainingData:
    """Vectors far outside of [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    images = 20 + 3 * torch.randn(count, 2, 1, 1, generator=generator)
    return TrainingData(images, torch.arange(count).unsqueeze(1))


def config_of(method: Method, network: NetworkConfig = PLANE, **changes: object) -> TrainConfig:
    settings: dict[str, object] = {
        "sampler": SamplerConfig(count=5, steps=2, step_size=0.1, noise_std=0.1, buffer_size=20),
        "augmentation": Augmentation(noise_std=0.1),
        "epochs": 4,
        "batch_size": 20,
        "optimizer": "adam",
        "schedule": "constant",
        **changes,
    }
    return TrainConfig(method=method, network=network, **settings)  # type: ignore[arg-type]


def weights(trainer: Trainer, part: str) -> list[torch.Tensor]:
    return [p.detach().clone() for name, p in trainer.network.named_parameters() if name.startswith(part)]


@pytest.mark.parametrize("freeze", [False, True])
def test_two_stages_first_the_energy_then_the_clusters(freeze: bool) -> None:
    method = replace(METHODS["gedi-two-stage"], freeze_encoder=freeze)
    trainer = Trainer(config_of(method), points(), seed=0)
    assert trainer.buffer is not None
    terms, encoders, projectors, buffers = [], [], [], []
    for metrics in trainer.run():
        terms.append(set(metrics.terms))
        encoders.append(torch.cat([p.flatten() for p in weights(trainer, "encoder")]))
        projectors.append(torch.cat([p.flatten() for p in weights(trainer, "projector")]))
        buffers.append(trainer.buffer.images.clone())
    assert terms == [{"gen"}, {"gen"}, {"inv", "prior"}, {"inv", "prior"}]
    assert not torch.equal(encoders[0], encoders[1])
    assert torch.equal(encoders[1], encoders[3]) == freeze
    assert not torch.equal(projectors[2], projectors[3])
    assert not torch.equal(buffers[0], buffers[1])
    assert torch.equal(buffers[1], buffers[3])  # the second stage samples nothing


def test_two_stages_begin_as_jem_does() -> None:
    runs = []
    for method in (METHODS["gedi-two-stage"], Method({"gen": 1})):
        trainer = Trainer(config_of(method), points(), seed=0)
        training = trainer.run()
        next(training)
        runs.append(torch.cat([p.flatten() for p in weights(trainer, "")]))
    assert torch.equal(*runs)


@pytest.mark.parametrize(
    ("name", "network"),
    [("swav", SPHERE), ("swav", PLANE), ("barlow", BARLOW)],
    ids=["prototypes", "sphere", "barlow"],
)
def test_a_baselines_term_is_computed_on_two_views_of_the_same_images(
    name: str, network: NetworkConfig
) -> None:
    """From the definitions, in the mode of training: batch normalisation over both views together."""
    config = config_of(METHODS[name], network, epochs=1, batch_size=60)
    trainer, twin = (Trainer(config, points(), seed=0) for _ in range(2))
    reference = copy.deepcopy(trainer.network).train()
    order = torch.randperm(60, generator=twin.generator)
    images = points().images[order]
    views = [images + torch.empty_like(images).normal_(0, 0.1, generator=twin.generator) for _ in range(2)]
    outputs = reference.projector(reference.encoder(torch.cat(views)))
    if name == "swav":
        z = F.normalize(outputs, dim=1)
        scores = z @ F.normalize(reference.prototypes.weight, dim=1).T if reference.prototypes else z
        first, second = scores.split(60)
        codes = [_codes(part.detach().double(), 0.05) for part in (first, second)]
        expected = (
            -0.5
            * (
                (codes[1] * (first / 0.1).log_softmax(1)).sum(1)
                + (codes[0] * (second / 0.1).log_softmax(1)).sum(1)
            ).mean()
        )
    else:
        a, b = ((part - part.mean(0)) / part.std(0, correction=0) for part in outputs.split(60))
        table = a.T @ b / 60
        off = table - torch.diag(table.diagonal())
        expected = ((1 - table.diagonal()) ** 2).sum() + 0.005 * off.square().sum()
    (metrics,) = trainer.run()
    assert set(metrics.terms) == {name}
    assert metrics.terms[name] == pytest.approx(float(expected.detach()), rel=1e-3)
    assert TERMS[name].views == 2


def _codes(scores: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Sinkhorn-Knopp as published, in probability space: three rounds of columns, then rows."""
    table = (scores / epsilon).exp()
    for _ in range(3):
        table = table / table.sum(0) / table.shape[1]
        table = table / table.sum(1, keepdim=True) / table.shape[0]
    return table / table.sum(1, keepdim=True)


def test_chains_of_vectors_start_where_the_data_lie_and_are_not_clamped() -> None:
    data = points()
    trainer = Trainer(config_of(METHODS["jem"], replace(PLANE, temperature=0.0)), data, seed=0)
    assert trainer.support == Support(float(data.images.min()), float(data.images.max()), False)
    assert trainer.buffer is not None
    start = trainer.buffer.images.clone()
    assert (start.min(), start.max()) >= (trainer.support.low, trainer.support.low)
    assert start.max() <= trainer.support.high
    assert start.dtype == torch.float32
    for _ in trainer.run():
        pass
    assert trainer.buffer.images.max() > 1  # clamped to [0, 1] they would not be


def test_noise_is_uniform_between_the_bounds() -> None:
    support, generator = Support(-2.0, 6.0, False), torch.Generator().manual_seed(0)
    noise = support.noise((4000,), generator)
    assert noise.min() >= -2
    assert noise.max() <= 6
    assert noise.mean() == pytest.approx(2.0, abs=4 * (8 / 12**0.5) / 4000**0.5)
    assert support.bounds is None
    assert PIXELS.bounds == (0.0, 1.0)
    assert ReplayBuffer((1, 2, 2), 5, generator).images.dtype == torch.float16


def test_views_of_vectors_are_not_clamped() -> None:
    images, generator = torch.full((500, 2, 1, 1), 7.0), torch.Generator().manual_seed(0)
    views = Augmentation(noise_std=0.5)(images, generator, bounded=False)
    assert views.mean() == pytest.approx(7, abs=0.1)
    assert views.std() == pytest.approx(0.5, abs=0.05)
    assert Augmentation(noise_std=0.5)(images, generator).max() == 1


@pytest.mark.parametrize(("start", "progress", "share"), [(1.0, 0.0, 1.0), (0.1, 0.0, 0.1), (0.1, 0.5, 0.5)])
def test_the_prior_rises(start: float, progress: float, share: float) -> None:
    config = config_of(METHODS["gedi"], prior_start=start)
    assert config.weight_at("prior", progress) == pytest.approx(25 * share)
    assert config.weight_at("inv", progress) == 50


def test_one_view_where_no_term_compares_two() -> None:
    assert config_of(METHODS["jem"], views=1).views_taken == 1
    assert config_of(METHODS["jem"], views=2).views_taken == 2
    assert config_of(METHODS["barlow"], views=1).views_taken == 2
