import pytest
import torch
from scipy.stats import chi2

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.examples import capacity, sample_examples
from nesy_gedi.logic.program import read_program
from nesy_gedi.resources import resource

WORLDS = ConstraintCircuit(read_program(resource("programs", "addition.pl"))).satisfying_worlds()


def pool(per_class, seed=0):
    labels = torch.arange(10).repeat_interleave(per_class)
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]


def draw(worlds, labels, count, seed=0):
    return sample_examples(worlds, labels, count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [1, 100, 1000])
def test_examples_hold_and_use_each_image_once(count):
    labels = pool(400)
    examples = draw(WORLDS, labels, count)
    assert examples.shape == (count, 3)
    a, b, c = labels[examples].T
    assert torch.equal(a + b, c)
    assert len(examples.flatten().unique()) == 3 * count


def test_readings_are_uniform():
    """chi-square over the 55 sums; the threshold is its 99.9 % quantile."""
    labels = pool(3000)
    readings = labels[draw(WORLDS, labels, 5500)]
    codes = readings @ torch.tensor([100, 10, 1])
    _, counts = codes.unique(return_counts=True)
    assert len(counts) == 55
    assert ((counts - 100.0) ** 2 / 100).sum() < chi2.ppf(0.999, 54)


def test_images_of_a_class_are_uniform_and_not_taken_in_order():
    worlds = torch.zeros(2, 2, dtype=torch.bool)
    worlds[0, 1] = True
    labels = torch.tensor([0] * 20 + [1] * 20)
    counts = torch.zeros(40)
    for seed in range(400):
        counts[draw(worlds, labels, 5, seed).flatten()] += 1
    # 400 draws of 5 out of 20, without replacement: mean 100, variance 400 * 1/4 * 3/4 = 75
    assert ((counts - 100) ** 2 / 75).sum() < chi2.ppf(0.999, 38) * 20 / 19


def test_generator_decides():
    labels = pool(400)
    assert torch.equal(draw(WORLDS, labels, 50, 1), draw(WORLDS, labels, 50, 1))
    assert not torch.equal(draw(WORLDS, labels, 50, 1), draw(WORLDS, labels, 50, 2))


def test_capacity():
    assert capacity(WORLDS, pool(400)) == 1047  # floor(55 * 400 / 21)
    uneven = torch.arange(10).repeat_interleave(torch.tensor([900] * 9 + [100]))
    assert capacity(WORLDS, uneven) == min(55 * 900 // 21, 55 * 100 // 12)
    assert capacity(WORLDS, torch.arange(9).repeat(10)) == 0  # no nines
    only_zero = torch.zeros(10, dtype=torch.bool)
    only_zero[0] = True
    assert capacity(only_zero, torch.tensor([0, 0, 0, 5])) == 3  # other classes are not needed


def test_a_full_pool_is_redrawn_until_it_fits():
    labels = pool(40)
    most = capacity(WORLDS, labels)
    for seed in range(20):
        examples = draw(WORLDS, labels, most, seed)
        assert len(examples.flatten().unique()) == 3 * most


def test_too_few_and_too_many_are_refused():
    labels = pool(400)
    with pytest.raises(UserError, match=r"^0 examples asked, at least 1.*1 to 1047$"):
        draw(WORLDS, labels, 0)
    with pytest.raises(UserError, match=r"1048 examples asked.*4000 images.*at most 1047 \(class 0 runs"):
        draw(WORLDS, labels, 1048)


def test_a_draw_that_cannot_fit_ends():
    """Every class at its expected use exactly: practically no draw fits."""
    with pytest.raises(UserError, match=r"1000 draws.*ask for fewer"):
        draw(torch.ones(10, dtype=torch.bool), pool(100), 1000)


def test_wrong_labels_and_empty_programs_are_refused():
    with pytest.raises(UserError, match=r"labels go from 0 to 10.*classes 0 to 9"):
        capacity(WORLDS, torch.tensor([0, 10]))
    with pytest.raises(UserError, match="no reading satisfies"):
        capacity(torch.zeros(10, 10, dtype=torch.bool), pool(1))
