"""How often a training runs away, by what is done against it and by the learning rate.

    python -m benchmarks.stability [--seeds 10] [--steps 2000]

GEDI on moons with Table 7's settings and logits that nothing bounds (temperature 0), where energies run
away; each part of ``--stabilise default`` alone, all of them, and bounded logits. A run survives if nothing
is noticed to the end (:class:`nesy_gedi.gedi.stability.Guard`). docs/stability.md keeps the table.
"""

import statistics
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import click
import torch

from nesy_gedi.evaluation.clustering import clustering_score, predict
from nesy_gedi.gedi.config import override
from nesy_gedi.gedi.stability import STABILISERS, DivergedError
from nesy_gedi.gedi.trainer import Trainer, TrainingData
from nesy_gedi.request import Request, prepare

RATES = (1e-4, 3e-4, 1e-3)
_DEFAULT = STABILISERS["default"]["stability"]
SETTINGS: dict[str, Mapping[str, Any]] = {
    "paper": {},
    "energies, L2": {"stability": {"energy_l2": _DEFAULT["energy_l2"]}},
    "sampler's move clamped": {"sampler": STABILISERS["default"]["sampler"]},
    "warm-up": {"stability": {"warm_up": _DEFAULT["warm_up"]}},
    "gradient's norm clipped": {"stability": {"gradient_norm": _DEFAULT["gradient_norm"]}},
    "default": STABILISERS["default"],
    "paper, logits bounded": {"network": {"temperature": 0.1}},
}


class Outcome(NamedTuple):
    """What became of a run: whether nothing was noticed, rollbacks, whether it ended, and its NMI."""

    survived: bool
    rollbacks: int
    ended: bool
    nmi: float


def outcome(setting: str, rate: float, seed: int, steps: int) -> Outcome:
    """Train once."""
    torch.set_num_threads(1)
    learner = prepare(Request(dataset="moons", variant="gedi", preset="paper", epochs=1)).learner
    changes = {"network": {"temperature": 0.0}, "learning_rate": rate}
    config = override(override(learner.config, changes), SETTINGS[setting])
    data = TrainingData(learner.images.train_images, learner.examples(None, seed).images)
    trainer = Trainer(config, data, seed)
    epochs = -(-steps // trainer.steps_per_epoch)
    trainer.config = replace(config, epochs=epochs)
    try:
        for _ in trainer.run():
            pass
    except DivergedError:
        return Outcome(False, len(trainer.guard.done), False, 0.0)
    test = learner.test_set()
    assert test is not None
    score = clustering_score(predict(trainer.network, test[0]), test[1], config.network.classes)
    return Outcome(not trainer.guard.done, len(trainer.guard.done), True, score.nmi)


@click.command()
@click.option("--seeds", type=int, default=10, show_default=True)
@click.option("--steps", type=int, default=2000, show_default=True)
@click.option("--processes", type=int, default=1, show_default=True)
@click.option("--only", multiple=True, help="A setting; all by default.")
def main(seeds: int, steps: int, processes: int, only: tuple[str, ...]) -> None:
    """Print the table."""
    print("| setting | learning rate | survived | ended | rollbacks | NMI of those ended |")
    print("|---|---|---|---|---|---|")
    with ProcessPoolExecutor(processes) as pool:
        for setting in only or SETTINGS:
            for rate in RATES:
                jobs = [pool.submit(outcome, setting, rate, seed, steps) for seed in range(seeds)]
                found = [job.result() for job in jobs]
                ended = [one.nmi for one in found if one.ended]
                quality = f"{statistics.mean(ended):.3f}" if ended else "–"
                print(
                    f"| {setting} | {rate:g} | {sum(one.survived for one in found)} of {seeds} "
                    f"| {len(ended)} of {seeds} | {sum(one.rollbacks for one in found)} | {quality} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
