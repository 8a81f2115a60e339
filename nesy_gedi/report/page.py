"""``nesy-gedi report``: a run, or a comparison of several, as one HTML file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined

from nesy_gedi.errors import UserError
from nesy_gedi.learning import Learner
from nesy_gedi.report import images, overview, programs, scores
from nesy_gedi.report.material import Material
from nesy_gedi.run_files import REPORT
from nesy_gedi.writing import write_whole

T = TypeVar("T")


def write_report(
    run: str | Path,
    learner: Learner | None = None,
    data_dir: str | None = None,
    out: str | Path | None = None,
) -> Path:
    """Write the report of a finished run.

    Args:
        run: its folder.
        learner: what it was trained with, if it is at hand.
        data_dir: where data sets lie now; by default where they lay.
        out: the file; by default ``report.html`` in the run's folder.

    Returns:
        The file.

    Raises:
        UserError: there is no finished run, or the file cannot be written.
    """
    material = Material(run, learner, data_dir)
    return render(Path(out) if out else material.record.folder / REPORT, "run.html", content(material))


def content(material: Material) -> dict[str, Any]:
    """All that stands in the report of a run, by the names of ``templates/run.html``."""
    record, learner = material.record, material.learner
    missing = [f"What needs the images is left out: {material.missing}."] if material.missing else []
    named = learner is not None and learner.program is not None
    shown: dict[str, Any] = {
        "title": record.name,
        "asked": overview.asked(record),
        "got": overview.got(record, learner.domain if learner is not None and named else None),
        "headings": [*overview.measures(record).values(), "seconds", "restarts"],
        "measured": overview.measured(record),
        "terms": overview.terms_of(material),
        "remarks": [*overview.remarks(record), *missing],
        "program": _program(record.description["program"]),
        "query": record.description["query"],
        "scores": scores.curves(record.folder),
        "again": overview.again(record),
        "configuration": overview.configuration(record),
        **dict.fromkeys(("gallery", "confusion", "trajectories", "plane", "audit", "violated", "split")),
    }
    if learner is None:
        return shown

    def take(name: str, make: Callable[[Material], T]) -> None:
        try:
            shown[name] = make(material)
        except UserError as error:  # a network that diverged, or examples that are not to be had any more
            shown["remarks"].append(f"No {name}: {error}.")

    shown["split"] = material.split
    if material.shown[0].is_floating_point():
        if material.shown[0].shape[1] == 2:
            take("plane", images.plane)
    else:
        take("gallery", images.gallery)
        if "gen" in material.uses:
            take("trajectories", images.trajectories)
    take("confusion", images.confusion_of)
    if learner.program is not None:
        take("audit", programs.audit_of)
        take("violated", programs.violated)
    return shown


def _program(text: str | None) -> Any:
    return None if text is None else programs.highlighted(text)


def render(path: Path, template: str, shown: dict[str, Any]) -> Path:
    """Fill a template and write the page, whole or not at all.

    Returns:
        The file.

    Raises:
        UserError: it cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("nesy_gedi.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(shown, program_style=programs.style())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): choose another --out") from error
    return path
