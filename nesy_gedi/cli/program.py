"""``nesy-gedi program``: check, show, audit and sample a program before anything is trained."""

import json
import sys

import click

from nesy_gedi.cli.train import program_options

_json_option = click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")


@click.group(name="program")
def program_group() -> None:
    """Look at a program before training: check, show, audit, sample.

    \b
    nesy-gedi program check my.pl
    nesy-gedi program audit addition.pl
    """


@program_group.command()
@click.argument("file", metavar="FILE.pl")
@program_options
@_json_option
def check(file: str, query: str | None, trust_program: bool, compile_timeout: float, as_json: bool) -> None:
    """List mistakes and doubts with file:line:column; exit code 1 if there is a mistake.

    \b
    nesy-gedi program check my.pl
    nesy-gedi program check my.pl --query 'addition(X, Y, Z)'
    """
    from nesy_gedi.inspection import check_program

    found = check_program(file, query, trust_program, compile_timeout)
    for line in [json.dumps(found.to_json(), ensure_ascii=False)] if as_json else found.messages():
        click.echo(line)
    sys.exit(1 if found.errors else 0)


@program_group.command()
@click.argument("file", metavar="FILE.pl")
@program_options
@_json_option
def show(file: str, query: str | None, trust_program: bool, compile_timeout: float, as_json: bool) -> None:
    """Show networks, slots, domains, satisfying worlds, and the size of the circuit.

    \b
    nesy-gedi program show sudoku.pl
    """
    from nesy_gedi.inspection import compiled, describe, facts

    circuit = compiled(file, query, trust_program, compile_timeout)
    click.echo(json.dumps(facts(circuit), ensure_ascii=False) if as_json else describe(circuit))


@program_group.command()
@click.argument("file", metavar="FILE.pl")
@click.option(
    "--support",
    metavar="TEXT",
    help="Which true readings occur: '0 0; 0 1; 2 3', or a file with one on each line. "
    "[default: the program's facts support(…), else all that satisfy it]",
)
@click.option(
    "--list",
    "most",
    metavar="N",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Readings to list.",
)
@program_options
@_json_option
def audit(
    file: str,
    support: str | None,
    most: int,
    query: str | None,
    trust_program: bool,
    compile_timeout: float,
    as_json: bool,
) -> None:
    """Which other readings of the images satisfy the program: its reasoning shortcuts, counted exactly.

    \b
    nesy-gedi program audit addition.pl
    nesy-gedi program audit my.pl --support '0 1; 0 2' --list 3
    """
    from nesy_gedi.auditing import audit_facts, audit_program
    from nesy_gedi.inspection import compiled

    circuit = compiled(file, query, trust_program, compile_timeout)
    if as_json:
        click.echo(json.dumps(audit_facts(circuit, support, most), ensure_ascii=False))
        return
    for line in audit_program(circuit, support, most):
        click.echo(line)


@program_group.command()
@click.argument("file", metavar="FILE.pl")
@click.option("--dataset", metavar="NAME", default="mnist", show_default=True, help="mnist.")
@click.option("--examples", metavar="N", type=int, default=5, show_default=True, help="Number of examples.")
@click.option("--distribution", metavar="NAME", default="readings", show_default=True, help="As for train.")
@click.option("--seed", metavar="S", type=int, default=0, show_default=True, help="Decides what is drawn.")
@click.option("--data-dir", metavar="DIR", help="Where data sets lie. [default: $NESY_GEDI_DATA, else data]")
@click.option("--out", metavar="DIR", help="Write the images and an examples.csv there.")
@program_options
def sample(
    file: str, query: str | None, trust_program: bool, compile_timeout: float, **options: object
) -> None:
    """Draw examples that satisfy the program from a labelled data set.

    \b
    nesy-gedi program sample addition.pl --examples 20 --out drawn
    """
    from nesy_gedi.inspection import compiled
    from nesy_gedi.sampling import sample_program

    circuit = compiled(file, query, trust_program, compile_timeout)
    for line in sample_program(circuit, **options):  # type: ignore[arg-type]
        click.echo(line)
