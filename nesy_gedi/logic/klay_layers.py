"""KLay's evaluation of an arithmetic circuit, behind the same interface as our layers.

Maene, Derkinderen and De Raedt, "KLay: Accelerating Arithmetic Circuits for Neurosymbolic AI", ICLR 2025.
"""

import klay
import torch
from torch import Tensor, nn

from nesy_gedi.logic.arithmetic import ArithmeticCircuit


class KlayCircuit(nn.Module):
    """A circuit evaluated by KLay in log space.

    Args:
        circuit: decomposable and deterministic.

    Attributes:
        nodes: nodes in KLay's layers, with those that only pass a value on.
    """

    def __init__(self, circuit: ArithmeticCircuit) -> None:
        super().__init__()
        theirs = klay.Circuit()
        numbers = [theirs.false_node(), theirs.true_node()]
        numbers += [theirs.literal_node(i + 1) for i in range(circuit.inputs)]
        for node in circuit.nodes:
            make = theirs.or_node if node.is_sum else theirs.and_node
            numbers.append(make([numbers[child] for child in node.children]))
        for root in circuit.roots:
            theirs.set_root(numbers[root])
        self.layers = theirs.to_torch_module(semiring="log", compile=False)
        self.nodes = sum(layer.out_shape[0] for layer in self.layers.layers)

    def forward(self, log_values: Tensor) -> Tensor:
        """Log-values of the roots, ``(batch, roots)``, for log-weights of the inputs ``(batch, inputs)``."""
        # negative literals, which no circuit of ours has, weigh one
        values: Tensor = self.layers(log_values, torch.zeros_like(log_values))
        return values
