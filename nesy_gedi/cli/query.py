"""``nesy-gedi query`` and ``nesy-gedi name``: ask a trained run, and name the clusters of one."""

import click

from nesy_gedi.cli.train import program_options


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("atom", metavar="QUERY")
@click.option("--explain", is_flag=True, help="Also how the images are read, given the most probable answer.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@click.option("--compile-timeout", metavar="SECONDS", type=float, default=60.0, show_default=True)
def query(run: str, atom: str, explain: bool, as_json: bool, compile_timeout: float) -> None:
    """Ask a run about image files: the probability of each answer, the most probable first.

    Images of any size and colour are brought to what the network was trained on. One that looks like nothing
    that it knows is told on standard error.

    \b
    nesy-gedi query runs/labelled_addition-combined-1000 'addition("a.png", "b.png", Z)'
    nesy-gedi query runs/labelled_addition-combined-1000 'addition("a.png", "b.png", Z)' --explain
    """
    from nesy_gedi.asking import ask

    answer = ask(run, atom, compile_timeout)
    for doubt in answer.doubts:
        click.echo(f"nesy-gedi: warning: {doubt}", err=True)
    for line in [answer.to_json()] if as_json else answer.lines(explain):
        click.echo(line)


@click.command(context_settings={"show_default": True})
@click.argument("run", metavar="RUN")
@click.option("--program", metavar="FILE.pl", required=True, help="What is known of the images.")
@click.option(
    "--examples", metavar="N", type=click.IntRange(min=1), default=1000, help="Examples to look at."
)
@click.option("--seed", metavar="S", type=click.IntRange(min=0), default=0, help="Decides the examples.")
@click.option("--data-dir", metavar="DIR", help="Where data sets lie. [default: $NESY_GEDI_DATA, else data]")
@click.option("--out", metavar="DIR", help="Folder of the named run. [default: RUN-named]")
@program_options
def name(
    run: str,
    program: str,
    examples: int,
    seed: int,
    data_dir: str | None,
    out: str | None,
    query: str | None,
    trust_program: bool,
    compile_timeout: float,
) -> None:
    """Name the clusters of a network that was trained without a constraint.

    \b
    nesy-gedi train --method gedi
    nesy-gedi name runs/mnist-gedi --program addition.pl
    """
    from rich.console import Console

    from nesy_gedi.logic.program import read_program
    from nesy_gedi.renaming import name_run

    checked = read_program(program, query, trust_program)
    name_run(Console(), run, checked, examples, seed, data_dir, out, compile_timeout)
