import dataclasses
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.config import TrainConfig, merge, override, parse_assignments
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.networks import NetworkConfig
from nesy_gedi.gedi.sampler import SamplerConfig


@dataclass(frozen=True)
class Inner:
    steps: int = 20
    noise: float = 0.5
    name: str = "plain"
    loud: bool = False


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    rate: float = 1.0
    table: dict = field(default_factory=lambda: {"a": 1, "b": 2})
    pair: list = field(default_factory=lambda: [0.9, 0.99])


def config_of(**changes):
    values = {
        "method": Method({"gen": 1, "prior": 40, "nesy": 5}),
        "network": NetworkConfig("mlp", 16, 1, 8, 8, 4),
        "sampler": SamplerConfig(10, 2, 0.1, 0.01, 100, 0.05),
        "epochs": 3,
        "batch_size": 4,
        "views": 1,
        "learning_rate": 1e-3,
        "schedule": "cosine",
    }
    return TrainConfig(**{**values, **changes})


def test_override_changes_what_is_named_and_nothing_else():
    base = Outer()
    changed = override(
        base, {"inner": {"steps": 5, "loud": True}, "table": {"b": 7, "c": 3}, "pair": [0.5, 0.6]}
    )
    assert changed == Outer(Inner(5, 0.5, "plain", True), 1.0, {"a": 1, "b": 7, "c": 3}, [0.5, 0.6])
    assert base == Outer()
    assert override(base, {}) == base


def test_integers_become_floats_where_floats_are_wanted():
    changed = override(Outer(), {"rate": 3, "inner": {"noise": 0}})
    assert (changed.rate, changed.inner.noise) == (3.0, 0.0)
    assert type(changed.rate) is float
    assert type(changed.inner.noise) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rat": 1.0}, "unknown key 'rat': did you mean 'rate'"),
        ({"inner": {"stps": 1}}, "unknown key 'inner.stps': did you mean 'inner.steps'"),
        ({"iner": {"steps": 1}}, "unknown key 'iner': did you mean 'inner'"),
        ({"inner": {"steps": 2.5}}, "inner.steps must be a whole number such as 20, not 2.5"),
        ({"inner": {"steps": True}}, "inner.steps must be a whole number such as 20, not True"),
        ({"inner": {"loud": 1}}, "inner.loud must be true or false such as False, not 1"),
        ({"inner": {"name": 3}}, "inner.name must be a word such as 'plain', not 3"),
        ({"inner": {"steps": {"x": 1}}}, "inner.steps must be a whole number such as 20, not {'x': 1}"),
        ({"rate": "fast"}, "rate must be a number such as 1.0, not 'fast'"),
        ({"rate": True}, "rate must be a number such as 1.0, not True"),
        ({"rate": math.nan}, "rate must be a finite number, not nan"),
        ({"rate": -math.inf}, "rate must be a finite number, not -inf"),
        ({"inner": 5}, "inner is a table, not 5: set one of its keys, as in inner.KEY=VALUE"),
        ({"pair": 0.5}, "pair must be a list such as .*, not 0.5"),
        ({"table": 5}, "table is a table, not 5"),
    ],
)
def test_wrong_overrides_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        override(Outer(), values)


def test_weights_of_the_method_are_changed_one_by_one_and_checked():
    config = override(config_of(), {"method": {"weights": {"prior": 400, "inv": 0.5}}, "views": 2})
    assert config.method.weights == {"gen": 1, "prior": 400, "nesy": 5, "inv": 0.5}
    assert not override(config_of(), {"method": {"weights": {"gen": 0}}}).method.uses("gen")
    with pytest.raises(UserError, match="unknown term 'nesi': did you mean 'nesy'"):
        override(config_of(), {"method": {"weights": {"nesi": 1}}})
    with pytest.raises(UserError, match="weight of gen must be 0 or more, not -1"):
        override(config_of(), {"method": {"weights": {"gen": -1}}})
    with pytest.raises(UserError, match=r"unknown key 'sampler.step': did you mean 'sampler.steps'"):
        override(config_of(), {"sampler": {"step": 3}})


numbers = st.integers(0, 9)
tables = st.dictionaries(st.sampled_from("abc"), numbers | st.dictionaries(st.sampled_from("xy"), numbers))


