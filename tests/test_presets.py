"""Presets: the order of the tables, the paper's recipe, the number of epochs."""

import dataclasses
import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.methods import METHODS
from nesy_gedi.presets import Preset, load_preset
from nesy_gedi.resources import resource

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLES: dict[str, Any] = tomllib.loads(resource("experiments", "addition.toml").read_text(encoding="utf-8"))
NAMES = sorted(set(TABLES) - {"published"})


def leaves(table: dict[str, Any], prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Nested tables as ``{path: value}``."""
    found: dict[tuple[str, ...], Any] = {}
    for key, value in table.items():
        found |= leaves(value, (*prefix, key)) if isinstance(value, dict) else {(*prefix, key): value}
    return found


@pytest.mark.parametrize("variant", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_the_file_arrives_and_later_tables_win(name: str, variant: str) -> None:
    table = dict(TABLES[name])
    own = leaves(table.pop("variants", {}).get(variant, {}))
    steps = table.pop("steps")
    preset = load_preset("addition", name, variant, {})
    resolved = leaves(dataclasses.asdict(preset.config))
    assert preset.steps == steps
    wanted = {("method", "weights", term): weight for term, weight in METHODS[variant].weights.items()}
    wanted |= leaves(table) | own
    assert {path: resolved[path] for path in wanted} == wanted
    untouched = leaves(dataclasses.asdict(TrainConfig(method=METHODS[variant])))
    assert {k: v for k, v in resolved.items() if k not in wanted} == {
        k: v for k, v in untouched.items() if k not in wanted
    }


@pytest.mark.parametrize("variant", METHODS)
def test_the_command_line_has_the_last_word(variant: str) -> None:
    changes = {"batch_size": 7, "sampler": {"steps": 91}, "method": {"weights": {"prior": 3.5}}}
    before = load_preset("addition", "cpu", variant, {}).config
    after = load_preset("addition", "cpu", variant, changes).config
    assert (after.batch_size, after.sampler.steps, after.method.weights["prior"]) == (7, 91, 3.5)
    others = {term: w for term, w in before.method.weights.items() if term != "prior"}
    assert {term: w for term, w in after.method.weights.items() if term != "prior"} == others
    assert dataclasses.replace(after.sampler, steps=before.sampler.steps) == before.sampler


def test_the_paper_preset_is_the_papers_recipe() -> None:
    """Tables 6, 8 and 9 and appendix N."""
    preset = load_preset("addition", "paper", "combined", {})
    config = preset.config
    assert config.method.weights == {"gen": 1, "prior": 400, "nesy": 25}
    assert config.method.prior_form == "entropy"
    assert (config.learning_rate, config.optimizer, config.schedule) == (1e-4, "adam", "constant")
    assert config.network.width == 128
    sampler = config.sampler
    assert (sampler.steps, sampler.step_size, sampler.noise_std, sampler.count) == (20, 1.0, 0.01, 60)
    assert (config.naming.searches, config.naming.restarts) == (0, 0)
    assert preset.published == {
        "100": {"accuracy": 0.42, "nmi": 0.35},
        "1000": {"accuracy": 0.96, "nmi": 0.91},
        "10000": {"accuracy": 0.97, "nmi": 0.93},
    }
    assert load_preset("addition", "paper", "nesy", {}).config.method.weights == {"nesy": 25}
    gedi = load_preset("addition", "paper", "gedi", {})
    assert gedi.config.method.weights == {"gen": 1, "inv": 50, "prior": 25}
    assert gedi.published == {"1000": {"nmi": 0.29}}


@given(
    st.integers(1, 20_000),
    st.integers(1, 500),
    st.integers(1, 20),
    st.integers(0, 20_000),
    st.integers(1, 50),
)
def test_epochs_are_the_fewest_that_make_the_updates(
    examples: int, images: int, slots: int, steps: int, least: int
) -> None:
    """A step takes as many whole examples as its images make, at least one."""
    preset = Preset(TrainConfig(epochs=least, batch_size=images), steps, {})
    batch = next((k for k in range(images, 0, -1) if k * slots <= images), 1)
    per_epoch = math.ceil(examples / batch)
    epochs = preset.epochs(examples, slots)
    assert epochs >= least
    assert epochs * per_epoch >= steps
    assert epochs == least or (epochs - 1) * per_epoch < steps


@pytest.mark.parametrize(
    ("preset", "variant", "changes", "message"),
    [
        ("papr", "combined", {}, "unknown preset 'papr': did you mean 'paper'"),
        ("cpu", "combned", {}, "unknown method 'combned': did you mean 'combined'"),
        ("cpu", "combined", {"sampler": {"setps": 3}}, "'sampler.setps': did you mean 'sampler.steps'"),
        ("cpu", "combined", {"method": {"weights": {"nes": 3}}}, "'nes': did you mean 'nesy'"),
        ("published", "combined", {}, "unknown preset 'published'"),
    ],
)  # fmt: skip
def test_unknown_names_are_refused(preset: str, variant: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_preset("addition", preset, variant, changes)


def test_an_unknown_experiment_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"did you mean 'addition\.toml'"):
        load_preset("adition", "cpu", "combined", {})


def test_a_number_of_epochs_that_was_asked_for_holds() -> None:
    asked = load_preset("addition", "cpu", "combined", {"epochs": 2})
    assert asked.epochs(100, 3) == 2
    unasked = load_preset("addition", "cpu", "combined", {})
    assert unasked.epochs(100, 3) > 2


@pytest.mark.parametrize(("examples", "slots", "epochs"), [(1000, 3, 24), (100, 3, 240), (1000, 2, 36)])
def test_twelve_hundred_updates_of_sixty_images(examples: int, slots: int, epochs: int) -> None:
    """1,000 triples are 50 steps of 20 triples: 24 epochs; as many pairs are 34 steps of 30 pairs."""
    assert load_preset("addition", "cpu", "combined", {}).epochs(examples, slots) == epochs
