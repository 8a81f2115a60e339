"""The paper's figures that belong to a run."""

from collections.abc import Mapping
from typing import Any

from nesy_gedi.presets import load_preset
from nesy_gedi.reproducing import specification
from nesy_gedi.resources import resource


def published(description: Mapping[str, Any]) -> tuple[str, Mapping[str, float]]:
    """The paper's figures for the same program, or data set, and method.

    Args:
        description: of the run, as ``config.json`` has it.

    Returns:
        Where they come from, and the figures by measure; none as a rule.
    """
    request, method = description["request"], str(description["request"].get("variant"))
    if description["program"] is None:
        _, tables = specification()
        return "paper", tables.get(description["data"]["name"], {}).get(method, {})
    if description["program"] != resource("programs", "addition.pl").read_text(encoding="utf-8"):
        return "paper", {}
    preset = load_preset("addition", request["preset"], method, {})
    return "paper, Table 6", preset.published.get(str(request["examples"]), {})
