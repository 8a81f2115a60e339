"""The table of methods: a method is a row of weights over the terms of the objective."""

import math
from dataclasses import dataclass, field

from nesy_gedi.errors import UserError, check_ranges, unknown
from nesy_gedi.gedi.objectives import PRIORS
from nesy_gedi.gedi.terms import TERMS


@dataclass(frozen=True)
class Method:
    """Weights of the terms, and the few things that only one of them asks.

    Attributes:
        weights: term name to weight; terms that are absent or 0 are not computed.
        prior_form: ``cross-entropy`` (GEDI) or ``entropy`` (the paper's combined run).
        prior_reduction: ``mean`` weights the prior as it is logged, a mean over clusters; ``sum`` weights
            c times that.
        generative_share: share of the training at its start in which only ``gen`` counts; after it, all
            but ``gen``. 0 trains with all terms at once.
        freeze_encoder: after the generative share, train the projector only.
        epsilon: SwAV's ε.

    Raises:
        UserError: a term or form is unknown, a value out of its range, all weights are 0, or a generative
            share has not both ``gen`` and another term.
    """

    weights: dict[str, float] = field(default_factory=dict)
    prior_form: str = "cross-entropy"
    prior_reduction: str = "mean"
    generative_share: float = 0.0
    freeze_encoder: bool = False
    epsilon: float = 0.05

    def __post_init__(self) -> None:
        for term, weight in self.weights.items():
            if term not in TERMS:
                raise unknown("term", term, TERMS)
            if type(weight) not in (int, float) or not 0 <= weight < math.inf:
                raise UserError(f"the weight of {term} must be 0 or more, not {weight}")
        if self.prior_form not in PRIORS:
            raise unknown("prior form", self.prior_form, PRIORS)
        if self.prior_reduction not in ("mean", "sum"):
            raise unknown("prior reduction", self.prior_reduction, ("mean", "sum"))
        check_ranges(self, {"generative_share": (0.0, 1.0), "epsilon": (1e-4, math.inf)})
        used = [term for term in self.weights if self.uses(term)]
        if self.weights and not used:
            raise UserError("all weights of the method are 0: give one of its terms a weight above 0")
        if self.generative_share and not ("gen" in used and len(used) > 1):
            raise UserError(
                f"a generative_share trains gen first and the other terms after it, but the method has "
                f"{', '.join(used)} only: give gen and another term a weight, or set it to 0"
            )
        if self.freeze_encoder and not self.generative_share:
            raise UserError("freeze_encoder without a generative_share would train no encoder: set both")

    def uses(self, term: str) -> bool:
        """Whether a term has a weight: ``gen`` needs samples, ``inv`` two views, ``nesy`` a constraint."""
        return self.weights.get(term, 0.0) > 0

    @property
    def views(self) -> int:
        """Augmented views of every image that the terms need, at least."""
        return max((TERMS[term].views for term in self.weights if self.uses(term)), default=1)

    def terms_at(self, progress: float) -> list[str]:
        """The terms to compute after a share ``progress`` of the training."""
        used = [term for term in TERMS if self.uses(term)]
        if not self.generative_share:
            return used
        generative = progress < self.generative_share
        return [term for term in used if (term == "gen") == generative]


METHODS = {
    "jem": Method({"gen": 1}),
    "gedi": Method({"gen": 1, "inv": 50, "prior": 25}),
    "gedi-no-gen": Method({"inv": 50, "prior": 25}),
    "gedi-no-inv": Method({"gen": 1, "prior": 25}),
    "gedi-no-prior": Method({"gen": 1, "inv": 50}),
    "gedi-two-stage": Method({"gen": 1, "inv": 50, "prior": 25}, generative_share=0.5),
    "swav": Method({"swav": 1}),
    "barlow": Method({"barlow": 1}),
    "nesy": Method({"nesy": 25}),
    "combined": Method({"gen": 1, "prior": 400, "nesy": 25}, prior_form="entropy"),
}
"""Table 9 of the paper; ``gedi-two-stage`` is Sansone & Manhaeve (2022)."""
