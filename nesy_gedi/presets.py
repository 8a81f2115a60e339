"""Experiment presets: TOML files of changed values, merged in a fixed order."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nesy_gedi.errors import unknown
from nesy_gedi.gedi.config import TrainConfig, merge, override
from nesy_gedi.gedi.methods import METHODS
from nesy_gedi.resources import resource

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

VARIANTS = ("combined", "nesy", "gedi")


@dataclass(frozen=True)
class Preset:
    """A recipe of an experiment, before the command line's changes.

    Attributes:
        config: settings for one variant.
        steps: updates that a training takes at least; the number of epochs follows from it.
        published: the paper's figures ``{examples: {measure: value}}`` for the variant.
    """

    config: TrainConfig
    steps: int
    published: Mapping[str, Mapping[str, float]]

    def epochs(self, examples: int, slots: int) -> int:
        """Epochs of ``examples`` of so many images that make at least ``steps`` updates.

        At least ``config.epochs``.
        """
        per_epoch = -(-examples // self.config.examples_per_step(slots))
        return max(self.config.epochs, -(-self.steps // per_epoch))


def load_preset(experiment: str, name: str, variant: str, changes: Mapping[str, Any]) -> Preset:
    """Read ``experiments/<experiment>.toml``.

    Later tables win: the method's row in the table of methods, ``[<name>]``, ``[<name>.variants.<variant>]``,
    then ``changes`` from the command line.

    Raises:
        UserError: unknown preset, variant or key.
    """
    tables = tomllib.loads(resource("experiments", f"{experiment}.toml").read_text(encoding="utf-8"))
    published = tables.pop("published")
    if name not in tables:
        raise unknown("preset", name, tables)
    if variant not in VARIANTS:
        raise unknown("variant", variant, VARIANTS)
    table = dict(tables[name])
    steps = table.pop("steps")
    if "epochs" in changes:  # asked for, so the preset has no say in it
        steps = 0
    variants = table.pop("variants", {})
    base = override(TrainConfig(method=METHODS[variant]), merge(table, variants.get(variant, {})))
    return Preset(override(base, changes), steps, published.get(variant, {}))
