"""Results of measures as a table, and as a file that later measures are added to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nesy_gedi.errors import UserError

RESULTS = "evaluation.json"
NESTED = ("ood", "generation")  # hold a result for each other set, and for each space of features
_ASIDE = ("settings", "remarks")


def read_results(folder: Path) -> dict[str, Any]:
    """What has been measured of a run so far, by measure.

    Raises:
        UserError: the file is there but not readable.
    """
    path = folder / RESULTS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it to measure anew") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no results by measure; remove it to measure anew")
    return content


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Add results to those in the folder; the file is written whole or not at all.

    Raises:
        UserError: the folder cannot be written, or its file is not readable.
    """
    content = read_results(folder)
    for measure, result in results.items():
        old = content.get(measure, {}) if measure in NESTED else {}
        content[measure] = {**old, **result}
    partial = folder / f"{RESULTS}.partial"
    try:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(folder / RESULTS)
    except OSError as error:
        raise UserError(f"cannot write {folder / RESULTS} ({error.strerror})") from error


def lines(results: Mapping[str, Any]) -> list[str]:
    """A small table: under each measure, with what it was made with beside its name, its figures."""
    found: list[str] = []
    for measure, result in results.items():
        for part, figures in result.items() if measure in NESTED else [("", result)]:
            found.append(f"{measure} {part}".strip() + f"  ({_settings(figures['settings'])})")
            numbers = _numbers(figures)
            wide = max(len(name) for name, _ in numbers)
            found += [f"  {name:{wide}}  {value:8.3f}" for name, value in numbers]
            found += [f"  note: {remark}" for remark in figures.get("remarks", ())]
    return found


def _numbers(figures: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found = []
    for name, value in figures.items():
        if name in _ASIDE:
            continue
        if isinstance(value, Mapping):
            found += _numbers(value, f"{prefix}{name} ")
        else:
            found.append((f"{prefix}{name}".replace("_", " "), value))
    return found


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in settings.items())


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
