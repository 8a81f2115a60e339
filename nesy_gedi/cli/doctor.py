"""``nesy-gedi doctor``: what is wrong with the installation, the machine or the data."""

import json
import sys

import click


@click.command()
@click.option("--data-dir", metavar="DIR", help="Where data sets lie. [default: $NESY_GEDI_DATA, else data]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def doctor(data_dir: str | None, as_json: bool) -> None:
    """Show versions, machine, data and disks, and what is wrong with them; exit code 1 if something is.

    \b
    nesy-gedi doctor
    nesy-gedi doctor --json
    """
    from nesy_gedi.doctor import examine
    from nesy_gedi.reporting.diagnosis import lines

    found = examine(data_dir)
    for line in [json.dumps(found.to_json(), indent=2)] if as_json else lines(found):
        click.echo(line)
    sys.exit(1 if found.stops else 0)
