"""The gradient of one training step in float64, by as many processes as there are."""

from dataclasses import replace
from unittest.mock import patch

import torch
from small_constraints import Sum, config_of, sums_of_patterns
from torch import Tensor

from nesy_gedi.data.augment import Augmentation
from nesy_gedi.gedi import trainer as trainer_module
from nesy_gedi.gedi.distributed import parallel
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.terms import TERMS
from nesy_gedi.gedi.trainer import Trainer, TrainingData

EXAMPLES, SAMPLES = 5, 7
METHODS = {
    "combined": Method({"gen": 1.0, "inv": 50.0, "prior": 25.0, "nesy": 25.0}),
    "gedi-no-gen": Method({"inv": 50.0, "prior": 25.0}),
    "swav": Method({"swav": 1.0}),
    "barlow": Method({"barlow": 1.0}),
}
NETWORKS = {
    "swav": {"projector_hidden": 6, "projector_norm": True, "projection": 3},
    "barlow": {"projector_hidden": 6, "projector_norm": True, "temperature": 0.0},
}


def gradients(method: str, half: int | None = None) -> dict[str, Tensor]:
    """Of every parameter; of a half of the batch as if it were all, if one is given."""
    torch.set_num_threads(1)  # or the last bits of the start depend on them
    config = config_of()
    network = replace(config.network, **NETWORKS.get(method, {}))
    config = config_of(
        method=METHODS[method],
        network=network,
        sampler=replace(config.sampler, count=SAMPLES),
        augmentation=Augmentation(noise_std=0.0),
    )
    images, rows, _ = sums_of_patterns(EXAMPLES)
    trainer = Trainer(config, TrainingData(images, rows, Sum(EXAMPLES)), 0)
    trainer.network.double().train()
    trainer.parallel = parallel(trainer.network, trainer.world)
    second_views = torch.rand(len(images), *images.shape[1:], generator=torch.Generator().manual_seed(1))
    samples = torch.rand(SAMPLES, *images.shape[1:], generator=torch.Generator().manual_seed(2))
    share = trainer.world.part(torch.arange(SAMPLES))
    views = iter([images.double() / 255, second_views.double()])

    def view(self: object, pixels: Tensor, generator: object, bounded: bool) -> Tensor:
        """The next view of the images that ``pixels`` are, whatever rank asks."""
        return next(views)[trainer.world_rows]

    batch = torch.arange(EXAMPLES)
    if half is not None:
        batch = batch[:3] if half == 0 else batch[3:]
    trainer.world_rows = trainer.examples[trainer.world.part(batch)].flatten()  # type: ignore[attr-defined]
    with (
        patch.object(Augmentation, "__call__", view),
        patch.object(trainer_module, "sample_step", lambda *_: samples.double()[share]),
    ):
        step = trainer._outputs(batch, sampled=config.method.uses("gen"))
    terms = [name for name in TERMS if config.method.uses(name)]
    torch.stack([config.weight_at(name, 0.5) * TERMS[name].value(step) for name in terms]).sum().backward()
    return {name: p.grad for name, p in trainer.network.named_parameters() if p.grad is not None}
