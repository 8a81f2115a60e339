"""The command line: ``nesy-gedi``."""

import os
import sys

import click

from nesy_gedi import __version__
from nesy_gedi.cli.app import app
from nesy_gedi.cli.completing import add_completion
from nesy_gedi.cli.data import data_group
from nesy_gedi.cli.doctor import doctor
from nesy_gedi.cli.evaluate import evaluate, sample
from nesy_gedi.cli.program import program_group
from nesy_gedi.cli.query import name, query
from nesy_gedi.cli.report import report
from nesy_gedi.cli.reproduce import reproduce
from nesy_gedi.cli.runs import runs_group
from nesy_gedi.cli.train import addition, train
from nesy_gedi.errors import UserError
from nesy_gedi.memory import keep_freed_memory
from nesy_gedi.stopping import StoppedError


class _Group(click.Group):
    """Turns a UserError into one line on stderr and exit code 2, and Ctrl-C into exit code 130."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except click.UsageError as error:  # click would print its usage as well
            click.echo(f"nesy-gedi: {error.format_message()}", err=True)
            sys.exit(2)
        except UserError as error:
            _tell(error)
            sys.exit(2)
        except StoppedError as stopped:
            _tell(stopped)
            sys.exit(128 + stopped.signal)
        except KeyboardInterrupt:
            click.echo("nesy-gedi: interrupted", err=True)
            sys.exit(130)


def _tell(error: BaseException) -> None:
    """One line; where several processes train together, by the first of them."""
    if os.environ.get("RANK", "0") == "0":
        click.echo(f"nesy-gedi: {error}", err=True)


_WELCOME = f"""\
nesy-gedi {__version__} clusters images without labels, and names the clusters with logic.

  nesy-gedi addition                    read digits, knowing only which of them add up
  nesy-gedi train --program my.pl       learn to read images from a program of your own
  nesy-gedi query runs/my-combined-1000 'addition("a.png", "b.png", Z)'
                                        ask what was trained about image files

`nesy-gedi --help` lists all commands, `nesy-gedi COMMAND --help` the options of one;
`nesy-gedi doctor` says what is wrong with an installation."""
_EPILOG = """\b
Exit codes:
  0    done
  1    program check or doctor found something wrong
  2    wrong input; one line on stderr says what to do
  130  interrupted by Ctrl-C, 143 by SIGTERM; a training is saved before
"""


@click.group(
    cls=_Group,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="nesy-gedi")
@click.pass_context
def main(context: click.Context) -> None:
    """Cluster images without labels, and name the clusters with logic.

    \b
    nesy-gedi addition
    nesy-gedi train --program my.pl
    """
    keep_freed_memory()
    if context.invoked_subcommand is None:
        click.echo(_WELCOME)


for command in (addition, train, report, app, query, name, evaluate, sample, reproduce, doctor):
    main.add_command(command)
main.add_command(data_group, name="data")
main.add_command(program_group, name="program")
main.add_command(runs_group, name="runs")
add_completion(main)
