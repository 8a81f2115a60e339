"""A trained network in one safetensors file, with all that is needed to build it again in its metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.config import override
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.run_files import WEIGHTS

_PRECISION = "fp32-fused"  # of what is loaded: on any machine the same, and twice as fast as fp32


def save_network(network: GEDINetwork, path: Path, extra: Mapping[str, Any]) -> None:
    """Write weights, the network's configuration, and ``extra`` (JSON-able) as the file's metadata."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    metadata = {"network": json.dumps(asdict(network.config)), "run": json.dumps(extra)}
    partial = path.with_suffix(".partial")
    partial.write_bytes(save(tensors, metadata=metadata))
    partial.replace(path)


def load_network(run: str | Path) -> GEDINetwork:
    """A trained network, in evaluation mode and fp32-fused, from a run folder or its weights file.

    Raises:
        UserError: there is no such file, or it is not one of ours.
    """
    return load_run(run)[0]


def load_run(run: str | Path) -> tuple[GEDINetwork, dict[str, Any]]:
    """A trained network, and what was written beside it by :func:`save_network`.

    Raises:
        UserError: there is no such file, it is not one of ours, or what was written beside it is damaged.
    """
    path = Path(run)
    if path.is_dir():
        path = path / WEIGHTS
    if not path.is_file():
        raise UserError(f"no weights at {path}; give the folder of a finished run, such as runs/addition")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as safetensors ({error}); train the run again") from error
    if "network" not in metadata:
        raise UserError(f"{path} was not written by nesy-gedi: its metadata has no network configuration")
    try:
        network = GEDINetwork(override(NetworkConfig(), json.loads(metadata["network"])), _PRECISION)
        network.load_state_dict(tensors)
    except (ValueError, AttributeError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} holds no network of this version ({reason}); train the run again") from error
    return network.eval(), _description(path, metadata.get("run", "{}"))


def _description(path: Path, text: str) -> dict[str, Any]:
    try:
        description = json.loads(text)
    except ValueError:
        description = None
    if not isinstance(description, dict):
        raise UserError(
            f"{path} does not say how it was trained: its metadata is damaged; train the run again"
        )
    return description
