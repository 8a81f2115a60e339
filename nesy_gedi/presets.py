"""Recipes: TOML files of changed values, merged in a fixed order."""

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


@dataclass(frozen=True)
class Preset:
    """A recipe, before the command line's changes.

    Attributes:
        config: settings for one method and data set.
        steps: updates that a training takes at least; the number of epochs follows from it.
        published: the paper's figures ``{examples: {measure: value}}`` for the method, where the recipe's
            file gives some.
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


def load_preset(
    recipe: str, name: str, method: str, changes: Mapping[str, Any], dataset: str | None = None
) -> Preset:
    """Read ``experiments/<recipe>.toml``.

    Later tables win: the method's row in the table of methods, ``[<name>]``, ``[<name>.variants.<method>]``,
    ``[<name>.datasets.<dataset>]``, ``[<name>.datasets.<dataset>.variants.<method>]``, then ``changes`` from
    the command line.

    Args:
        recipe: name of the file.
        name: of the preset.
        method: a row of the table of methods.
        changes: nested tables.
        dataset: name of the data set, for recipes that have tables for some.

    Raises:
        UserError: unknown preset, method or key.
    """
    tables = tomllib.loads(resource("experiments", f"{recipe}.toml").read_text(encoding="utf-8"))
    published = tables.pop("published", {})
    if name not in tables:
        raise unknown("preset", name, tables)
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    table = dict(tables[name])
    own = table.pop("datasets", {}).get(dataset, {})
    merged = table.pop("variants", {}).get(method, {})
    for extra in (own, own.get("variants", {}).get(method, {})):
        merged = merge(merged, {key: value for key, value in extra.items() if key != "variants"})
    merged = merge(table, merged)
    steps = merged.pop("steps")
    if "epochs" in changes:  # asked for, so the preset has no say in it
        steps = 0
    base = override(TrainConfig(method=METHODS[method]), merged)
    return Preset(override(base, changes), steps, published.get(method, {}))
