"""``nesy-gedi train`` and ``nesy-gedi addition``: learn to read images from a program alone."""

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from nesy_gedi.processes import start, under_torchrun, without_nproc

_COUNT = click.IntRange(min=1)
report_option = click.option(
    "--report/--no-report", default=True, help="Write RUN/report.html at the end of a training."
)
_COMMON = [
    click.option(
        "--examples", metavar="N", type=int, help="Number of examples. [default: 1000; all without a program]"
    ),
    click.option(
        "--method",
        "--variant",
        "variant",
        metavar="NAME",
        help="A row of the table of methods. [default: combined; gedi without a program]",
    ),
    click.option("--seeds", metavar="K", type=_COUNT, default=1, help="Number of trainings."),
    click.option(
        "--first-seed", metavar="S", type=click.IntRange(min=0), default=0, help="Seed of the first."
    ),
    click.option("--epochs", metavar="E", type=_COUNT, help="Instead of the preset's number."),
    click.option("--width", metavar="F", type=_COUNT, help="Channels of the network."),
    click.option("--engine", metavar="NAME", default="circuit", help="circuit, klay or deepproblog."),
    click.option("--preset", metavar="NAME", default="cpu", help="cpu or paper."),
    click.option(
        "--data-dir", metavar="DIR", help="Where data sets lie. [default: $NESY_GEDI_DATA, else data]"
    ),
    click.option("--precision", metavar="NAME", default="auto", help="auto, bf16, fp32-fused or fp32."),
    click.option("--device", metavar="NAME", default="auto", help="auto, cpu or cuda."),
    click.option(
        "--stabilise",
        metavar="NAME",
        help="off, paper (the bare algorithm) or default. [default: as the preset has it]",
    ),
    click.option("--out", metavar="DIR", help="Folder of the run. [default: runs/PROGRAM-METHOD-N]"),
    click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="Change any setting."),
    click.option(
        "--save-every",
        "save_seconds",
        metavar="SECONDS",
        type=click.FloatRange(min=0),
        default=30.0,
        help="How much of a training may be lost; its state is written so often.",
    ),
    report_option,
    click.option(
        "--nproc", metavar="N", type=_COUNT, default=1, help="Processes that train together, by torchrun."
    ),
    click.option("--resume", metavar="RUN", help="Go on with an interrupted run; its settings are its own."),
    click.option(
        "--json", "as_json", is_flag=True, help="Print result.json at the end, in a line; all else to stderr."
    ),
]


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the metrics of every epoch are written to beside metrics.jsonl."""
    options = [
        click.option("--csv", is_flag=True, help="Write the metrics to metrics.csv too."),
        click.option("--tensorboard", is_flag=True, help="Write event files to RUN/tensorboard too."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all trainings have."""
    for option in reversed(_COMMON):
        command = option(command)
    return command


def launcher_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where trainings of several seeds or rows run."""
    options = [
        click.option(
            "--launcher",
            metavar="NAME",
            default="here",
            help="here, one training after the other; cores, many at a time; or ray, on a Ray cluster whose "
            "machines share this folder, DIR and the data.",
        ),
        click.option(
            "--job-cpus",
            metavar="N",
            type=_COUNT,
            help="Cores of each training, with cores or ray. [default: 1]",
        ),
        click.option(
            "--ray-address",
            metavar="ADDRESS",
            help="Of the Ray cluster, as auto or HOST:6379. [default: a Ray of its own on this machine]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def program_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of all commands that compile a program."""
    options = [
        click.option("--query", metavar="ATOM", help="Which query, as in 'addition(X, Y, Z)'."),
        click.option("--trust-program", is_flag=True, help="Let the program read files and run code."),
        click.option(
            "--compile-timeout",
            metavar="SECONDS",
            type=float,
            default=60.0,
            help="For grounding and compiling.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(context_settings={"show_default": True})
@click.option("--program", metavar="FILE.pl", help="What is known of the images; a shipped one by its name.")
@click.option(
    "--dataset", metavar="NAME", default="mnist", help="As `data list` shows, or a folder, or an .npz."
)
@click.option("--clusters", metavar="C", type=_COUNT, help="Without a program. [default: the data's classes]")
@click.option(
    "--distribution", metavar="NAME", default="readings", help="readings, answers or ANSWER=WEIGHT,…."
)
@click.option("--examples-csv", metavar="FILE.csv", help="Your own examples: a row each, a column a slot.")
@click.option("--images", metavar="DIR", help="Where the images of --examples-csv lie.")
@program_options
@training_options
@log_options
@launcher_options
def train(**options: Any) -> None:
    """Learn to read images from what a program says of them; or find clusters, without a program.

    \b
    nesy-gedi train --program sudoku.pl --examples 200
    nesy-gedi train --program my.pl --examples-csv examples.csv --images photos
    nesy-gedi train --dataset cifar10
    nesy-gedi train --dataset photos --clusters 20 --method gedi-no-gen
    nesy-gedi train --resume runs/cifar10-gedi
    nesy-gedi train --dataset moons --seeds 10 --launcher cores
    """
    _run(**options)


@click.command(context_settings={"show_default": True})
@training_options
@log_options
@launcher_options
def addition(**options: Any) -> None:
    """Learn to read digits from triples of images of which the third shows the sum of the first two.

    \b
    nesy-gedi addition
    nesy-gedi addition --examples 100 --seeds 5
    nesy-gedi addition --set sampler.steps=5
    nesy-gedi addition --resume runs/addition-combined-1000
    """
    from nesy_gedi.resources import resource

    _run(program=str(resource("programs", "addition.pl")), **options)


def _run(
    resume: str | None,
    nproc: int,
    launcher: str,
    job_cpus: int | None,
    ray_address: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    if resume is not None:
        _refuse_others()
    if nproc > 1 and launcher != "here":
        raise click.UsageError(
            f"--nproc {nproc} trains one network in several processes, --launcher {launcher} many networks "
            "beside each other: leave one out"
        )
    if nproc > 1 and not under_torchrun():
        if resume is None:
            from nesy_gedi.request import Request, prepare

            prepare(Request(**options))  # what is wrong is said once, and not by every process and torchrun
        sys.exit(start(nproc, without_nproc(sys.argv[1:])))
    # seconds to import: here, where Ctrl-C is one line, and not for --help
    from rich.console import Console

    from nesy_gedi import seeds
    from nesy_gedi.gedi.distributed import World
    from nesy_gedi.launching import Launching
    from nesy_gedi.request import Request
    from nesy_gedi.run_files import read_result
    from nesy_gedi.run_lock import training

    console, launching = Console(stderr=as_json), Launching(launcher, job_cpus, ray_address)
    leads = World().leads
    # resuming cuts the log: nobody else may be writing it
    with nullcontext() if resume is None or not leads else training(Path(resume)):
        if resume is None:
            experiment = seeds.begin(Request(**options), console, launching)
        else:
            experiment = seeds.resume(resume, console, launching)
        experiment.run()
    if as_json and leads:
        folder = experiment.folder.path
        click.echo(json.dumps({"run": str(folder), **read_result(folder)}, ensure_ascii=False))


def _refuse_others() -> None:
    """Whatever else is asked beside --resume would not be done."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        if given and name not in ("resume", "nproc", "launcher", "job_cpus", "ray_address", "as_json"):
            what = "--resume goes on with the run's own settings"
            raise click.UsageError(f"{what}: leave {parameter.opts[0]} out")
