"""Outputs are what the network gives image by image; one that diverged is refused."""

import pytest
import torch

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.outputs import outputs_of
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_outputs_equal_the_network_read_at_once(chunk: int) -> None:
    torch.manual_seed(0)
    config = NetworkConfig(
        width=4, image_height=8, image_width=8, classes=3, projector_hidden=6, projector_norm=True
    )
    network = GEDINetwork(config).train()
    images = torch.randint(0, 256, (9, 1, 8, 8), dtype=torch.uint8)
    outputs = outputs_of(network, images, chunk)
    with torch.no_grad():
        wanted = network.features(images / 255)
        torch.testing.assert_close(outputs.features, wanted)
        torch.testing.assert_close(outputs.projections, network.project(wanted))
        torch.testing.assert_close(outputs.logits, network.logits(images / 255))
    assert outputs.predicted.tolist() == outputs.logits.argmax(1).tolist()
    assert not outputs.features.requires_grad
    some = outputs.at(torch.arange(9) % 2 == 1)
    assert torch.equal(some.features, outputs.features[1::2])
    assert torch.equal(some.projections, outputs.projections[1::2])
    assert torch.equal(some.logits, outputs.logits[1::2])


def test_vectors_are_read_as_they_are() -> None:
    network = GEDINetwork(NetworkConfig("mlp", 5, 2, 1, 1, 2)).eval()
    points = torch.randn(6, 2, 1, 1) * 3
    torch.testing.assert_close(outputs_of(network, points).logits, network.logits(points).detach())


def test_a_network_that_diverged_is_refused() -> None:
    network = GEDINetwork(NetworkConfig("mlp", 5, 2, 1, 1, 2))
    with torch.no_grad():
        network.last_layer.bias.fill_(torch.nan)
    with pytest.raises(UserError, match="no finite numbers"):
        outputs_of(network, torch.randn(6, 2, 1, 1))
