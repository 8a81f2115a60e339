"""What ``nesy-gedi runs`` prints."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from nesy_gedi.comparing import MEASURES, Comparison, Spread
from nesy_gedi.evaluation.report import lines
from nesy_gedi.listing import DAMAGED, INTERRUPTED, TRAINING, RunDetails, RunSummary
from nesy_gedi.reporting.plain import number, plain_table
from nesy_gedi.run_files import or_damaged

_STYLES = {TRAINING: "green", INTERRUPTED: "yellow", DAMAGED: "red"}
_FORMS = {"seconds": ".1f", "restarts": ".1f"}


def print_runs(console: Console, runs: Sequence[RunSummary]) -> None:
    """A row for each run, and beneath what is to be said of some."""
    table = plain_table(["run", "of", "method", "seeds", "state", "accuracy", "NMI", "s", "written"])
    for column in table.columns[1:]:
        column.no_wrap = True  # where it is narrow, only names of folders are broken
    for run in runs:
        table.add_row(
            str(run.folder),
            run.program or run.dataset or "–",
            run.method or "–",
            "–" if run.seeds is None else f"{run.seeds_done}/{run.seeds}",
            Text(_state(run), _STYLES.get(run.state, "")),
            number(run.accuracy),
            number(run.nmi),
            number(run.seconds, ".0f"),
            "–" if run.changed is None else _since(datetime.fromisoformat(run.changed)),
        )
    console.print(table)
    for run in runs:
        if run.remark:
            console.print(f"{run.folder}: {run.remark}", soft_wrap=True)


def _since(moment: datetime) -> str:
    seconds = (datetime.now().astimezone() - moment).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "just now"


def _state(run: RunSummary) -> str:
    reached = "" if run.epoch is None else f", seed {run.seed}, epoch {run.epoch}/{run.epochs}"
    return run.state + reached


def print_run(console: Console, run: RunDetails) -> None:
    """One run: where it comes from, what it came to, what lies in its folder.

    Raises:
        UserError: its files hold other things than they should.
    """
    with or_damaged(run.summary.folder):
        facts, seeds = list(_facts(run.summary, run.description)), run.result.get("seeds", [])
        measures = [key for key in MEASURES if any(row.get(key) is not None for row in seeds)]
        table = plain_table(["seed", *map(_heading, measures), "rollbacks"])
        for row in seeds:
            cells = [number(row.get(key), _FORMS.get(key, ".3f")) for key in measures]
            table.add_row(str(row["seed"]), *cells, str(len(row.get("rollbacks", ()))))
        measured = lines(run.evaluation)
    for title, text in facts:
        console.print(f"{title:9} {text}", soft_wrap=True)
    console.print()
    if seeds:
        console.print(table)
        console.print()
    for line in measured:
        console.print(line, soft_wrap=True)
    for name, size in run.files.items():
        console.print(f"{size:>12,} {name}", soft_wrap=True)


def _facts(run: RunSummary, description: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "run", f"{run.folder}: {_state(run)}{f' ({run.remark})' if run.remark else ''}"
    yield "written", f"{run.changed}"
    yield "command", shlex.join(description["command"])
    if run.program is not None:
        yield "program", f"{run.program}, query {description['query']}"
    data = description["data"]
    size = f"{data['train']:,} training and {data['test']:,} test"
    yield "data", f"{data['name']}: {data['source']}, {size}, sha256 {data['sha256'][:12]}"
    weights = description["config"]["method"]["weights"]
    yield "method", f"{run.method}: {', '.join(f'{term} {weight:g}' for term, weight in weights.items())}"
    yield "computed", f"{description['device']}, {description['precision']}"
    for key, value in description["environment"].items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
        yield key, text


def print_comparison(console: Console, found: Comparison) -> None:
    """Figures, differences to the first run, and settings."""
    names = [str(run) for run in found.runs]
    table = plain_table(["mean over seeds", *names])
    for measure, row in found.figures.items():
        table.add_row(_heading(measure), *(_spread(spread, _FORMS.get(measure, ".3f")) for spread in row))
    console.print(table)
    table = plain_table([f"more than {names[0]}, by seed", *names[1:]])
    for measure, row in found.differences.items():
        form = f"+{_FORMS.get(measure, '.3f')}"
        table.add_row(_heading(measure), *(_spread(spread, form) for spread in row))
    console.print()
    console.print(table)
    console.print()
    if not found.settings:
        console.print("all settings are the same")
        return
    table = plain_table(["setting", *names])
    for key, values in found.settings.items():
        table.add_row(key, *map(_short, values))
    console.print(table)


def _heading(measure: str) -> str:
    return {"nmi": "NMI", "ari": "ARI", "batch_nmi": "NMI per batch"}.get(measure, measure.replace("_", " "))


def _spread(spread: Spread | None, form: str) -> str:
    if spread is None:
        return "–"
    deviation = "" if spread.deviation is None else f" ± {spread.deviation:{form.lstrip('+')}}"
    return f"{spread.mean:{form}}{deviation} ({spread.seeds})"


def _short(value: Any) -> str:
    text = "–" if value is None else " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:39]}…"
