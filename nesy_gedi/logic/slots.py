"""Which variables of a query stand for images: those whose value reaches a network, also inside terms."""

from collections.abc import Iterable, Iterator, Sequence

from problog.logic import Term, Var

from nesy_gedi.logic.calls import Key, Rule
from nesy_gedi.logic.slot_inference import ImageTypes
from nesy_gedi.logic.slot_types import has_images


def image_arguments(rules: Sequence[Rule], networks: Iterable[tuple[Key, set[int]]]) -> ImageTypes:
    """For each predicate the arguments that are images or hold images; see :class:`ImageTypes`."""
    return ImageTypes(rules, networks)


def image_variables(query: Term, types: ImageTypes) -> tuple[list[Var], list[Var]]:
    """The query's variables that are images, and those that stand for a whole list of them.

    The second kind cannot be grounded: nobody knows how long the list is.
    """
    images, lists = [], []
    found = types.query_types(query)
    for variable in {str(v): v for v in variables(query)}.values():
        root = found[str(variable)].root
        if root.image or (root.perhaps and root.unknown):
            images.append(variable)
        elif not root.symbol and has_images(root):
            lists.append(variable)
    return images, lists


def variables(term: object) -> Iterator[Var]:
    """The variables in a term, from left to right, each as often as it stands there."""
    if isinstance(term, Var):
        yield term
    elif isinstance(term, Term):
        for argument in term.args:
            yield from variables(argument)
