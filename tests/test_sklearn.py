"""The estimator: scikit-learn's own checks, and that what it says is what its network says."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.metrics import normalized_mutual_info_score
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from tiny_training import same, weights

from nesy_gedi.errors import UserError
from nesy_gedi.sklearn import GEDIClusterer

QUICK: dict[str, Any] = {"epochs": 50, "width": 20, "n_init": 1, "random_state": 0}
ON_IMAGES: dict[str, Any] = {"epochs": 1, "width": 4, "random_state": 0}
POINTS, TRUTH = make_blobs([40, 40, 40], 2, center_box=(-40, 40), random_state=3)
GREY = (load_digits().images[:60] * 255 / 16).astype(np.uint8)
COLOUR = np.random.default_rng(0).integers(0, 256, (30, 9, 12, 3), dtype=np.uint8)
DATA = {"points": POINTS, "grey": GREY, "colour": COLOUR}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def fitted() -> dict[str, GEDIClusterer]:
    """One for each kind of data."""
    on_images = {name: GEDIClusterer(4, **ON_IMAGES).fit(DATA[name]) for name in ("grey", "colour")}
    return {"points": GEDIClusterer(3, **{**QUICK, "epochs": 200, "n_init": 3}).fit(POINTS), **on_images}


@parametrize_with_checks([GEDIClusterer(**QUICK)])
def test_scikit_learns_own_checks(estimator: GEDIClusterer, check: Any) -> None:
    check(estimator)


def network_input(kind: str) -> torch.Tensor:
    """What the network reads, worked out here."""
    if kind == "points":
        rows = (POINTS - POINTS.mean(0)) / POINTS.std(0)
        return torch.tensor(rows, dtype=torch.float32)[:, :, None, None]
    pixels = torch.tensor(DATA[kind]).float() / 255
    return pixels.unsqueeze(1) if kind == "grey" else pixels.permute(0, 3, 1, 2)


@pytest.mark.parametrize("kind", DATA)
def test_posterior_and_score_are_the_networks(fitted: dict[str, GEDIClusterer], kind: str) -> None:
    estimator, data = fitted[kind], DATA[kind]
    with torch.no_grad():
        logits = estimator.network_(network_input(kind)).double().numpy()
    posterior = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(estimator.predict_proba(data), posterior, atol=1e-4)
    score = estimator.score_samples(data)
    np.testing.assert_allclose(score, np.log(np.exp(logits).sum(1)), atol=1e-3)
    assert score.std() > 0.01
    np.testing.assert_array_equal(estimator.predict(data), estimator.predict_proba(data).argmax(1))
    np.testing.assert_array_equal(estimator.predict(data), estimator.labels_)
    np.testing.assert_array_equal(estimator.predict(data[5:9]), estimator.labels_[5:9])
    assert estimator.n_features_in_ == math.prod(data.shape[1:])


def test_clusters_are_found_whatever_the_units(fitted: dict[str, GEDIClusterer]) -> None:
    """Powers of two scale without rounding: the network sees the same numbers."""
    estimator = fitted["points"]
    assert normalized_mutual_info_score(TRUTH, estimator.labels_) == 1
    units = np.array([1024.0, 1 / 64])
    other = clone(estimator).fit(POINTS * units)
    assert same(weights(estimator.network_), weights(other.network_))
    np.testing.assert_array_equal(estimator.score_samples(POINTS), other.score_samples(POINTS * units))


def test_terms_stand_beside_their_optima(fitted: dict[str, GEDIClusterer]) -> None:
    estimator = fitted["points"]
    assert estimator.optima_ == {"gen": None, "inv": 0.0, "prior": pytest.approx(math.log(3), abs=1e-6)}
    assert set(estimator.terms_) == set(estimator.optima_)
    assert estimator.terms_["inv"] > 0
    assert estimator.terms_["prior"] > math.log(3)


@pytest.mark.parametrize("kind", DATA)
def test_one_number_decides_all_and_nothing_else_is_touched(
    fitted: dict[str, GEDIClusterer], kind: str
) -> None:
    estimator, data = fitted[kind], DATA[kind]
    torch.manual_seed(5)
    np.random.seed(5)
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    again = clone(estimator).fit(data)
    drawn = again.sample(3, steps=2)
    assert torch.equal(states[0], torch.random.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    kept = pickle.loads(pickle.dumps(estimator))
    for twin in (again, kept):
        assert same(weights(estimator.network_), weights(twin.network_))
        np.testing.assert_array_equal(estimator.score_samples(data), twin.score_samples(data))
        np.testing.assert_array_equal(drawn, twin.sample(3, steps=2))
    other = clone(estimator).set_params(random_state=1).fit(data)
    assert not same(weights(estimator.network_), weights(other.network_))
    assert not np.array_equal(drawn, estimator.sample(3, steps=2, random_state=1))


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_samples_of_images_are_the_chains_of_the_network(fitted: dict[str, GEDIClusterer], kind: str) -> None:
    estimator, sampler = fitted[kind], fitted[kind].config_.sampler
    drawn = estimator.sample(7, steps=2)
    generator = torch.Generator().manual_seed(int(np.random.RandomState(0).randint(2**31 - 1)))
    state = torch.rand(7, *network_input(kind).shape[1:], generator=generator)
    for _ in range(2):
        state.requires_grad_(True)
        (slope,) = torch.autograd.grad(-estimator.network_(state).logsumexp(1).sum(), state)
        noise = torch.randn(state.shape, generator=generator)
        state = (state.detach() - sampler.step_size * slope + sampler.noise_std * noise).clamp(0, 1)
    pixels = (state * 255).permute(0, 2, 3, 1).reshape(7, *DATA[kind].shape[1:]).numpy()
    np.testing.assert_allclose(drawn, pixels, atol=1)
    assert drawn.dtype == np.uint8
    assert estimator.predict(drawn).shape == (7,)


def test_samples_of_vectors_start_in_the_range_of_the_data_and_climb() -> None:
    """In the data's units; with little noise and long steps the score can only rise."""
    sampler = {"step_size": 1e-2, "noise_std": 1e-4}
    estimator = GEDIClusterer(3, settings={"sampler": sampler}, **QUICK).fit(POINTS)
    start, end = (estimator.sample(400, steps=steps) for steps in (1, 200))
    assert start.shape == (400, 2)
    span = np.ptp(POINTS, axis=0)
    assert np.all(np.ptp(start, axis=0) > 0.9 * span)
    scaled = (start - POINTS.mean(0)) / POINTS.std(0)
    standard = (POINTS - POINTS.mean(0)) / POINTS.std(0)
    assert scaled.min() > standard.min() - 0.5
    assert scaled.max() < standard.max() + 0.5
    assert estimator.score_samples(end).mean() > estimator.score_samples(start).mean() + 0.1


