"""``nesy-gedi runs delete``: what nesy-gedi wrote into a run's folder goes, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.report import RESULTS
from nesy_gedi.run_files import (
    COMMA_SEPARATED,
    CONFIG,
    EVENTS,
    METRICS,
    PREVIOUS,
    REPORT,
    RESULT,
    SCORES,
    STATE,
    WEIGHTS,
    read_description,
)
from nesy_gedi.run_lock import BeingTrainedError, is_being_trained, training

_WRITTEN = (
    *(METRICS, RESULT, WEIGHTS, STATE, PREVIOUS, RESULTS, COMMA_SEPARATED, "*.partial"),
    *("terms.png", "classes.png", "plane.png", "confusion.png", "samples/samples.npz", "samples/samples.png"),
    *(REPORT, SCORES),
    f"{EVENTS}/*/events.out.tfevents.*",
)


def check_deletable(run: Path) -> None:
    """Refuse what is not a run's own folder, or is in use.

    Raises:
        BeingTrainedError: a process trains in it.
        UserError: it is a link, or holds no run that nesy-gedi wrote.
    """
    if run.is_symlink():
        raise UserError(f"{run} is a link: name the folder that it leads to, {run.resolve()}")
    read_description(run)
    if is_being_trained(run):
        raise BeingTrainedError(f"{run} is being trained by another process: stop it first, as with Ctrl-C")
    for seed in _seeds(run):
        check_deletable(seed)


def delete_run(run: Path) -> list[Path]:
    """Delete a run's files, then its folder if nothing else lies in it. Links are not followed.

    Returns:
        What stays, because nesy-gedi did not write it.

    Raises:
        UserError: as for :func:`check_deletable`, or something cannot be deleted.
    """
    check_deletable(run)
    try:
        _delete(run)
    except OSError as error:
        raise UserError(f"{error.filename or run} cannot be deleted ({error.strerror})") from error
    return sorted(run.rglob("*"))


def _delete(run: Path) -> None:
    with training(run):
        for seed in _seeds(run):
            _delete(seed)
        for path in _written(run):
            path.unlink(missing_ok=True)
        (run / CONFIG).unlink()  # last: what an interrupt leaves is still a run
    for folder in (*run.glob(f"{EVENTS}/*"), run / EVENTS, run / "samples", run):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()


def _written(run: Path) -> Iterator[Path]:
    for pattern in _WRITTEN:
        for path in list(run.glob(pattern)):
            inside = [run / parent for parent in path.relative_to(run).parents if parent.name]
            if not any(parent.is_symlink() for parent in inside):
                yield path


def _seeds(run: Path) -> list[Path]:
    """Runs in the run, of seeds that were trained beside each other."""
    return [path.parent for path in run.glob(f"seed-*/{CONFIG}") if not path.parent.is_symlink()]
