"""``nesy-gedi reproduce``: the paper's tables and figures, ours beside them."""

import json

import click

from nesy_gedi.cli.train import launcher_options, log_options, report_option

_COUNT = click.IntRange(min=1)


@click.command(context_settings={"show_default": True})
@click.argument("target", metavar="TARGET", required=False)
@click.option("--list", "show", is_flag=True, help="Show the targets.")
@click.option("--seeds", metavar="K", type=_COUNT, default=5, help="Number of trainings of each row.")
@click.option("--first-seed", metavar="S", type=click.IntRange(min=0), default=0)
@click.option("--preset", metavar="NAME", default="cpu", help="cpu or paper.")
@click.option("--datasets", metavar="NAME,…", help="Only these. [default: the target's]")
@click.option("--methods", metavar="NAME,…", help="Only these. [default: the target's]")
@click.option("--examples", metavar="N", type=_COUNT, help="Images, or examples of table6.")
@click.option("--epochs", metavar="E", type=_COUNT, help="Instead of the preset's number.")
@click.option("--data-dir", metavar="DIR", help="Where data sets lie. [default: $NESY_GEDI_DATA, else data]")
@click.option("--out", metavar="DIR", default="runs/reproduce", help="Runs go to DIR/PRESET.")
@click.option("--samples", metavar="N", type=click.IntRange(min=2), default=10_000, help="For table5.")
@click.option(
    "--sampler-steps",
    metavar="N",
    type=_COUNT,
    help="For table5, figure5 and figure6. [default: 500 for images, 20000 for points]",
)
@click.option("--inception-weights", metavar="FILE", help="For table5.")
@click.option("--features", metavar="NAME", default="inception", help="For table5, as in `evaluate`.")
@click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="Change any setting.")
@report_option
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON; all else to stderr.")
@log_options
@launcher_options
def reproduce(
    target: str | None,
    show: bool,
    seeds: int,
    preset: str,
    datasets: str | None,
    methods: str | None,
    out: str,
    samples: int,
    sampler_steps: int | None,
    inception_weights: str | None,
    features: str,
    launcher: str,
    job_cpus: int | None,
    ray_address: str | None,
    as_json: bool,
    **rest: object,
) -> None:
    """Train, measure and show a table or figure of the paper; what is there already is not done again.

    \b
    nesy-gedi reproduce table2
    nesy-gedi reproduce table4 --datasets cifar10 --seeds 1
    nesy-gedi reproduce table2 --launcher cores
    """
    from rich.console import Console

    from nesy_gedi.evaluating import EvaluationOptions
    from nesy_gedi.launching import Launching
    from nesy_gedi.paper import list_targets, reproduce_target
    from nesy_gedi.request import Request

    if show or target is None:
        for line in list_targets():
            click.echo(line)
        return
    launching = Launching(launcher, job_cpus, ray_address)
    base = Request(preset=preset, **rest)  # type: ignore[arg-type]
    evaluation = EvaluationOptions(
        data_dir=base.data_dir,
        samples=samples,
        sampler_steps=sampler_steps,
        inception_weights=inception_weights,
        features=features,
    )
    chosen = (_names(datasets), _names(methods))
    console = Console(stderr=as_json)
    written = reproduce_target(target, base, seeds, out, *chosen, evaluation, console, launching)
    if as_json:
        tables = [path for path in written if path.suffix == ".json"]
        content = json.loads(tables[0].read_text(encoding="utf-8")) if tables else {}
        click.echo(json.dumps({**content, "written": list(map(str, written))}, ensure_ascii=False))


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
