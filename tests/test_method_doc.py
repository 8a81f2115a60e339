"""docs/add-a-method.md: its code, run as it stands."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.methods import METHODS, Method
from nesy_gedi.gedi.networks import NetworkConfig
from nesy_gedi.gedi.terms import TERMS, StepOutputs, term
from nesy_gedi.gedi.trainer import Trainer, TrainingData

BLOCKS = re.findall(
    r"```python\n(.*?)```",
    (Path(__file__).parents[1] / "docs" / "add-a-method.md").read_text(encoding="utf-8"),
    re.DOTALL,
)


def test_the_documented_method_trains() -> None:
    light, function, row = BLOCKS
    names = {"term": term, "StepOutputs": StepOutputs, "Tensor": Tensor, "Method": Method}
    try:
        exec(function, names)
        rows = eval("{" + light + row + "}", names)
        assert not set(rows) & set(METHODS)
        images = torch.randn(40, 2, 1, 1, generator=torch.Generator().manual_seed(0))
        data = TrainingData(images, torch.arange(40).unsqueeze(1))
        network = NetworkConfig("mlp", 8, 2, 1, 1, 4)
        for method in rows.values():
            config = TrainConfig(method=method, network=network, epochs=2, optimizer="adam")
            *_, metrics = Trainer(config, data, seed=0).run()
            assert set(metrics.terms) == set(method.weights)
        outputs = StepOutputs((), (torch.tensor([[0.0], [1.0]]),) * 2, None, torch.zeros(1))
        # a unit of variance 1/2: the hinge leaves 1 - sqrt(1/2)
        assert float(TERMS["variance"].value(outputs)) == pytest.approx(1 - 0.5001**0.5)
        assert TERMS["variance"].views == 2
    finally:
        TERMS.pop("variance", None)
