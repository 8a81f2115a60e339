"""``nesy-gedi data``: what data sets there are, and fetching them."""

import contextlib
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

_data_dir_option = click.option(
    "--data-dir", metavar="DIR", help="Where data sets lie [default: $NESY_GEDI_DATA, else data]."
)


@click.group(name="data")
def data_group() -> None:
    """List data sets, and fetch them.

    \b
    nesy-gedi data list
    nesy-gedi data fetch mnist
    """


@data_group.command()
@click.argument("name")
@_data_dir_option
def fetch(name: str, data_dir: str | None) -> None:
    """Download the data set NAME, unless it is there already.

    \b
    nesy-gedi data fetch mnist
    nesy-gedi data fetch cifar10 --data-dir ~/data
    """
    # PyTorch takes seconds to import: not for --help, and where Ctrl-C is one line
    from nesy_gedi.data.mnist import resolve_data_dir
    from nesy_gedi.data.sets import data_set

    chosen = data_set(name)
    directory, named = resolve_data_dir(data_dir)
    if chosen.fetch is None:
        click.echo(f"{name} needs no files: there is nothing to fetch")
        images = chosen.load(directory, named)
    else:
        # torchvision draws its progress bars on stderr even when nobody looks
        watched = sys.stderr.isatty()
        with contextlib.nullcontext() if watched else contextlib.redirect_stderr(io.StringIO()):
            images = chosen.fetch(directory)
    _print_row({**images.describe(), "name": name, "available": True, "licence": chosen.licence})


@data_group.command(name="list")
@_data_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with an object for each data set.")
def list_command(data_dir: str | None, as_json: bool) -> None:
    """Show each data set: whether it is there, where it comes from, its size, digest and licence.

    \b
    nesy-gedi data list
    nesy-gedi data list --data-dir ~/data --json
    """
    from nesy_gedi.data.mnist import resolve_data_dir
    from nesy_gedi.data.sets import DATA_SETS
    from nesy_gedi.errors import UserError

    directory, named = resolve_data_dir(data_dir)
    rows = []
    for name in DATA_SETS:
        rows.append(_row(name, directory, named))
        if not as_json:  # large ones take seconds: show what is known so far
            _print_row(rows[-1])
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    damaged = [row["name"] for row in rows if "damaged" in row]
    if damaged:
        raise UserError(f"damaged: {', '.join(damaged)}; what is wrong and what to do stands above")


def _row(name: str, directory: Path, named: bool) -> dict[str, Any]:
    """What there is to say of one data set as it would be loaded from ``directory``, read once."""
    from nesy_gedi.data.download import NotFetchedError, fetch_command
    from nesy_gedi.data.sets import data_set
    from nesy_gedi.errors import UserError

    chosen = data_set(name)
    row: dict[str, Any] = {"name": name, "available": False, "licence": chosen.licence}
    try:
        return {**row, **chosen.load(directory, named).describe(), "available": True}
    except NotFetchedError:
        return {**row, "fetch": fetch_command(name, directory).strip("`"), "download_mb": chosen.download_mb}
    except UserError as error:
        return {**row, "damaged": str(error)}


def _print_row(row: Mapping[str, Any]) -> None:
    """One data set, in lines."""
    click.echo(row["name"])
    if row["available"]:
        channels, height, width = row["image_shape"]
        items = (
            f"images, {channels}x{height}x{width}" if row["bounded"] else f"points, {channels} numbers each"
        )
        click.echo(f"  source   {row['source']}")
        click.echo(f"  size     {row['train']:,} training and {row['test']:,} test {items}")
        click.echo(f"  classes  {row['classes']}")
        click.echo(f"  sha256   {row['sha256']}")
    elif "damaged" in row:
        click.echo(f"  damaged  {row['damaged']}")
    else:
        click.echo(f"  missing  `{row['fetch']}` downloads it ({row['download_mb']} MB)")
    click.echo(f"  licence  {row['licence']}")
