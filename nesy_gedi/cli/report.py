"""``nesy-gedi report``: a run, or several beside each other, as a page to look at."""

import click


@click.command()
@click.argument("runs", metavar="RUN…", nargs=-1, required=True)
@click.option(
    "--out",
    metavar="FILE",
    help="Where to write. [default: RUN/report.html, comparison.html beside the first]",
)
@click.option("--data-dir", metavar="DIR", help="Where data sets lie now. [default: where they lay]")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def report(runs: tuple[str, ...], out: str | None, data_dir: str | None, show: bool) -> None:
    """Write a run's report, or a comparison of several: one HTML file that needs no network.

    \b
    nesy-gedi report runs/addition-combined-1000 --open
    nesy-gedi report runs/moons-gedi runs/moons-gedi-no-gen
    """
    from nesy_gedi.report.comparison import write_comparison
    from nesy_gedi.report.page import write_report

    path = (
        write_report(runs[0], data_dir=data_dir, out=out)
        if len(runs) == 1
        else write_comparison(runs, data_dir, out)
    )
    click.echo(path)
    if show:
        click.launch(str(path))
