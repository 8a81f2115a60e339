import math

import pytest

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.methods import METHODS, TERMS, Method


def test_table_holds_the_papers_weights():
    """Table 9; its NESY row has the two columns swapped."""
    assert METHODS["jem"].weights == {"gen": 1}
    assert METHODS["gedi"].weights == {"gen": 1, "inv": 50, "prior": 25}
    assert METHODS["nesy"].weights == {"nesy": 25}
    assert METHODS["combined"].weights == {"gen": 1, "prior": 400, "nesy": 25}
    assert {name: method.prior_form for name, method in METHODS.items()} == {
        "jem": "cross-entropy",
        "gedi": "cross-entropy",
        "nesy": "cross-entropy",
        "combined": "entropy",
    }


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
