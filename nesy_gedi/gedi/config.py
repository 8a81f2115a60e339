"""The settings of a training run: dataclasses, filled from TOML tables and ``key=value`` overrides."""

import dataclasses
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nesy_gedi.data.augment import AFFINE, Augmentation
from nesy_gedi.errors import UserError, check_ranges, unknown
from nesy_gedi.gedi.methods import METHODS, Method
from nesy_gedi.gedi.networks import NetworkConfig
from nesy_gedi.gedi.optimizers import OPTIMIZERS
from nesy_gedi.gedi.sampler import SamplerConfig
from nesy_gedi.gedi.stability import StabilityConfig
from nesy_gedi.gedi.terms import TERMS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
Values = dict[str, Any]


@dataclass(frozen=True)
class NamingConfig:
    """When clusters are given their names by search; see :mod:`nesy_gedi.gedi.naming`.

    Attributes:
        searches: number of searches, spread evenly over the training; 0 never searches.
        starts: hill climbs of one search.
        until: no search after this share of the training.
        gain: least improvement in the share of satisfied examples that is worth renaming; a quarter of what
            is not satisfied will do too: late in training, two swapped names may cost a percent.
        largest_cluster: no search while one cluster holds more than this share of the images: when
            everything lies in one cluster, "all are zero" satisfies every sum.
        restarts: trainings to begin anew, at most, while too few examples are satisfied at the end (or
            terms are too large: ``restart_above`` of :class:`TrainConfig`).
        restart_below: what is too few, a share of the examples; above 1 nothing is enough.

    Raises:
        UserError: a value is out of its range.
    """

    searches: int = 12
    starts: int = 200
    until: float = 0.8
    gain: float = 0.02
    largest_cluster: float = 0.5
    restarts: int = 3
    restart_below: float = 0.9

    def __post_init__(self) -> None:
        check_ranges(self, dict.fromkeys(("until", "gain", "largest_cluster"), (0.0, 1.0)))
        check_ranges(self, dict.fromkeys(("searches", "restarts", "restart_below"), (0, math.inf)))
        check_ranges(self, {"starts": (1, math.inf)})

    def least_gain(self, satisfied: float) -> float:
        """Least improvement that is worth renaming where a share of the examples is satisfied."""
        return min(self.gain, (1 - satisfied) / 4)

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether a search comes after this epoch, counted from 1."""
        passed = epoch * self.searches // epochs > (epoch - 1) * self.searches // epochs
        return passed and epoch <= self.until * epochs


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a training run beside data, constraint and seed.

    Attributes:
        method: weights of the terms.
        network: shapes and sizes.
        sampler: the chain.
        augmentation: the views.
        naming: when clusters are named.
        stability: what holds the training.
        clusters: number of clusters; 0 for as many as the program's network or the data set has classes.
        epochs: passes over the examples.
        batch_size: images per step, in whole examples: 60 images are 20 examples of three.
        views: augmented views of every image in a step, 1 or 2; two where a term compares two.
        learning_rate: peak learning rate of Adam.
        beta2: decay of Adam's average of squared gradients.
        optimizer: ``muon`` for the matrices between hidden layers with Adam for the rest, or ``adam``.
        muon_learning_rate: peak learning rate of Muon.
        weight_decay: L2 penalty in Adam's gradient.
        schedule: ``cosine`` (linear warm-up over a tenth, then to 0) or ``constant``.
        prior: ``uniform`` over the classes, or ``program``, each class as often as in the readings that
            satisfy the program.
        prior_start: share of its weight that the prior starts with; it rises linearly to all of it.
        prior_fade: the prior's weight falls as (1 - progress) to this power; 0 keeps it.
        constraint_from: the constraint has no weight before this share of the training.
        restart_above: a training without constraint is begun anew, at most ``naming.restarts`` times, while
            one of these terms ends further above its optimum than this, nats; needs no label.

    Raises:
        UserError: a value is out of its range, a name unknown, or swav has no temperature to divide by.
    """

    method: Method = METHODS["combined"]
    network: NetworkConfig = field(default_factory=NetworkConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    augmentation: Augmentation = AFFINE
    naming: NamingConfig = field(default_factory=NamingConfig)
    stability: StabilityConfig = field(default_factory=StabilityConfig)
    clusters: int = 0
    epochs: int = 30
    batch_size: int = 60
    views: int = 2
    learning_rate: float = 1e-3
    beta2: float = 0.99
    optimizer: str = "muon"
    muon_learning_rate: float = 0.05
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    prior: str = "uniform"
    prior_start: float = 1.0
    prior_fade: float = 0.0
    constraint_from: float = 0.0
    restart_above: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_ranges(self, dict.fromkeys(("epochs", "batch_size"), (1, math.inf)))
        check_ranges(self, dict.fromkeys(("constraint_from", "prior_start"), (0.0, 1.0)))
        check_ranges(self, {"beta2": (0.0, 0.9999), "clusters": (0, math.inf)})
        rates = ("learning_rate", "muon_learning_rate", "weight_decay", "prior_fade")
        check_ranges(self, dict.fromkeys(rates, (0.0, math.inf)))
        check_ranges(self, {"views": (1, 2)})
        if self.optimizer not in OPTIMIZERS:
            raise unknown("optimizer", self.optimizer, OPTIMIZERS)
        if self.prior not in ("uniform", "program"):
            raise unknown("prior", self.prior, ("uniform", "program"))
        for term in self.restart_above:
            if term not in TERMS:
                raise unknown("term", term, TERMS)
        if self.method.uses("swav") and not self.network.temperature:
            raise UserError("swav divides by the temperature: set network.temperature above 0, as 0.1")
        if self.schedule not in ("cosine", "constant"):
            raise unknown("schedule", self.schedule, ("cosine", "constant"))

    @property
    def views_taken(self) -> int:
        """Views of every image in a step."""
        return max(self.views, self.method.views)

    def examples_per_step(self, slots: int) -> int:
        """Examples of so many images that a step takes: at least one, else at most ``batch_size`` images."""
        return max(1, self.batch_size // slots)

    def weight_at(self, term: str, progress: float) -> float:
        """Weight of a term after a share ``progress`` of the training."""
        weight = self.method.weights.get(term, 0.0)
        if term == "prior":
            weight *= max(self.prior_start, progress) * (1 - progress) ** self.prior_fade
            weight *= self.network.classes if self.method.prior_reduction == "sum" else 1
        if term == "nesy":
            weight *= progress >= self.constraint_from
        return weight


def merge(base: Mapping[str, Any], *overrides: Mapping[str, Any]) -> Values:
    """Nested tables, later ones winning key by key."""
    merged = dict(base)
    for table in overrides:
        for key, value in table.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both else value
    return merged


def parse_assignments(assignments: Iterable[str]) -> Values:
    """``["sampler.steps=5", "schedule=constant"]`` to nested tables; values are TOML, bare words strings.

    Raises:
        UserError: an entry is not ``key=value``.
    """
    tables: Values = {}
    for text in assignments:
        key, separator, value = (part.strip() for part in text.partition("="))
        if not (separator and key and value):
            raise UserError(f"--set {text!r}: write it as key=value, for example --set sampler.steps=5")
        try:
            table = tomllib.loads(f"{key} = {value}")
        except tomllib.TOMLDecodeError:
            try:
                table = tomllib.loads(f"{key} = '{value}'")
            except tomllib.TOMLDecodeError as error:
                raise UserError(f"--set {text!r}: cannot be read ({error}); write it as key=value") from None
        tables = merge(tables, table)
    return tables


def override(base: T, values: Mapping[str, Any], where: str = "") -> T:
    """A settings dataclass with the values of nested tables in place of its own.

    Raises:
        UserError: a key does not exist (with the nearest one) or a value has another type than the present.
    """
    changes: Values = {}
    for key, value in values.items():
        names = [f.name for f in dataclasses.fields(base)]  # type: ignore[arg-type]
        if key not in names:
            raise unknown("key", where + key, [where + name for name in names])
        present = getattr(base, key)
        if dataclasses.is_dataclass(present) and isinstance(value, Mapping):
            changes[key] = override(present, value, f"{where}{key}.")
        elif isinstance(present, dict) and isinstance(value, Mapping):
            changes[key] = {**present, **value}
        else:
            changes[key] = _checked(where + key, value, present)
    return dataclasses.replace(base, **changes)  # type: ignore[type-var]


def _checked(key: str, value: Any, present: Any) -> Any:
    if dataclasses.is_dataclass(present) or isinstance(present, dict):
        raise UserError(f"{key} is a table, not {value!r}: set one of its keys, as in {key}.KEY=VALUE")
    if hasattr(value, "item"):  # a number of NumPy's, from a search over settings
        value = value.item()
    if isinstance(present, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(present):
        kinds = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
        kind = kinds.get(type(present), "a list")
        raise UserError(f"{key} must be {kind} such as {present!r}, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key} must be a finite number, not {value!r}")
    return value
