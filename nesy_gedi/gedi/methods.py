"""The table of methods: a method is a row of weights over the terms of the objective."""

import math
from dataclasses import dataclass, field

from nesy_gedi.errors import UserError, unknown
from nesy_gedi.gedi.objectives import PRIORS

TERMS = ("gen", "inv", "prior", "nesy")


@dataclass(frozen=True)
class Method:
    """Weights of the terms, and what they need from the data.

    Attributes:
        weights: term name to weight; terms that are absent or 0 are not computed.
        prior_form: ``cross-entropy`` (GEDI) or ``entropy`` (the paper's combined run).
    """

    weights: dict[str, float] = field(default_factory=dict)
    prior_form: str = "cross-entropy"

    def __post_init__(self) -> None:
        for term, weight in self.weights.items():
            if term not in TERMS:
                raise unknown("term", term, TERMS)
            if type(weight) not in (int, float) or not 0 <= weight < math.inf:
                raise UserError(f"the weight of {term} must be 0 or more, not {weight}")
        if self.prior_form not in PRIORS:
            raise unknown("prior form", self.prior_form, PRIORS)

    def uses(self, term: str) -> bool:
        """Whether a term has a weight: ``gen`` needs samples, ``inv`` two views, ``nesy`` a constraint."""
        return self.weights.get(term, 0.0) > 0


METHODS = {
    "jem": Method({"gen": 1}),
    "gedi": Method({"gen": 1, "inv": 50, "prior": 25}),
    "nesy": Method({"nesy": 25}),
    "combined": Method({"gen": 1, "prior": 400, "nesy": 25}, prior_form="entropy"),
}
