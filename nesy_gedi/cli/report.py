"""``nesy-gedi report``: a run as a page to look at."""

import click


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--out", metavar="FILE", help="Where to write. [default: RUN/report.html]")
@click.option("--data-dir", metavar="DIR", help="Where data sets lie now. [default: where they lay]")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def report(run: str, out: str | None, data_dir: str | None, show: bool) -> None:
    """Write a run's report: one HTML file that needs no network to be looked at.

    \b
    nesy-gedi report runs/addition-combined-1000 --open
    """
    from nesy_gedi.report.page import write_report

    path = write_report(run, data_dir=data_dir, out=out)
    click.echo(path)
    if show:
        click.launch(str(path))
