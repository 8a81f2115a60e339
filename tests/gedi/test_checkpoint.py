import json
import os
from dataclasses import asdict

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.checkpoint import WEIGHTS, load_network, load_run, save_network
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig

CONFIGS = {
    "mlp": NetworkConfig("mlp", 7, 2, 5, 6, 4, encoder_output=3, temperature=0.0, initialisation="torch"),
    "resnet": NetworkConfig("resnet", 8, 3, 9, 7, 5, projector_hidden=6, temperature=0.2),
    "prototypes": NetworkConfig(
        "resnet", 8, 3, 9, 7, 5, projector_hidden=6, projector_norm=True, projection=4
    ),
}


def network_of(name):
    torch.manual_seed(0)
    network = GEDINetwork(CONFIGS[name], "fp32-fused").train()
    with torch.no_grad():  # nothing as it was initialised
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize("name", list(CONFIGS))
def test_loaded_network_gives_the_same_bits(tmp_path, name):
    network = network_of(name)
    save_network(network, tmp_path / WEIGHTS, {})
    assert network.training
    config = CONFIGS[name]
    network.eval()  # as loaded ones are: batch normalisation behaves in two ways
    images = torch.rand(6, config.channels, config.image_height, config.image_width)
    for place in (tmp_path, str(tmp_path), tmp_path / WEIGHTS):
        loaded = load_network(place)
        assert loaded.config == config
        assert loaded.precision == "fp32-fused"
        assert not loaded.training
        assert torch.equal(loaded(images), network(images))
    assert os.listdir(tmp_path) == [WEIGHTS]


def test_saving_again_replaces_the_file(tmp_path):
    path = tmp_path / WEIGHTS
    save_network(network_of("resnet"), path, {"seed": 1})
    network = network_of("mlp")
    save_network(network, path, {"seed": 2})
    images = torch.rand(2, 2, 5, 6)
    assert torch.equal(load_network(path)(images), network(images))
    assert os.listdir(tmp_path) == [WEIGHTS]


def test_configuration_travels_in_the_file(tmp_path):
    run = {
        "command": ["nesy-gedi", "addition"],
        "config": {"learning_rate": 1e-3},
        "program": "digit(X, 1).\n",
    }
    save_network(network_of("resnet"), tmp_path / WEIGHTS, run)
    with safe_open(tmp_path / WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["run"]) == run
    assert json.loads(metadata["network"]) == asdict(CONFIGS["resnet"])


def test_run_is_loaded_with_its_network(tmp_path):
    network = network_of("mlp")
    description = {"query": "sum(A,B,S)", "probabilities": {"noisy": 0.25}, "of": "Größe", "labels": None}
    save_network(network, tmp_path / WEIGHTS, description)
    images = torch.rand(3, 2, 5, 6)
    for place in (tmp_path, str(tmp_path), tmp_path / WEIGHTS):
        loaded, told = load_run(place)
        assert told == description
        assert not loaded.training
        assert torch.equal(loaded(images), network(images))


def test_weights_without_a_description_tell_nothing(tmp_path):
    path = tmp_path / WEIGHTS
    network = network_of("mlp")
    save_file(network.state_dict(), path, metadata={"network": json.dumps(asdict(network.config))})
    images = torch.rand(3, 2, 5, 6)
    loaded, told = load_run(path)
    assert told == {}
    assert torch.equal(loaded(images), network(images))


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", '"run"'])
def test_damaged_description_is_refused(tmp_path, text):
    path = tmp_path / WEIGHTS
    network = network_of("mlp")
    metadata = {"network": json.dumps(asdict(network.config)), "run": text}
    save_file(network.state_dict(), path, metadata=metadata)
    with pytest.raises(UserError, match=rf"{WEIGHTS} does not say how it was trained: its metadata is dam"):
        load_run(path)


def test_missing_weights_are_refused(tmp_path):
    for load in (load_network, load_run):
        with pytest.raises(UserError, match=r"no weights at .*none.*; give the folder of a finished run"):
            load(tmp_path / "none")
        with pytest.raises(UserError, match=rf"no weights at .*{WEIGHTS}"):
            load(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 400, -1])
def test_truncated_weights_are_refused(tmp_path, keep):
    path = tmp_path / WEIGHTS
    save_network(network_of("mlp"), path, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=rf"{WEIGHTS} cannot be read as safetensors .*; train the run again"):
        load_network(tmp_path)


def test_foreign_weights_are_refused(tmp_path):
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.zeros(3)}, tmp_path / WEIGHTS, metadata=metadata)
        with pytest.raises(UserError, match="was not written by nesy-gedi"):
            load_network(tmp_path)
    shapes = json.dumps({**asdict(CONFIGS["mlp"]), "width": 8})
    save_file(network_of("mlp").state_dict(), tmp_path / WEIGHTS, metadata={"network": shapes})
    with pytest.raises(UserError, match=rf"{WEIGHTS} holds no network of this version .*train the run again"):
        load_network(tmp_path)
    text = tmp_path / "notes.txt"
    text.write_text("not weights at all")
    with pytest.raises(UserError, match=r"notes.txt cannot be read as safetensors"):
        load_network(text)
