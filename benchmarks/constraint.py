"""What the constraint costs in a training step, and how our evaluation compares with others.

    python benchmarks/constraint.py

prints medians in milliseconds, all measured in one process in turn, so that their ratios hold on any machine.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import click
import torch

from nesy_gedi.data.mnist import load_mnist, resolve_data_dir
from nesy_gedi.gedi.precision import choose_precision
from nesy_gedi.gedi.trainer import Trainer, TrainingData
from nesy_gedi.learning import Learner
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.klay_layers import KlayCircuit
from nesy_gedi.logic.predicate import DeepProbLogConstraint
from nesy_gedi.presets import load_preset
from nesy_gedi.resources import resource


def median_ms(functions: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median time of each function, ms; the functions take turns, after three rounds of warming up."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for run in range(runs + 3):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if run >= 3:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) * 1e3 for name, values in times.items()}


@click.command()
@click.option("--runs", type=int, default=100, show_default=True)
def main(runs: int) -> None:
    """Measure the addition's constraint, forward and backward, beside a whole training step."""
    config = load_preset("addition", "default", "combined", {}).config
    images = load_mnist(*resolve_data_dir(None))
    learner = Learner(resource("programs", "addition.pl"), images, config)
    examples = learner.examples(1000, seed=0)
    data = TrainingData(images.train_images, examples, learner.constraint, learner.worlds)
    trainer = Trainer(
        replace(config, constraint_from=0.0), data, 0, precision=choose_precision("auto", "cpu")
    )
    rows = examples[: config.batch_size]
    logits = torch.randn(config.views * len(rows), learner.worlds.dim(), len(learner.worlds))

    def evaluate(constraint: torch.nn.Module) -> Callable[[], object]:
        def run() -> None:
            log_posterior = logits.requires_grad_().log_softmax(-1).detach().requires_grad_()
            constraint(log_posterior).mean().backward()

        return run

    program = learner.program
    fast = median_ms(
        {
            "training step": lambda: trainer._train_step(rows),
            "circuit (ours)": evaluate(ConstraintCircuit(program)),
            "circuit (KLay)": evaluate(ConstraintCircuit(program, evaluator=KlayCircuit)),
        },
        runs,
    )
    slow = median_ms({"DeepProbLog": evaluate(DeepProbLogConstraint(program))}, 1)
    step, ours = fast["training step"], fast["circuit (ours)"]
    print(f"batch of {len(logits)} triples, {torch.get_num_threads()} threads, width {config.network.width}")
    for name, value in {**fast, **slow}.items():
        print(f"{name:16} {value:10.3f} ms   {value / step:8.1%} of a step   {value / ours:8.1f} x ours")


if __name__ == "__main__":
    main()