@given(tables, tables, tables)
def test_merge_keeps_the_later_and_what_only_the_earlier_has(first, second, third):
    merged = merge(first, second)
    assert set(merged) == set(first) | set(second)
    for key, value in merged.items():
        earlier, later = first.get(key), second.get(key)
        if isinstance(earlier, dict) and isinstance(later, dict):
            assert value == {**earlier, **later}
        else:
            assert value == (later if key in second else earlier)
    assert merge(first, second, third) == merge(merge(first, second), third)


def test_merge_leaves_its_arguments_alone():
    base = {"a": {"x": 1}}
    merge(base, {"a": {"y": 2}})
    assert base == {"a": {"x": 1}}


@pytest.mark.parametrize(
    ("assignments", "tables"),
    [
        (["sampler.steps=5"], {"sampler": {"steps": 5}}),
        (["learning_rate=1e-3"], {"learning_rate": 1e-3}),
        (["views = 1"], {"views": 1}),
        (["schedule=constant"], {"schedule": "constant"}),
        (['schedule="constant"'], {"schedule": "constant"}),
        (["method.prior_form=cross-entropy"], {"method": {"prior_form": "cross-entropy"}}),
        (["pair=[0.9, 0.999]"], {"pair": [0.9, 0.999]}),
        (["loud=true"], {"loud": True}),
        (["method.weights={gen = 1, nesy = 25}"], {"method": {"weights": {"gen": 1, "nesy": 25}}}),
        (
            ["method.weights.gen=1", "method.weights.nesy=2.5", "epochs=3"],
            {"method": {"weights": {"gen": 1, "nesy": 2.5}}, "epochs": 3},
        ),
        (["epochs=3", "epochs=4"], {"epochs": 4}),
        (["name=a=b"], {"name": "a=b"}),
        ([], {}),
    ],
)
def test_assignments_become_tables(assignments, tables):
    assert parse_assignments(assignments) == tables


@given(st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_an_assignment(number):
    (value,) = parse_assignments([f"key={number!r}"]).values()
    assert value == number
    assert type(value) is type(number)


@pytest.mark.parametrize("text", ["epochs", "epochs=", "=3", "", "a b=3", "epochs..x=3", "name=it's"])
def test_malformed_assignments_are_refused(text):
    with pytest.raises(UserError, match=f"--set {text!r}: .*key=value"):
        parse_assignments([text])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs=0 is out of range: choose 1 or more"),
        ({"batch_size": -3}, "batch_size=-3 is out of range: choose 1 or more"),
        ({"views": 3}, "views=3 is out of range: choose 1 to 2"),
        ({"prior_start": 1.5}, "prior_start=1.5 is out of range: choose 0 to 1"),
        ({"clusters": -1}, "clusters=-1 is out of range: choose 0 or more"),
        ({"restart_above": {"invv": 0.1}}, "unknown term 'invv': did you mean 'inv'"),
        ({"learning_rate": math.nan}, "learning_rate=nan is out of range: choose 0 or more"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin': did you mean 'cosine'"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        config_of(**changes)


def test_weight_of_the_prior_fades():
    config = config_of(prior_fade=2.0)
    weights = [config.weight_at("prior", progress) for progress in (0.0, 0.25, 0.5, 1.0)]
    assert weights == pytest.approx([40.0, 22.5, 10.0, 0.0])
    assert [config_of(prior_fade=0.0).weight_at("prior", p) for p in (0.0, 0.7, 1.0)] == [40.0] * 3
    assert [config.weight_at("gen", p) for p in (0.0, 0.7)] == [1, 1]
    assert config.weight_at("inv", 0.5) == 0.0


def test_constraint_begins_to_weigh_when_it_is_told_to():
    config = config_of(constraint_from=0.25)
    assert [config.weight_at("nesy", p) for p in (0.0, 0.24, 0.25, 0.9)] == [0, 0, 5, 5]
    assert config_of(constraint_from=0.0).weight_at("nesy", 0.0) == 5


def test_settings_cannot_be_changed_behind_the_checks():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config_of().epochs = 0


def test_the_prior_is_weighted_as_a_mean_or_as_a_sum_over_clusters() -> None:
    network = NetworkConfig(classes=7)
    for reduction, factor in (("mean", 1), ("sum", 7)):
        method = Method({"inv": 50, "prior": 25}, prior_reduction=reduction)
        config = TrainConfig(method=method, network=network)
        assert config.weight_at("prior", 0.5) == 25 * factor
        assert config.weight_at("inv", 0.5) == 50
    with pytest.raises(UserError, match="unknown prior reduction 'total'"):
        Method({"prior": 25}, prior_reduction="total")
