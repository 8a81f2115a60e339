"""``nesy-gedi addition``: learn digits from sums alone."""

from typing import Any

import click

_COUNT = click.IntRange(min=1)


@click.command(context_settings={"show_default": True})
@click.option("--examples", metavar="N", type=int, default=1000, help="Triples of images.")
@click.option("--variant", metavar="NAME", default="combined", help="combined, nesy or gedi.")
@click.option("--seeds", metavar="K", type=_COUNT, default=1, help="Number of trainings.")
@click.option("--first-seed", metavar="S", type=click.IntRange(min=0), default=0, help="Seed of the first.")
@click.option("--epochs", metavar="E", type=_COUNT, help="Instead of the preset's number.")
@click.option("--width", metavar="F", type=_COUNT, help="Channels of the network.")
@click.option("--engine", metavar="NAME", default="circuit", help="circuit, klay or deepproblog.")
@click.option("--program", metavar="FILE.pl", help="Another constraint than the shipped addition.pl.")
@click.option("--preset", metavar="NAME", default="default", help="default or paper.")
@click.option("--data-dir", metavar="DIR", help="Where MNIST lies. [default: $NESY_GEDI_DATA, else data]")
@click.option("--precision", metavar="NAME", default="auto", help="auto, fp32 or bf16.")
@click.option("--device", metavar="NAME", default="auto", help="auto, cpu or cuda.")
@click.option("--out", metavar="DIR", help="Folder of the run. [default: runs/addition-VARIANT-N]")
@click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="Change any setting.")
def addition(**options: Any) -> None:
    """Learn to read digits from triples of images of which the third shows the sum of the first two."""
    # seconds to import: here, where Ctrl-C is one line, and not for --help
    from rich.console import Console

    from nesy_gedi.experiment import Experiment, Request

    Experiment(Request(experiment="addition", **options), Console()).run()
