"""``nesy-gedi data``: what data sets there are, and fetching them."""

import contextlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from nesy_gedi.errors import unknown

if TYPE_CHECKING:
    from nesy_gedi.data.images import ImageSet


class _DataSet(NamedTuple):
    load: "Callable[[Path, bool], ImageSet]"
    fetch: Callable[[Path], None]
    licence: str


def _data_sets() -> dict[str, _DataSet]:
    # PyTorch takes seconds to import: not for --help, and where Ctrl-C is one line
    from nesy_gedi.data.mnist import fetch_mnist, load_mnist

    licence = "CC BY-SA 3.0, Yann LeCun, Corinna Cortes, Christopher J. C. Burges"
    return {"mnist": _DataSet(load_mnist, fetch_mnist, licence)}


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
    if name not in _data_sets():
        raise unknown("data set", name, _data_sets())
    from nesy_gedi.data.mnist import resolve_data_dir

    directory, _ = resolve_data_dir(data_dir)
    # torchvision draws its progress bars on stderr even when nobody looks
    watched = sys.stderr.isatty()
    with contextlib.nullcontext() if watched else contextlib.redirect_stderr(io.StringIO()):
        _data_sets()[name].fetch(directory)
    _print_row(name, directory)


@data_group.command(name="list")
@_data_dir_option
def list_command(data_dir: str | None) -> None:
    """Show each data set: where it comes from, its size, digest and licence."""
    from nesy_gedi.data.mnist import resolve_data_dir

    directory, _ = resolve_data_dir(data_dir)
    for name in _data_sets():
        _print_row(name, directory)


def _print_row(name: str, directory: Path) -> None:
    """One data set as it would be loaded from ``directory``, embedded images included."""
    data_set = _data_sets()[name]
    found = data_set.load(directory, False).describe()
    shape = "x".join(str(size) for size in found["image_shape"])
    click.echo(name)
    click.echo(f"  source   {found['source']}")
    click.echo(f"  size     {found['train']:,} training and {found['test']:,} test images, {shape}")
    click.echo(f"  classes  {found['classes']}")
    click.echo(f"  sha256   {found['sha256']}")
    click.echo(f"  licence  {data_set.licence}")
