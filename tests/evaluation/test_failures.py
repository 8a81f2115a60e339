import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nesy_gedi.evaluation.failures import (
    CLUSTER,
    LABEL,
    LEAST_INFORMATION,
    MODES,
    REPRESENTATIONAL,
    largest_share,
    ruled_out_at,
    verdicts,
)
from nesy_gedi.gedi.baselines import redundancy_reduction, swapped_prediction
from nesy_gedi.gedi.objectives import PRIORS, invariance

seeds = st.integers(0, 2**31 - 1)
scales = st.sampled_from([0.1, 1.0, 3.0, 20.0])


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def optima(classes, form="cross-entropy"):
    prior = math.log(classes) if form == "cross-entropy" else -math.log(classes)
    return {"gen": None, "inv": 0.0, "prior": prior, "swav": 0.0, "barlow": 0.0}


def terms_of(first, second, form="cross-entropy"):
    classes = first.shape[1]
    log_prior = torch.full((classes,), -math.log(classes), dtype=torch.float64)
    log_posterior = torch.cat([first, second]).log_softmax(1)
    prior = PRIORS[form](log_posterior, log_prior).item()
    return {"inv": invariance(first, second).item(), "prior": prior}


def ruled_out(terms, classes, form="cross-entropy", units=None):
    found = verdicts(terms, optima(classes, form), classes, units)
    assert tuple(verdict.mode for verdict in found) == MODES
    return tuple(verdict.ruled_out for verdict in found)


def reason(terms, classes, mode, **more):
    return next(v.reason for v in verdicts(terms, optima(classes), classes, **more) if v.mode == mode)


def certain(labels, classes):
    return 14.0 * torch.nn.functional.one_hot(torch.as_tensor(labels), classes).double()


def views_of(network, classes):
    labels = torch.arange(4 * classes) % classes
    good, uniform = certain(labels, classes), torch.zeros(4 * classes, classes, dtype=torch.float64)
    one = certain(0 * labels, classes)
    half = 2 * good  # certain, but one image in two, of all clusters, changes its label
    half_other = torch.where((torch.arange(4 * classes) < 2 * classes)[:, None], half.roll(1, 1), half)
    return {
        "ideal": (good, good),
        "uniform": (uniform, uniform),
        "one cluster": (one, one),
        "views disagree": (good, good.roll(1, 1)),
        "half of the views disagree": (half, half_other),
    }[network]


EXPECTED = {  # representational, cluster, label
    "ideal": (True, True, True),
    "uniform": (False, True, False),
    "one cluster": (False, False, True),
    "views disagree": (False, True, False),
    "half of the views disagree": (False, True, False),
}


@pytest.mark.parametrize("form", PRIORS)
@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("network", EXPECTED)
def test_verdicts_on_networks_built_by_hand(network, classes, form):
    terms = terms_of(*views_of(network, classes), form)
    assert ruled_out(terms, classes, form) == EXPECTED[network]
    # energies that differ between data and samples are beyond a constant network
    with_gen = ruled_out(terms | {"gen": -0.2}, classes, form)
    assert with_gen == (True, *EXPECTED[network][1:])
    assert ruled_out(terms | {"gen": 1e-6}, classes, form) == EXPECTED[network]


@pytest.mark.parametrize("form", PRIORS)
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_nine_images_of_ten_in_one_cluster_are_too_many(classes, form):
    labels = torch.arange(10 * classes) // 10
    labels[torch.arange(10 * classes) % 10 > 0] = 0
    views = certain(labels, classes)
    assert ruled_out(terms_of(views, views, form), classes, form)[1:] == (False, True)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"gen": 0.0}, (None, None, None)),  # jem
        ({"gen": -0.3}, (True, None, None)),
        ({"gen": 0.3}, (True, None, None)),
        ({"gen": 0.0, "inv": 0.001}, (None, None, True)),  # gedi-no-prior
        ({"gen": 0.0, "prior": 2.31}, (None, True, None)),  # gedi-no-inv
        ({"inv": 0.001, "prior": 2.31}, (True, True, True)),  # gedi-no-gen
        ({"inv": 0.001, "prior": 9.0}, (False, False, True)),
        ({"nesy": 0.0}, (None, None, None)),
        ({}, (None, None, None)),
    ],
)
def test_a_method_decides_only_what_its_terms_see(terms, expected):
    assert ruled_out(terms, 10) == expected


