"""Checks of what a circuit is given beside log-probabilities: which images, which answers."""

import torch
from torch import Tensor

from nesy_gedi.errors import UserError
from nesy_gedi.logic.declarations import Program

_SHOWN = 12  # answers in a message


def check_images(program: Program, images: Tensor, batch: int) -> None:
    """Check that every row says which image stands in each of the query's slots.

    Raises:
        UserError: the shape is not ``(batch, slots)``.
    """
    wanted = (batch, len(program.slots))
    if tuple(images.shape) != wanted:
        names = ", ".join(map(str, program.slots)) or "none"
        raise UserError(
            f"{program.query} in {program.path}, {batch} rows: `images` must be {wanted}, a column for each "
            f"image variable of the query ({names}), not {tuple(images.shape)}: leave out what the program "
            "itself names, and give a row for each row of the log-probabilities"
        )


def check_answers(program: Program, known: tuple[str, ...], answers: Tensor, batch: int) -> None:
    """Check that every row names an answer of the query by its number.

    Args:
        program: the checked program.
        known: the answers as text; empty if the query has no free symbol, whose one answer is number 0.
        answers: what was given.
        batch: number of rows.

    Raises:
        UserError: the shape is not ``(batch,)``, the numbers are not int64, or there is no such answer.
    """
    if tuple(answers.shape) != (batch,) or answers.dtype != torch.int64:
        raise UserError(
            f"{program.query} in {program.path}, {batch} rows: `answers` must be ({batch},), int64, the "
            f"number of an answer for each row, not {tuple(answers.shape)}, {_name(answers.dtype)}"
        )
    if not batch:
        return
    least, most = (int(number) for number in answers.aminmax())
    last = max(len(known), 1) - 1
    if least < 0 or most > last:
        shown = ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
        what = f"0 to {last}, of {shown}" if known else "0 alone, since the query has no free symbol"
        raise UserError(
            f"{program.query} in {program.path} has no answer number {least if least < 0 else most}: there "
            f"is {what}; answer_index gives the number of an answer"
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