def test_default_length_of_chains(fitted: dict[str, GEDIClusterer], monkeypatch: pytest.MonkeyPatch) -> None:
    from nesy_gedi import drawing

    monkeypatch.setattr(drawing, "IMAGE_STEPS", 3)
    monkeypatch.setattr(drawing, "VECTOR_STEPS", 7)
    for kind, steps in (("points", 7), ("grey", 3)):
        np.testing.assert_array_equal(fitted[kind].sample(2), fitted[kind].sample(2, steps=steps))


def test_images_arrive_through_a_pipeline(fitted: dict[str, GEDIClusterer]) -> None:
    rows = load_digits().data[:60]
    pictures = FunctionTransformer(lambda x: (x * 255 / 16).astype(np.uint8).reshape(-1, 8, 8))
    pipeline = make_pipeline(pictures, GEDIClusterer(4, **ON_IMAGES)).fit(rows)
    np.testing.assert_array_equal(pipeline.predict(rows), fitted["grey"].labels_)
    np.testing.assert_array_equal(pipeline.score_samples(rows), fitted["grey"].score_samples(GREY))


def test_the_data_choose_the_recipe(fitted: dict[str, GEDIClusterer]) -> None:
    config = {kind: fitted[kind].config_ for kind in DATA}
    assert [config[kind].network.encoder for kind in DATA] == ["mlp", "resnet", "resnet"]
    # no mirror images of digits, and of nothing that is not an image
    assert [config[kind].augmentation.flip_probability for kind in DATA] == [0, 0, 0.5]
    assert [config[kind].network.channels for kind in DATA] == [2, 1, 3]
    tags = get_tags(fitted["points"]).input_tags
    assert tags.two_d_array
    assert tags.three_d_array


@pytest.mark.parametrize("dimensions", [1, 4])
def test_views_are_as_far_away_as_the_fifth_neighbour(dimensions: int) -> None:
    """In groups of six, one step apart, it is 5, 4, 3, 3, 4, 5 steps away; a diagonal is √d times as long."""

    def noise(line: np.ndarray) -> float:
        rows = np.repeat(line[:, None], dimensions, axis=1)
        found = GEDIClusterer(1, **{**QUICK, "epochs": 1}).fit(rows).config_.augmentation.noise_std
        assert isinstance(found, float)
        return found

    line = (100 * np.arange(4.0)[:, None] + 10 * np.arange(6.0)).ravel()
    assert noise(line) == pytest.approx(40 / line.std())
    assert noise(np.arange(3000.0)) == 0.05  # close together
    assert noise(np.array([7.0])) == 0.05
    assert noise(np.array([0.0, 1.0])) == 1.0  # two standard deviations apart


