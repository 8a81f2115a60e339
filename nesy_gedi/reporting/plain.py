"""Tables as all commands print them; imports nothing large."""

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

_WIDEST = 10_000  # columns, where nobody looks


def table_console() -> Console:
    """Standard output: on a terminal as wide as that is; elsewhere no row is ever broken or cut."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDEST
    return console


def plain_table(headings: Iterable[str], title: str | None = None) -> Table:
    """A table without a frame: the first column to the left, the others to the right."""
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="right" if position else "left", overflow="fold")
    return table


def number(value: float | None, form: str = ".3f") -> str:
    """As it is shown: whole numbers whole, and a dash where there is none."""
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else format(value, form)
