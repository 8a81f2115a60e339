"""``nesy-gedi evaluate`` and ``nesy-gedi sample``: measure a trained run, and draw from it."""

import click

_COUNT = click.IntRange(min=1)
_DEFAULT_STEPS = "[default: 500 for images, 20,000 for vectors]"  # nesy_gedi/drawing.py, slow to import
_PAIR = click.IntRange(min=2)  # a spread needs two


@click.command(context_settings={"show_default": True})
@click.argument("run", metavar="RUN")
@click.option(
    "--measures",
    metavar="NAME,…",
    help="Of clustering, kmeans, probe, knn, failures, ood, generation. [default: the first five]",
)
@click.option("--ood", metavar="NAME,…", help="Other data sets, by name or path, to tell the run's own from.")
@click.option("--data-dir", metavar="DIR", help="Where data sets lie. [default: $NESY_GEDI_DATA, else data]")
@click.option("--samples", metavar="N", type=_PAIR, default=10_000, help="Samples for generation.")
@click.option(
    "--sampler-steps", metavar="N", type=_COUNT, help=f"SGLD steps of each sample. {_DEFAULT_STEPS}"
)
@click.option("--reference", metavar="SPLIT", default="train", help="Compare samples with train or test.")
@click.option("--inception-weights", metavar="FILE", help="Weights for FID. [default: in torch.hub's cache]")
@click.option(
    "--features",
    metavar="NAME",
    default="inception",
    help="Compare samples by inception's features, the run's own (classifier), or another RUN's.",
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def evaluate(
    run: str,
    measures: str | None,
    ood: str | None,
    data_dir: str | None,
    samples: int,
    sampler_steps: int | None,
    reference: str,
    inception_weights: str | None,
    features: str,
    as_json: bool,
) -> None:
    """Measure a run on its data's test images; results are added to RUN/evaluation.json.

    \b
    nesy-gedi evaluate runs/cifar10-gedi
    nesy-gedi evaluate runs/cifar10-gedi --ood cifar100,mnist
    nesy-gedi evaluate runs/cifar10-gedi --measures generation --features classifier
    """
    import json

    from nesy_gedi.evaluating import EvaluationOptions
    from nesy_gedi.evaluating import evaluate as evaluate_run
    from nesy_gedi.evaluation.report import lines

    options = EvaluationOptions(
        measures=_names(measures) if measures is not None else None,
        ood=_names(ood or ""),
        data_dir=data_dir,
        samples=samples,
        sampler_steps=sampler_steps,
        reference=reference,
        inception_weights=inception_weights,
        features=features,
    )
    results = evaluate_run(run, options, lambda remark: click.echo(f"nesy-gedi: {remark}", err=True))
    for line in [json.dumps(results, ensure_ascii=False)] if as_json else lines(results):
        click.echo(line)


@click.command(context_settings={"show_default": True})
@click.argument("run", metavar="RUN")
@click.option("--count", metavar="N", type=_COUNT, default=64, help="Number of samples.")
@click.option("--steps", metavar="N", type=_COUNT, help=f"SGLD steps of each. {_DEFAULT_STEPS}")
@click.option("--seed", metavar="S", type=click.IntRange(min=0), default=0, help="Decides starts and noise.")
@click.option("--out", metavar="DIR", help="Where to write. [default: RUN/samples]")
def sample(run: str, count: int, steps: int | None, seed: int, out: str | None) -> None:
    """Draw from a run's energy by Langevin dynamics; writes samples.npz and samples.png.

    \b
    nesy-gedi sample runs/cifar10-gedi --count 64
    """
    from rich.console import Console

    from nesy_gedi.drawing import sample_run

    sample_run(Console(), run, count, steps, seed, out)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
