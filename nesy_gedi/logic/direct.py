"""Evaluate a ground program as it stands, where that is proven to be right.

A conjunction may be multiplied if its parts share no choice, a disjunction added if its parts exclude
each other. Sums with carries and chains are of that kind as ProbLog grounds them, and need no
knowledge compilation. Exclusion is proven, never assumed: two parts exclude each other if some choice
has different values in them, or if they contain, at the same place, parts that do.
"""

from collections.abc import Sequence

from nesy_gedi.logic.arithmetic import ONE, ZERO, ArithmeticCircuit, Builder, smooth
from nesy_gedi.logic.grounding import Ground

_MOST_PAIRS = 200_000  # comparisons after which the proof is given up


class _NotProvenError(Exception):
    pass


class _Part:
    """A gate: its literals (choice to bit mask of values), its other parts, and all choices below it."""

    __slots__ = ("alternatives", "literals", "number", "parts", "scope")

    def __init__(
        self,
        literals: dict[int, int],
        parts: tuple["_Part", ...],
        alternatives: tuple["_Part", ...] | None,
        number: int,
    ) -> None:
        self.literals, self.parts, self.alternatives, self.number = literals, parts, alternatives, number
        self.scope = 0
        for choice in literals:
            self.scope |= 1 << choice
        for part in (*parts, *(alternatives or ())):
            self.scope |= part.scope


def direct_circuit(ground: Ground, roots: Sequence[Sequence[int | None]]) -> ArithmeticCircuit | None:
    """The circuit of the conjunction of each root's signed numbers, or None if the proof fails."""
    try:
        prover = _Prover(ground)
        numbers = [prover.conjunction(root).number if None not in root else ZERO for root in roots]
    except (_NotProvenError, RecursionError):
        return None
    return smooth(prover.builder.circuit(numbers))


class _Prover:
    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.builder = Builder([choice.size for choice in ground.choices])
        self.parts: dict[int, _Part] = {}
        self.excluded: dict[tuple[int, int], bool] = {}
        self.left = _MOST_PAIRS
        self.true = _Part({}, (), None, ONE)
        self.false = _Part({}, (), None, ZERO)
        for number in sorted(ground.gates, key=lambda n: (ground.gates[n][0] != "atom", n)):
            kind, children = ground.gates[number]
            if kind == "conj":
                self.parts[number] = self.conjunction(children)
            elif kind == "disj":
                self.parts[number] = self._disjunction(children)

    def _signed(self, number: int) -> _Part:
        if number == 0:
            return self.true
        kind, children = self.ground.gates[abs(number)]
        if kind == "atom":
            choice, value = children
            mask = 1 << value
            if number < 0:
                mask ^= (1 << self.builder.sizes[choice]) - 1
            return self._product({choice: mask}, [])
        part = self.parts[abs(number)]
        if number > 0:
            return part
        if part is self.true or part is self.false:
            return self.false if part is self.true else self.true
        if len(part.literals) == 1 and not part.parts:
            ((choice, mask),) = part.literals.items()
            return self._product({choice: mask ^ ((1 << self.builder.sizes[choice]) - 1)}, [])
        raise _NotProvenError  # the negation of a larger part is not of the same form

    def conjunction(self, children: Sequence[int | None]) -> _Part:
        literals: dict[int, int] = {}
        others: dict[int, _Part] = {}
        for child in children:
            assert child is not None
            part = self._signed(child)
            if part is self.false:
                return self.false
            for choice, mask in part.literals.items():
                literals[choice] = literals.get(choice, mask) & mask
            inner = part.parts if part.alternatives is None else (part,)
            others.update((id(other), other) for other in inner)
        return self._product(literals, list(others.values()))

    def _product(self, literals: dict[int, int], others: list[_Part]) -> _Part:
        if not all(literals.values()):
            return self.false
        scope = 0
        for choice in literals:
            scope |= 1 << choice
        for other in others:
            if scope & other.scope:
                raise _NotProvenError
            scope |= other.scope
        factors = [
            self.builder.any_value(choice, [v for v in range(mask.bit_length()) if mask >> v & 1])
            for choice, mask in literals.items()
        ]
        number = self.builder.multiply([*factors, *(other.number for other in others)])
        return _Part(literals, tuple(others), None, number)

    def _disjunction(self, children: Sequence[int]) -> _Part:
        parts = {id(part): part for part in map(self._signed, children) if part is not self.false}
        alternatives: list[_Part] = []
        for part in parts.values():
            alternatives.extend((part,) if part.alternatives is None else part.alternatives)
        if not alternatives:
            return self.false
        if len(alternatives) == 1:
            return alternatives[0]
        fixed = {choice for part in alternatives for choice in part.literals}
        if len(fixed) == 1 and not any(part.parts for part in alternatives):
            (choice,) = fixed
            union = 0
            for part in alternatives:
                union |= part.literals.get(choice, -1)
            return self._product({choice: union & ((1 << self.builder.sizes[choice]) - 1)}, [])
        if not self._all_excluded(list(enumerate(alternatives))):
            raise _NotProvenError
        number = self.builder.add([part.number for part in parts.values()])
        return _Part({}, (), tuple(alternatives), number)

    def _all_excluded(self, tagged: list[tuple[int, _Part]]) -> bool:
        """Whether any two parts with different tags exclude each other.

        Parts are sorted by the values of a choice that all of them fix, as often as there is one.
        """
        if len({tag for tag, _ in tagged}) <= 1:
            return True
        common = set(tagged[0][1].literals)
        for _, part in tagged:
            common &= part.literals.keys()
        for choice in common:
            masks = {part.literals[choice] for _, part in tagged}
            if len(masks) > 1 and sum(masks).bit_count() == sum(mask.bit_count() for mask in masks):
                split: dict[int, list[tuple[int, _Part]]] = {}
                for tag, part in tagged:
                    split.setdefault(part.literals[choice], []).append((tag, part))
                return all(map(self._all_excluded, split.values()))
        return all(
            self._excluded(part, other)
            for i, (tag, part) in enumerate(tagged)
            for other_tag, other in tagged[:i]
            if tag != other_tag
        )

    def _excluded(self, one: _Part, other: _Part) -> bool:
        if one is other:
            return False
        self.left -= 1
        if self.left < 0:
            raise _NotProvenError
        for choice, mask in one.literals.items():
            if not mask & other.literals.get(choice, -1):
                return True
        if not one.scope & other.scope:
            return False
        key = (id(one), id(other)) if id(one) < id(other) else (id(other), id(one))
        if key not in self.excluded:
            self.excluded[key] = self._deeply_excluded(one, other)
        return self.excluded[key]

    def _deeply_excluded(self, one: _Part, other: _Part) -> bool:
        if one.alternatives is not None or other.alternatives is not None:
            tagged = [(0, part) for part in one.alternatives or (one,)]
            return self._all_excluded(tagged + [(1, part) for part in other.alternatives or (other,)])
        return any(self._excluded(part, other) for part in one.parts) or any(
            self._excluded(one, part) for part in other.parts
        )
