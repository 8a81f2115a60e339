"""``nesy-gedi report``: a run, or a comparison of several, as one HTML file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from nesy_gedi.errors import UserError
from nesy_gedi.learning import Learner
from nesy_gedi.report import images, overview, programs, scores
from nesy_gedi.report.material import Material
from nesy_gedi.run_files import REPORT
from nesy_gedi.writing import write_whole


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
    shown = _written(material) | dict.fromkeys(
        ("gallery", "confusion", "trajectories", "plane", "audit", "violated", "split")
    )
    if material.missing:
        shown["remarks"].append(f"What needs the images is left out: {material.missing}.")
        return shown
    shown["split"] = material.split
    for name, make in _parts(material).items():
        try:
            shown[name] = make(material)
        except UserError as error:  # a network that diverged, or examples that are not to be had any more
            shown["remarks"].append(f"No {name}: {error}.")
    return shown


def _written(material: Material) -> dict[str, Any]:
    """What the run wrote down."""
    record, text = material.record, material.record.description["program"]
    symbols = material.needed.domain if text is not None and not material.missing else None
    return {
        "title": record.name,
        "asked": overview.asked(record),
        "got": overview.got(record, symbols),
        "headings": [*overview.measures(record).values(), "seconds", "restarts"],
        "measured": overview.measured(record),
        "terms": overview.terms_of(material),
        "remarks": overview.remarks(record),
        "program": None if text is None else programs.highlighted(text),
        "query": record.description["query"],
        "scores": scores.curves(record.folder),
        "again": overview.again(record),
        "configuration": overview.configuration(record),
    }


def _parts(material: Material) -> dict[str, Callable[[Material], Any]]:
    """What network, images and program are needed for, by name."""
    found: dict[str, Callable[[Material], Any]] = {}
    images_shown = material.shown[0]
    if not images_shown.is_floating_point():
        found["gallery"] = images.gallery
        found |= {"trajectories": images.trajectories} if "gen" in material.uses else {}
    elif images_shown.shape[1] == 2:
        found["plane"] = images.plane
    found["confusion"] = images.confusion_of
    if material.needed.program is not None:
        found |= {"audit": programs.audit_of, "violated": programs.violated}
    return found


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
