"""``nesy-gedi runs``: list, show, compare and delete trained runs."""

import json
from pathlib import Path

import click

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="runs")
def runs_group() -> None:
    """List, show, compare and delete runs.

    \b
    nesy-gedi runs list
    nesy-gedi runs show runs/addition-combined-1000
    """


@runs_group.command(name="list")
@click.option("--dir", "directory", metavar="DIR", default="runs", show_default=True, help="Where to look.")
@click.option("--program", metavar="NAME", help="Only runs of this program, as in addition.")
@click.option("--dataset", metavar="NAME", help="Only runs on this data set.")
@click.option("--method", metavar="NAME", help="Only runs of this method.")
@click.option("--finished/--unfinished", default=None, help="Only those that are, or are not.")
@_json_option
def list_command(
    directory: str,
    program: str | None,
    dataset: str | None,
    method: str | None,
    finished: bool | None,
    as_json: bool,
) -> None:
    """List runs with their state and figures, best first.

    \b
    nesy-gedi runs list
    nesy-gedi runs list --program addition --finished
    nesy-gedi runs list --dir runs/reproduce/cpu --dataset moons --json
    """
    from nesy_gedi.listing import FINISHED, list_runs
    from nesy_gedi.reporting.plain import table_console
    from nesy_gedi.reporting.runs_table import print_runs

    wanted = {"program": program and Path(program).stem, "dataset": dataset, "method": method}
    found = [
        run
        for run in list_runs(Path(directory))
        if all(value in (None, getattr(run, key)) for key, value in wanted.items())
        and finished in (None, run.state == FINISHED)
    ]
    if as_json:
        click.echo(json.dumps([run.to_json() for run in found], indent=2, ensure_ascii=False))
    elif found:
        print_runs(table_console(), found)
    else:
        click.echo(f"no such runs in {directory}")


@runs_group.command()
@click.argument("run", metavar="RUN")
@_json_option
def show(run: str, as_json: bool) -> None:
    """Show where a run comes from, what it came to, and what lies in its folder.

    \b
    nesy-gedi runs show runs/addition-combined-1000
    """
    from nesy_gedi.listing import details
    from nesy_gedi.reporting.plain import table_console
    from nesy_gedi.reporting.runs_table import print_run

    found = details(Path(run))
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        print_run(table_console(), found)


@runs_group.command()
@click.argument("runs", metavar="RUN RUN…", nargs=-1)
@_json_option
def compare(runs: tuple[str, ...], as_json: bool) -> None:
    """Compare two runs or more: figures, differences to the first by seed, and settings that differ.

    \b
    nesy-gedi runs compare runs/addition-combined-100 runs/addition-combined-1000
    """
    from nesy_gedi.comparing import compare_runs
    from nesy_gedi.reporting.plain import table_console
    from nesy_gedi.reporting.runs_table import print_comparison

    if len(runs) < 2:
        raise click.UsageError(f"{len(runs)} run given: name two or more")
    found = compare_runs([Path(run) for run in runs])
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        print_comparison(table_console(), found)


@runs_group.command()
@click.argument("runs", metavar="RUN…", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(runs: tuple[str, ...], yes: bool) -> None:
    """Delete what nesy-gedi wrote into the folders of runs; other files stay, and are named.

    \b
    nesy-gedi runs delete runs/addition-combined-1000
    nesy-gedi runs delete runs/moons-gedi runs/circles-gedi --yes
    """
    import sys

    from nesy_gedi.deleting import check_deletable, delete_run

    folders = list(dict.fromkeys(map(Path, runs)))
    for folder in folders:  # all, before the first is gone
        check_deletable(folder)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody can be asked here: give --yes to delete without a question")
        if not click.confirm(f"delete {', '.join(map(str, folders))}?", err=True):
            return
    for folder in folders:
        stays = delete_run(folder)
        click.echo(f"deleted: {folder}" + (f", but for {', '.join(map(str, stays))}" if stays else ""))
