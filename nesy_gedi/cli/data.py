"""``nesy-gedi data``: what data sets there are, and fetching them."""

import contextlib
import io
import sys
from pathlib import Path

import click

_data_dir_option = click.option(
    "--data-dir", metavar="DIR", help="Where data sets lie [default: $NESY_GEDI_DATA, else data]."
)


@click.group(name="data")
def data_group() -> None:
    """List data sets, and fetch them."""


@data_group.command()
@click.argument("name")
@_data_dir_option
def fetch(name: str, data_dir: str | None) -> None:
    """Download the data set NAME, unless it is there already."""
    # PyTorch takes seconds to import: not for --help, and where Ctrl-C is one line
    from nesy_gedi.data.mnist import resolve_data_dir
    from nesy_gedi.data.sets import data_set

    chosen = data_set(name)
    directory, _ = resolve_data_dir(data_dir)
    # torchvision draws its progress bars on stderr even when nobody looks
    watched = sys.stderr.isatty()
    with contextlib.nullcontext() if watched else contextlib.redirect_stderr(io.StringIO()):
        chosen.fetch(directory)
    _print_row(name, directory)


@data_group.command(name="list")
@_data_dir_option
def list_command(data_dir: str | None) -> None:
    """Show each data set: where it comes from, its size, digest and licence."""
    from nesy_gedi.data.mnist import resolve_data_dir
    from nesy_gedi.data.sets import DATA_SETS

    directory, _ = resolve_data_dir(data_dir)
    for name in DATA_SETS:
        _print_row(name, directory)


def _print_row(name: str, directory: Path) -> None:
    """One data set as it would be loaded from ``directory``, embedded images included."""
    from nesy_gedi.data.sets import data_set

    chosen = data_set(name)
    found = chosen.load(directory, False).describe()
    shape = "x".join(str(size) for size in found["image_shape"])
    click.echo(name)
    click.echo(f"  source   {found['source']}")
    click.echo(f"  size     {found['train']:,} training and {found['test']:,} test images, {shape}")
    click.echo(f"  classes  {found['classes']}")
    click.echo(f"  sha256   {found['sha256']}")
    click.echo(f"  licence  {chosen.licence}")
