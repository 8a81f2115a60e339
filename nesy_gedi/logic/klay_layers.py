"""KLay's evaluation of a compiled circuit, behind the same interface as our layers.

Maene, Derkinderen and De Raedt, "KLay: Accelerating Arithmetic Circuits for Neurosymbolic AI", ICLR 2025.
"""

import klay
import torch
from pysdd.sdd import SddNode
from torch import Tensor, nn


class KlayCircuit(nn.Module):
    """A circuit over ``inputs`` log-values, evaluated by KLay in log space.

    Negative literals of annotated disjunctions weigh one (log: 0).

    Attributes:
        nodes: nodes in KLay's layers, with those that only pass a value on.
    """

    def __init__(self, diagram: SddNode, inputs: int) -> None:
        super().__init__()
        circuit = klay.Circuit()
        circuit.add_sdd(diagram)
        self.layers = circuit.to_torch_module(semiring="log", compile=False)
        self.nodes = sum(layer.out_shape[0] for layer in self.layers.layers)

    def forward(self, log_values: Tensor) -> Tensor:
        """Log-value of the root, ``(batch,)``, for log-values of the inputs ``(batch, inputs)``."""
        value: Tensor = self.layers(log_values, torch.zeros_like(log_values))[:, 0]
        return value
