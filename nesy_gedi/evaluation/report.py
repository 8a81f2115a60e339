"""Results of measures as a table, and as a file that later measures are added to."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nesy_gedi.errors import UserError
from nesy_gedi.writing import write_whole

RESULTS = "evaluation.json"
NESTED = ("failures", "ood", "generation")  # a result for each seed, other set, space of features
_ASIDE = ("settings", "remarks")


def read_results(folder: Path) -> dict[str, Any]:
    """What has been measured of a run so far, by measure.

    Raises:
        UserError: the file is there but not readable, or holds something else.
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
    for measure, result in content.items():
        parts = result.values() if measure in NESTED and isinstance(result, dict) else [result]
        if not all(isinstance(part, dict) for part in parts):
            raise UserError(f"{path} holds no figures of {measure}; remove it to measure anew")
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
    try:
        write_whole(folder / RESULTS, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {folder / RESULTS} ({error.strerror})") from error


def lines(results: Mapping[str, Any]) -> list[str]:
    """A small table: under each measure, with what it was made with beside its name, its figures."""
    found: list[str] = []
    for measure, result in results.items():
        for part, figures in result.items() if measure in NESTED else [("", result)]:
            found.append(f"{measure} {part}".strip() + f"  ({_settings(figures['settings'])})")
            rows = _rows(figures)
            wide = max(len(name) for name, _ in rows)
            found += [f"  {name:{wide}}  {text}" for name, text in rows]
            found += [f"  note: {remark}" for remark in figures.get("remarks", ())]
    return found


def _rows(figures: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for name, value in figures.items():
        if name in _ASIDE:
            continue
        if name in _TEXTS:
            found += [(key, _TEXTS[name](entry)) for key, entry in value.items()]
        elif isinstance(value, Mapping):
            found += _rows(value, f"{prefix}{name} ")
        else:
            found.append((f"{prefix}{name}".replace("_", " "), f"{value:8.3f}"))
    return found


def _term(entry: Mapping[str, Any]) -> str:
    optimum = "" if entry["optimum"] is None else f"  (optimum {entry['optimum']:.3f})"
    return f"{entry['value']:8.3f}{optimum}"


def _verdict(entry: Mapping[str, Any]) -> str:
    state = {True: "ruled out", False: "not ruled out", None: "not decided by this method"}
    since = "" if entry["from_epoch"] is None else f" from epoch {entry['from_epoch']} on"
    return f"{state[entry['ruled_out']]}{since} ({entry['reason']})"


_TEXTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {"terms": _term, "verdicts": _verdict}


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in settings.items())


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
