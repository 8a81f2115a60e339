"""Images, answers and batches that do not fit a circuit are refused in words; empty ones are no mistake."""

import math
from typing import Any

import pytest
import torch
from small_programs import ADD, DIGITS, LESS, circuit_of, random_log_probs
from torch import Tensor

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.klay_layers import KlayCircuit

ADDITION, ORDER = circuit_of(ADD), circuit_of(LESS)
ROWS = random_log_probs(0, 3, 2, 4)
ANSWERS = torch.tensor([0, 3, 6])


def methods(circuit: ConstraintCircuit) -> list[Any]:
    return [circuit, circuit.marginals, circuit.most_probable]


@pytest.mark.parametrize(
    "shape", [(3, 3), (3, 1), (3, 0), (3,), (), (2, 2), (4, 2), (1, 2), (0, 2), (3, 2, 1)], ids=str
)
def test_images_are_a_column_for_each_slot_and_a_row_for_each_row(shape: tuple[int, ...]) -> None:
    images = torch.arange(math.prod(shape)).view(shape)
    for method in methods(ADDITION):
        with pytest.raises(UserError, match=r"`images` must be \(3, 2\), .*\(X, Y\), not \(") as caught:
            method(ROWS, images, ANSWERS)
        assert f"not {shape}: " in str(caught.value)


def test_constants_have_no_column_among_the_images() -> None:
    circuit = circuit_of(DIGITS + "above(X) :- digit(X, A), digit(zebra, B), A > B.")
    assert circuit.slots == ("X", "zebra")
    torch.testing.assert_close(circuit(ROWS, torch.tensor([[5], [5], [6]])), circuit(ROWS))
    with pytest.raises(UserError, match=r"`images` must be \(3, 1\), .*\(X\), not \(3, 2\): leave out what"):
        circuit(ROWS, torch.tensor([[5, 1], [5, 1], [6, 1]]))
    asked = circuit_of(ADD, 'add("one.png", "two.png", Z)')
    torch.testing.assert_close(asked(ROWS, torch.zeros(3, 0, dtype=torch.long)), asked(ROWS))
    with pytest.raises(UserError, match=r"`images` must be \(3, 0\), .*\(none\), not \(3, 2\)"):
        asked(ROWS, torch.zeros(3, 2, dtype=torch.long))


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (torch.tensor([0, -1, 3]), "has no answer number -1: there is 0 to 6, of 0, 1, 2, 3, 4, 5, 6"),
        (torch.tensor([0, 7, 3]), "has no answer number 7: there is 0 to 6"),
        (torch.tensor([0, 1]), r"`answers` must be \(3,\), int64, .* not \(2,\), int64"),
        (torch.tensor([0, 1, 2, 3]), r"not \(4,\), int64"),
        (torch.tensor(2), r"not \(\), int64"),
        (torch.tensor([[0], [1], [2]]), r"not \(3, 1\), int64"),
        (torch.tensor([0.0, 1.0, 2.0]), r"not \(3,\), float32"),
        (torch.tensor([0, 1, 2], dtype=torch.uint8), r"not \(3,\), uint8"),
    ],
)
def test_answers_are_the_number_of_one_for_each_row(answers: Tensor, words: str) -> None:
    images = torch.tensor([[0, 1], [2, 2], [0, 1]])
    for method in methods(ADDITION):
        for given in (None, images):
            with pytest.raises(UserError, match=words):
                method(ROWS, given, answers)
    with pytest.raises(UserError, match=words):
        ADDITION.sample(ROWS, torch.Generator(), answers)


def test_a_query_without_free_symbols_has_answer_0_alone() -> None:
    zeros = torch.zeros(3, dtype=torch.long)
    for method in methods(ORDER):
        torch.testing.assert_close(method(ROWS, None, zeros), method(ROWS))
        with pytest.raises(UserError, match="has no answer number 1: there is 0 alone, since the query has"):
            method(ROWS, None, zeros + 1)


def test_the_evidence_is_no_answer_to_draw_from() -> None:
    """Its root comes after those of the answers."""
    circuit = circuit_of(ADD + "\nlow :- digit(i, 0).\nevidence(low).", "add(X, Y, Z)")
    with pytest.raises(UserError, match="no answer number 7"):
        circuit.sample(random_log_probs(0, 1, 3, 4), torch.Generator(), torch.tensor([7]))


@pytest.mark.parametrize("evaluator", [None, KlayCircuit])
@pytest.mark.parametrize("text", [ADD, LESS])
def test_an_empty_batch_has_empty_results(text: str, evaluator: Any) -> None:
    circuit = circuit_of(text, **({"evaluator": evaluator} if evaluator else {}))
    log_probs, answers = ROWS[:0].requires_grad_(), torch.zeros(0, dtype=torch.long)
    for images in (None, torch.zeros(0, 2, dtype=torch.long)):
        value = circuit(log_probs, images)
        assert value.shape == ((0, 7) if circuit.answers else (0,))
        assert torch.autograd.grad(value.sum(), log_probs)[0].shape == (0, 2, 4)
        assert circuit(log_probs, images, answers).shape == (0,)
        marginals = circuit.marginals(log_probs, images, answers)
        assert isinstance(marginals, Tensor)
        assert marginals.shape == (0, 2, 4)
        best = circuit.most_probable(log_probs, images, answers)
        assert best.classes["net"].shape == (0, 2)
        assert best.log_probability.shape == best.log_posterior.shape == (0,)
    classes, drawn = circuit.sample(log_probs, torch.Generator())
    assert (classes["net"].shape, drawn.shape) == ((0, 2), (0,))
