"""The table at the end of a run."""

import statistics
from collections.abc import Mapping, Sequence

from rich.console import Console

from nesy_gedi.gedi.stability import Rollback
from nesy_gedi.reporting.plain import plain_table
from nesy_gedi.results import SeedResult

NAMED = {"accuracy": "accuracy", "matched_accuracy": "matched", "nmi": "NMI"}
UNNAMED = {"nmi": "NMI", "ari": "ARI", "matched_accuracy": "matched", "batch_nmi": "NMI per batch of 64"}
"""Measures and their headings, where clusters have names and where they have none."""


def print_table(
    console: Console,
    title: str,
    results: Sequence[SeedResult],
    published: tuple[str, Mapping[str, float]],
    named: bool = True,
) -> None:
    """Median and standard deviation over the seeds, beside the published figures.

    Args:
        console: where to print.
        title: what was run.
        results: one of each seed.
        published: where the paper's figures come from, and these by the names of
            :class:`ClusteringScore`'s fields.
        named: whether clusters have names, so that there is an accuracy without matching.
    """
    measures = NAMED if named else UNNAMED
    table = plain_table(["", *measures.values(), "seconds", "restarts"], title)
    seeds = "1 seed" if len(results) == 1 else f"median of {len(results)}"
    row = [
        _spread([getattr(result.score, measure) if result.score else None for result in results])
        for measure in measures
    ]
    seconds = statistics.median(result.seconds for result in results)
    row += [f"{seconds:.0f}", str(sum(result.restarts for result in results))]
    table.add_row(seeds, *row)
    where, figures = published
    if figures:
        paper = [f"{figures[measure]:.2f}" if measure in figures else "" for measure in measures]
        table.add_row(where, *paper, "", "")
    console.print(table)


def reading_sentence(names: Sequence[str], reads_as: Sequence[int]) -> str:
    """What most test images of each class are read as, in a sentence: which map the model has learned.

    Args:
        names: of the classes.
        reads_as: for each class the one that most of its images are read as.
    """
    wrong = [k for k, read in enumerate(reads_as) if read != k]
    if not wrong:
        return "every symbol is read as what it is: the intended reading"
    if len(set(reads_as)) == 1:
        return f"every image is read as {names[reads_as[0]]}: a reasoning shortcut, or nothing learned"
    pairs = ", ".join(f"{names[k]} as {names[reads_as[k]]}" for k in wrong)
    return f"not the intended reading: {pairs} (`nesy-gedi program audit` lists what the program allows)"


def rollback_sentence(rollback: Rollback) -> str:
    """What happened, and what was done about it."""
    return (
        f"ran away at step {rollback.step} ({rollback.reason}): back to step {rollback.back_to}, with other "
        "random numbers and half the learning rate"
    )


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    median = f"{statistics.median(known):.3f}"
    return median if len(known) == 1 else f"{median} ± {statistics.stdev(known):.3f}"