def test_parameters_arrive_and_settings_have_the_last_word() -> None:
    settings = {"augmentation": {"noise_std": 0.2}, "network": {"width": 6}, "learning_rate": 1e-4}
    given = GEDIClusterer(2, method="gedi-no-gen", epochs=2, batch_size=16, width=9, settings=settings)
    config = given.fit(POINTS).config_
    assert (config.epochs, config.batch_size, config.network.width) == (2, 16, 6)
    assert (config.augmentation.noise_std, config.learning_rate) == (0.2, 1e-4)
    assert set(given.terms_) == {"inv", "prior"}
    assert config.naming.restarts == 2  # three trainings
    for parameters in ParameterGrid({"n_clusters": np.arange(2, 4), "width": np.array([5])}):
        searched = GEDIClusterer(**{**QUICK, "epochs": 1, **parameters}).fit(POINTS)
        assert searched.predict_proba(POINTS).shape == (120, parameters["n_clusters"])


def test_more_trainings_end_nearer_to_the_optima() -> None:
    """The best of three contains the first of them."""
    out_of_reach = {"restart_above": {"inv": 0.0, "prior": 0.0}}

    def worst(n_init: int, seed: int) -> float:
        options = {**QUICK, "epochs": 10, "n_init": n_init, "random_state": seed, "settings": out_of_reach}
        terms = GEDIClusterer(3, **options).fit(POINTS).terms_
        return max(terms["inv"], terms["prior"] - math.log(3))

    pairs = [(worst(1, seed), worst(3, seed)) for seed in range(4)]
    assert all(three <= one for one, three in pairs)
    assert any(three < one for one, three in pairs)


@pytest.mark.parametrize(
    ("parameters", "data", "message"),
    [
        ({"n_clusters": 0}, POINTS, "n_clusters=0 is out of range: choose 1 or more"),
        ({"n_init": 0}, POINTS, "n_init=0 is out of range"),
        ({"n_clusters": 9}, POINTS[:8], "n_samples=8 should be >= n_clusters=9"),
        ({"n_clusters": 2.5}, POINTS, "clusters must be a whole number such as 0, not 2.5"),
        ({"n_clusters": 9, "batch_size": 4}, POINTS, "9 clusters cannot be told apart by 8 views"),
        ({"method": "gdei"}, POINTS, "unknown method 'gdei': did you mean 'gedi'"),
        ({"method": "nesy"}, POINTS, "there is no program"),
        ({"precision": "fp23"}, POINTS, "unknown precision 'fp23'"),
        ({"device": "cdua"}, POINTS, "unknown device 'cdua'"),
        ({"settings": {"sampler": {"setps": 3}}}, POINTS, "did you mean 'sampler.steps'"),
        ({"settings": {"network": {"classes": 3}}}, POINTS, "network.classes follows from"),
        ({}, GREY / 255.0, r"images are uint8, .* not float64 \(60, 8, 8\)"),
        ({}, COLOUR[..., :2], r"images are uint8, .* not uint8 \(30, 9, 12, 2\)"),
        ({}, GREY[:, :3], "images of at least 4x4 pixels, these are 3x8"),
        ({}, GREY[:0], "Found array with 0 sample"),
        ({}, COLOUR[None], "dim 5"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(parameters: dict[str, Any], data: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GEDIClusterer(**{**QUICK, "epochs": 1, **parameters}).fit(data)


def test_other_data_than_were_fitted_are_refused(fitted: dict[str, GEDIClusterer]) -> None:
    wrong = [
        ("grey", GREY.reshape(60, 64), "fitted on images of 8x8, asked about vectors"),
        ("grey", GREY.reshape(60, 4, 16), "fitted on images of 8x8, asked about images of 4x16"),
        ("grey", COLOUR, "fitted on images of 8x8, asked about images of 9x12x3"),
        ("points", GREY, "fitted on vectors, asked about images of 8x8"),
    ]
    for kind, data, message in wrong:
        for ask in (fitted[kind].predict, fitted[kind].predict_proba, fitted[kind].score_samples):
            with pytest.raises(UserError, match=f"^{message}$"):
                ask(data)


def test_a_training_that_failed_leaves_nothing_fitted() -> None:
    estimator = GEDIClusterer(2, method="nesy")
    with pytest.raises(UserError):
        estimator.fit(POINTS)
    for ask in (estimator.predict, estimator.score_samples, lambda _: estimator.sample()):
        with pytest.raises(NotFittedError):
            ask(POINTS)


def test_a_fit_that_fails_leaves_no_earlier_one() -> None:
    """Its network would be asked about what the new data standardise."""
    points, _ = make_blobs(60, centers=2, random_state=0)
    model = GEDIClusterer(2, epochs=1, n_init=1, random_state=0).fit(points)
    with pytest.raises(ValueError, match="should be >= n_clusters"):
        model.fit(points[:1])
    with pytest.raises(NotFittedError):
        model.predict(points)