def test_what_is_not_decided_says_which_term_is_missing():
    assert "no prior" in reason({"gen": -0.3, "inv": 0.0}, 10, CLUSTER)
    assert "no inv" in reason({"gen": -0.3, "prior": 2.3}, 10, LABEL)
    assert "no gen" in reason({"inv": 0.0}, 10, REPRESENTATIONAL)
    assert "samples match" in reason({"gen": 0.0}, 10, REPRESENTATIONAL)


def test_one_cluster_cannot_tell():
    for terms in ({"inv": 0.0, "prior": 0.0}, {"swav": 0.0}, {"gen": 0.0, "inv": 0.0, "prior": 0.0}):
        assert ruled_out(terms, 1) == (None, None, None)
        assert "one cluster holds all images" in reason(terms, 1, CLUSTER)
        assert "one cluster holds all images" in reason(terms, 1, LABEL)
    assert ruled_out({"gen": -0.3, "inv": 0.0, "prior": 0.0}, 1) == (True, None, None)
    assert ruled_out({"barlow": 64.0}, 1, units=64)[0] is False


def test_reasons_give_the_bounds():
    terms = {"inv": -math.log(0.97), "prior": math.log(10)}
    assert "97.0%" in reason(terms, 10, LABEL)
    assert "10.0%" in reason(terms, 10, CLUSTER)
    assert f"{math.log(10) + math.log(0.97):.2f} nats" in reason(terms, 10, REPRESENTATIONAL)
    # the worst marginal of this gap has one cluster of 40 %, the others alike
    marginal = np.array([0.4] + [0.6 / 9] * 9)
    gap = scipy.stats.entropy(np.full(10, 0.1), marginal)
    assert "40.0%" in reason({"inv": 0.0, "prior": math.log(10) + gap}, 10, CLUSTER)


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(2, 20), scales, st.booleans())
def test_no_cluster_is_larger_than_the_bound(seed, classes, scale, uniform):
    marginal, prior = (scale * normal(seed, 2, classes)).softmax(1).numpy()
    if uniform:
        prior = np.full(classes, 1 / classes)
        bound = largest_share(scipy.stats.entropy(marginal, prior), -math.log(classes), classes)
        assert marginal.max() <= bound + 1e-9
    gap, optimum = scipy.stats.entropy(prior, marginal), scipy.stats.entropy(prior)
    assert marginal.max() <= largest_share(gap, optimum, classes) + 1e-9


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_bound_is_reached_by_one_large_cluster_among_equals(classes):
    uniform = np.full(classes, 1 / classes)
    for share in (1 / classes, 0.6, 0.9, 0.999):
        marginal = np.array([share] + [(1 - share) / (classes - 1)] * (classes - 1))
        forward, backward = scipy.stats.entropy(uniform, marginal), scipy.stats.entropy(marginal, uniform)
        assert largest_share(forward, math.log(classes), classes) == pytest.approx(share, abs=1e-6)
        assert largest_share(backward, -math.log(classes), classes) == pytest.approx(share, abs=1e-6)
    for unbounded in (math.inf, math.nan):
        assert largest_share(unbounded, math.log(classes), classes) == 1.0


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(2, 20), scales, st.sampled_from(sorted(PRIORS)))
def test_a_constant_network_is_never_acquitted(seed, classes, scale, form):
    logits = (scale * normal(seed, 1, classes)).expand(6, -1)
    found = ruled_out(terms_of(logits, logits, form), classes, form)
    assert found[0] is False
    assert not (found[1] and found[2])  # the halfway marks meet where the information is 0


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(2, 8), scales)
def test_bounds_on_agreement_and_information_hold(seed, classes, scale):
    first = scale * normal(seed, 12, classes)
    second = first + 0.3 * normal(seed + 1, 12, classes)
    terms = terms_of(first, second)
    agreement = (first.softmax(1) * second.softmax(1)).sum(1).mean().item()
    assert agreement >= math.exp(-terms["inv"]) - 1e-9
    both = terms_of(first, first)
    posterior = first.softmax(1).numpy()
    information = scipy.stats.entropy(posterior.mean(0)) - scipy.stats.entropy(posterior, axis=1).mean()
    share = largest_share(both["prior"] - math.log(classes), math.log(classes), classes)
    assert information >= -math.log(share) - both["inv"] - 1e-9


