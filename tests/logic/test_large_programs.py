"""Programs with more readings than anybody can list: long addition and sudoku, exactly."""

import numpy as np
import pytest
import torch
from shipped_cases import added, grids
from small_programs import random_log_probs, shipped

from nesy_gedi.logic.examples import certain


def addition_of(digits):
    names = [", ".join(f"{n}{i}" for i in range(digits + (n == "S"))) for n in "ABS"]
    return shipped("multi_addition", "addition({})".format(", ".join(f"[{name}]" for name in names)))


def digits_of(number, count):
    return [int(digit) for digit in f"{number:0{count}d}"]


def convolved(weights, digits):
    """log of the weight of all right sums, by the distribution of the carry from column to column."""
    a, b, s = weights[:digits], weights[digits : 2 * digits], weights[2 * digits :]
    log_scale, carry = 0.0, np.array([1.0, 0.0])
    sums = np.arange(10)[:, None] + np.arange(10)
    for i in reversed(range(digits)):
        pairs, following = np.outer(a[i], b[i]), np.zeros(2)
        for before in (0, 1):
            share = carry[before] * pairs * s[i + 1][(sums + before) % 10]
            for after in (0, 1):
                following[after] += share[(sums + before) // 10 == after].sum()
        log_scale, carry = log_scale + np.log(following.sum()), following / following.sum()
    return log_scale + np.log(carry @ s[0][:2])


@pytest.mark.parametrize("digits", [1, 2, 15])
def test_every_pair_of_numbers_has_one_sum(digits):
    circuit = addition_of(digits)
    assert circuit.compiled.method == "ground"
    assert circuit.compiled.circuit.counts() == [10 ** (2 * digits)]
    assert len(circuit.slots) == 3 * digits + 1
    assert circuit.nodes < 200 * digits


@pytest.mark.parametrize("digits", [1, 2, 15])
def test_certain_numbers_add_up_or_do_not(digits):
    rng = np.random.default_rng(digits)
    most = 10**digits - 1
    cases = [(0, 0), (most, most), (most, 1), (1, most), (most // 9, most // 9 * 8)]
    cases += [tuple(int("".join(map(str, rng.integers(0, 10, digits)))) for _ in "ab") for _ in range(20)]
    rows, wanted = [], []
    for a, b in cases:
        for error in (0, 1, -1, 10 ** (digits // 2), -(10**digits)):
            total = a + b + error
            if 0 <= total < 2 * 10**digits:
                rows.append(digits_of(a, digits) + digits_of(b, digits) + digits_of(total, digits + 1))
                wanted.append(error == 0)
    circuit = addition_of(digits)
    readings = certain(torch.tensor(rows), 10)
    values = circuit({"mnist_net": readings[:, : 2 * digits], "observed": readings[:, 2 * digits :]})
    assert wanted.count(False) > 40
    assert values.exp().tolist() == [float(holds) for holds in wanted]


@pytest.mark.parametrize("digits", [1, 2, 15])
def test_soft_numbers_equal_the_convolution_of_their_columns(digits):
    circuit = addition_of(digits)
    log_probs = random_log_probs(digits, 5, 3 * digits + 1, 10, scale=2.0)
    values = circuit({"mnist_net": log_probs[:, : 2 * digits], "observed": log_probs[:, 2 * digits :]})
    weights = log_probs.exp().numpy()
    assert values.tolist() == pytest.approx([convolved(row, digits) for row in weights], rel=1e-9)
    if digits < 3:
        readings = np.array(list(added(digits)))
        sums = [row[np.arange(len(row)), readings].prod(1).sum() for row in weights]
        assert values.exp().tolist() == pytest.approx(sums, rel=1e-9)


def test_digits_of_a_long_sum_are_found_from_its_images():
    """A label settles nothing alone: its digits and 14 of 15 certain digits settle the last."""
    circuit, rng = addition_of(15), np.random.default_rng(0)
    a, b = (int("".join(map(str, rng.integers(0, 10, 15)))) for _ in "ab")
    row = torch.tensor([digits_of(a, 15) + digits_of(b, 15) + digits_of(a + b, 16)])
    log_probs = {"mnist_net": certain(row[:, :30], 10), "observed": certain(row[:, 30:], 10)}
    log_probs["mnist_net"][0, 7] = -np.log(10)  # one digit of the first number is not known
    marginals = circuit.marginals(log_probs)
    assert marginals["mnist_net"][0, 7].argmax() == row[0, 7]
    assert marginals["mnist_net"][0, 7].max() == pytest.approx(1)
    best = circuit.most_probable(log_probs)
    assert torch.equal(best.classes["mnist_net"], row[:, :30])
    assert best.log_probability.item() == pytest.approx(-np.log(10))
    assert best.log_posterior.item() == pytest.approx(0)


GRIDS = np.array(grids()) - 1


def test_sudoku_has_288_grids_all_alike():
    circuit = shipped("sudoku")
    assert circuit.compiled.circuit.counts() == [288]
    uniform = torch.full((1, 16, 4), 0.25, dtype=torch.float64).log()
    assert circuit(uniform).item() == pytest.approx(np.log(288) - 16 * np.log(4))
    torch.testing.assert_close(circuit.marginals(uniform), uniform.exp())


def test_sudoku_equals_the_sum_over_its_grids():
    circuit, log_probs = shipped("sudoku"), random_log_probs(0, 6, 16, 4, scale=2.0)
    of_grid = log_probs.exp().numpy()[:, np.arange(16), GRIDS].prod(2)
    np.testing.assert_allclose(circuit(log_probs).exp(), of_grid.sum(1), rtol=1e-9)
    shares = of_grid / of_grid.sum(1, keepdims=True)
    marginals = np.einsum("rg,gsk->rsk", shares, np.eye(4)[GRIDS])
    np.testing.assert_allclose(circuit.marginals(log_probs), marginals, atol=1e-12)
    best = circuit.most_probable(log_probs)
    assert np.array_equal(best.classes["mnist_net"], GRIDS[shares.argmax(1)])
    np.testing.assert_allclose(best.log_posterior.exp(), shares.max(1))


def test_clues_settle_a_sudoku():
    """Cells that are read for certain leave the grids that agree with them."""
    circuit, rng = shipped("sudoku"), np.random.default_rng(1)
    clues, left = [], []
    for count in (0, 1, 4, 6, 8, 16):
        grid, cells = rng.choice(GRIDS), rng.choice(16, count, replace=False)
        row = torch.full((16, 4), 0.25, dtype=torch.float64).log()
        row[cells] = certain(torch.from_numpy(grid[cells]), 4).double()
        clues.append(row)
        left.append((GRIDS[:, cells] == grid[cells]).all(1))
    values = circuit(torch.stack(clues)).exp()
    counts = np.array([agree.sum() for agree in left])
    known = np.array([0, 1, 4, 6, 8, 16])
    np.testing.assert_allclose(values, counts * 0.25 ** (16 - known), rtol=1e-9)
    wanted = np.stack([np.eye(4)[GRIDS[agree]].mean(0) for agree in left])
    np.testing.assert_allclose(circuit.marginals(torch.stack(clues)), wanted, atol=1e-12)
    wrong = torch.stack(clues)[-1:].clone()
    wrong[0, :2] = wrong[0, [1, 0]]
    assert circuit(wrong).item() == -np.inf
