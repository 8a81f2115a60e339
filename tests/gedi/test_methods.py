import math
from dataclasses import replace

import pytest

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.methods import METHODS, Method
from nesy_gedi.gedi.terms import TERMS


def test_table_holds_the_papers_weights():
    """Table 9; its NESY row has the two columns swapped."""
    assert METHODS["jem"].weights == {"gen": 1}
    assert METHODS["gedi"].weights == {"gen": 1, "inv": 50, "prior": 25}
    assert METHODS["nesy"].weights == {"nesy": 25}
    assert METHODS["combined"].weights == {"gen": 1, "prior": 400, "nesy": 25}
    assert [name for name, method in METHODS.items() if method.prior_form == "entropy"] == ["combined"]


def test_ablations_leave_one_term_out() -> None:
    whole = METHODS["gedi"].weights
    for term in whole:
        rest = {other: weight for other, weight in whole.items() if other != term}
        assert METHODS[f"gedi-no-{term}"] == Method(rest)


def test_views_are_those_that_the_terms_compare() -> None:
    views = {name: method.views for name, method in METHODS.items()}
    assert {name for name, count in views.items() if count == 1} == {"jem", "gedi-no-inv", "nesy", "combined"}
    assert set(views.values()) == {1, 2}


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_two_stages_share_no_term(share: float) -> None:
    method = replace(METHODS["gedi-two-stage"], generative_share=share)
    assert method.terms_at(0.0) == method.terms_at(share - 1e-9) == ["gen"]
    assert method.terms_at(share) == ["inv", "prior"]
    assert METHODS["gedi"].terms_at(0.0) == METHODS["gedi"].terms_at(1.0) == ["gen", "inv", "prior"]


def test_frozen_from_the_start_is_refused() -> None:
    with pytest.raises(UserError, match="freeze_encoder without a generative_share"):
        Method({"inv": 1}, freeze_encoder=True)


def test_terms_with_weight_0_are_not_used():
    method = Method({"gen": 0, "inv": 0.0, "prior": 1e-9})
    assert [term for term in TERMS if method.uses(term)] == ["prior"]
    assert not any(Method().uses(term) for term in TERMS)
    for method in METHODS.values():
        assert {term for term in TERMS if method.uses(term)} == set(method.weights)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"nsey": 25}, "unknown term 'nsey': did you mean 'nesy'"),
        ({"priors": 1}, "unknown term 'priors': did you mean 'prior'"),
        ({"gen": 1, "inv": -0.5}, "weight of inv must be 0 or more, not -0.5"),
        ({"gen": math.nan}, "weight of gen must be 0 or more, not nan"),
        ({"gen": math.inf}, "weight of gen must be 0 or more, not inf"),
        ({"gen": "1"}, "weight of gen must be 0 or more, not 1"),
    ],
)
def test_wrong_weights_are_refused(weights, message):
    with pytest.raises(UserError, match=message):
        Method(weights)


def test_unknown_prior_form_is_refused():
    with pytest.raises(UserError, match="unknown prior form 'entrpy': did you mean 'entropy'"):
        Method({"prior": 1}, prior_form="entrpy")