@pytest.mark.parametrize("prototypes", [2, 10, 100])
def test_swav_stuck_at_ln_prototypes_is_said(prototypes):
    scores = torch.full((64, prototypes), 0.2, dtype=torch.float64)
    terms = {"swav": swapped_prediction(scores, scores, 0.05, 0.1).item()}
    assert ruled_out(terms, prototypes) == (False, False, False)
    assert reason(terms, prototypes, REPRESENTATIONAL).startswith(
        f"stuck at ln({prototypes}): every image has the same posterior"
    )
    worse = {"swav": math.log(prototypes) + 1}
    assert "stuck" not in reason(worse, prototypes, REPRESENTATIONAL)
    learned = 2 * torch.eye(prototypes, dtype=torch.float64).repeat(3, 1) - 1
    terms = {"swav": swapped_prediction(learned, learned, 0.05, 0.1).item()}
    assert ruled_out(terms, prototypes) == (True, True, True)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 12))
def test_swav_never_acquits_a_constant_network(seed, prototypes):
    scores = normal(seed, 1, prototypes).tanh().expand(16, -1)
    assert ruled_out({"swav": swapped_prediction(scores, scores, 0.03, 0.1).item()}, prototypes)[0] is False


def test_barlow_stuck_at_d_is_said():
    noise, other = normal(0, 2, 4000, 16)
    constant = torch.ones(400, 16, dtype=torch.float64)
    for views in ((noise, other), (constant, constant)):  # nothing in common; nothing at all
        terms = {"barlow": redundancy_reduction(*views).item()}
        assert ruled_out(terms, 10, units=16) == (False, None, None)
        assert "stuck at d = 16" in reason(terms, 10, REPRESENTATIONAL, units=16)
    terms = {"barlow": redundancy_reduction(noise, noise + other).item()}  # correlation 1/sqrt(2)
    assert ruled_out(terms, 10, units=16) == (True, None, None)
    assert "correlate 0.71" in reason(
        {"barlow": 16 * (1 - math.sqrt(0.5)) ** 2}, 10, REPRESENTATIONAL, units=16
    )
    assert ruled_out({"barlow": 9.9}, 10) == (False, None, None)  # without units: the clusters
    assert ruled_out({"barlow": 9.9}, 10, units=100) == (True, None, None)


def test_ln_c_is_the_optimum_of_prior_if_none_is_given():
    terms = {"inv": 0.0, "prior": math.log(5)}
    assert verdicts(terms, {}, 5) == verdicts(terms, {"prior": None}, 5) == verdicts(terms, optima(5), 5)


def test_what_is_barely_more_than_constant_is_not_acquitted():
    for margin, expected in ((0.9, False), (1.1, True)):
        terms = {"inv": math.log(10) - margin * LEAST_INFORMATION, "prior": math.log(10)}
        assert ruled_out(terms, 10)[0] is expected


def test_the_mark_is_halfway_between_chance_and_1():
    for share, expected in ((0.549, True), (0.551, False)):  # 0.55 is halfway from 0.1
        gap = scipy.stats.entropy(np.full(10, 0.1), np.array([share] + [(1 - share) / 9] * 9))
        assert ruled_out({"prior": math.log(10) + gap}, 10)[1] is expected
        assert ruled_out({"inv": -math.log(1.1 - share)}, 10)[2] is expected


def test_terms_that_are_not_finite_rule_nothing_out():
    terms = {"inv": math.nan, "prior": math.nan, "gen": math.nan}
    assert not any(ruled_out(terms, 10))
    assert not any(ruled_out({"inv": math.inf, "prior": math.inf}, 10))
    assert not any(ruled_out({"swav": math.nan, "barlow": math.nan}, 10))


def test_ruled_out_at_is_the_epoch_after_the_last_relapse():
    good, flat = {"inv": 0.01, "prior": 2.31}, {"inv": 2.3, "prior": 2.31}
    one = {"inv": 0.01, "prior": 9.0}
    lines = [{"epoch": e, "terms": t} for e, t in enumerate([flat, good, one, flat, good, good], start=1)]
    assert ruled_out_at(lines, optima(10), 10) == {REPRESENTATIONAL: 5, CLUSTER: 4, LABEL: 5}
    assert ruled_out_at(lines[:4], optima(10), 10) == {REPRESENTATIONAL: None, CLUSTER: 4, LABEL: None}
    assert ruled_out_at([], optima(10), 10) == dict.fromkeys(MODES)
    barlow = [{"epoch": 3, "terms": {"barlow": 0.5}}]
    assert ruled_out_at(barlow, {}, 10, units=64) == {REPRESENTATIONAL: 3, CLUSTER: None, LABEL: None}
