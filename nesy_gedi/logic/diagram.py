"""From a ground program to a sentential decision diagram (SDD; Darwiche, IJCAI 2011), compiled with PySDD.

The general way, for every program: negation, shared choices, evidence. The exactly-one constraint of
every choice is conjoined on the way: for the addition it is the difference between some 30,000 and
620 nodes. Under it a negative literal of a choice with more than two values weighs one.
"""

import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pysdd.sdd import SddManager, SddNode, Vtree

from nesy_gedi.logic.arithmetic import ONE, ZERO, ArithmeticCircuit, Builder, smooth
from nesy_gedi.logic.grounding import Ground

Progress = Callable[[str, int], None]


def diagram_circuit(
    ground: Ground, roots: Sequence[Sequence[int | None]], progress: Progress | None = None
) -> ArithmeticCircuit:
    """The circuit of the conjunction of each root's signed numbers.

    Args:
        ground: the ground program.
        roots: for each root the numbers that must all hold; 0 is true, None false.
        progress: called with a text and the number of live SDD nodes before every gate.
    """
    compiler = _Compiler(ground, progress)
    diagrams = [compiler.root(root) for root in roots]
    builder = Builder([choice.size for choice in ground.choices])
    numbers = _Translation(compiler, builder)
    return smooth(builder.circuit([numbers.of(diagram) for diagram in diagrams]))


class _Compiler:
    """Compiles gate after gate; a choice of two values is one boolean variable, a larger one several."""

    def __init__(self, ground: Ground, progress: Progress | None) -> None:
        self.ground, self.progress = ground, progress
        self.variables: list[list[int]] = []
        self.meaning: dict[int, tuple[int, int]] = {}  # literal -> choice and value; others weigh one
        count = 0
        for number, choice in enumerate(ground.choices):
            own = list(range(count + 1, count + 1 + (1 if choice.size == 2 else choice.size)))
            count = own[-1]
            self.variables.append(own)
            self.meaning.update({variable: (number, value) for value, variable in enumerate(own)})
            if choice.size == 2:
                self.meaning[-own[0]] = (number, 1)
        self.manager = SddManager.from_vtree(vtree(self.variables)) if count else SddManager(1)
        self.exactly_one = [
            self.manager.true() if choice.size == 2 else self._exactly_one(own)
            for choice, own in zip(ground.choices, self.variables, strict=True)
        ]
        self.constraints: dict[int, SddNode] = {0: self.manager.true()}
        self.scopes: dict[int, int] = {0: 0}
        self.diagrams: dict[int, SddNode] = {0: self.manager.true()}
        self._compile()

    def root(self, numbers: Sequence[int | None]) -> SddNode:
        """Conjunction of signed numbers, with the constraint of everything below them."""
        if None in numbers:
            return self.manager.false()
        result = self.manager.true()
        for number in numbers:
            assert number is not None
            result = self.manager.conjoin(result, self._signed(number))
        return result

    def _compile(self) -> None:
        gates = sorted(self.ground.gates.items(), key=lambda item: (item[1][0] != "atom", item[0]))
        for number, (kind, children) in gates:
            if kind == "atom":
                self.scopes[number] = 1 << children[0]
                self.diagrams[number] = self._literal(*children)
                continue
            self._say(number)
            self.scopes[number] = 0
            for child in children:
                self.scopes[number] |= self.scopes[abs(child)]
            if kind == "conj":
                self.diagrams[number] = self.root(children)
            else:
                constraint = self._constraint(self.scopes[number])
                result = self.manager.false()
                for child in children:
                    self._say(number)
                    part = self.manager.conjoin(self._signed(child), constraint)
                    result = self.manager.disjoin(result, part)
                self.diagrams[number] = result

    def _say(self, number: int) -> None:
        if self.progress:
            self.progress(f"gate {number} of {len(self.ground.gates)}", self.manager.live_size())

    def _signed(self, number: int) -> SddNode:
        diagram = self.diagrams[abs(number)]
        if number >= 0:
            return diagram
        return self.manager.conjoin(self.manager.negate(diagram), self._constraint(self.scopes[-number]))

    def _constraint(self, scope: int) -> SddNode:
        if scope not in self.constraints:
            result = self.manager.true()
            for choice, one in reversed(list(enumerate(self.exactly_one))):
                if scope >> choice & 1:
                    result = self.manager.conjoin(result, one)
            self.constraints[scope] = result
        return self.constraints[scope]

    def _literal(self, choice: int, value: int) -> SddNode:
        own = self.variables[choice]
        if len(own) == 1:
            return self.manager.literal(own[0] if value == 0 else -own[0])
        return self.manager.conjoin(self.manager.literal(own[value]), self.exactly_one[choice])

    def _exactly_one(self, variables: Sequence[int]) -> SddNode:
        one, none = self.manager.false(), self.manager.true()
        for variable in variables:
            literal = self.manager.literal(variable)
            other = self.manager.negate(literal)
            one = self.manager.disjoin(self.manager.conjoin(one, other), self.manager.conjoin(none, literal))
            none = self.manager.conjoin(none, other)
        return one


class _Translation:
    """From SDD nodes to sums and products; negative literals of larger choices weigh one and vanish."""

    def __init__(self, compiler: _Compiler, builder: Builder) -> None:
        self.meaning, self.builder = compiler.meaning, builder
        self.done: dict[int, int] = {}

    def of(self, diagram: SddNode) -> int:
        """Number of the node for a diagram."""
        if diagram.is_false():
            return ZERO
        if diagram.is_true():
            return ONE
        if diagram.is_literal():
            meaning = self.meaning.get(int(diagram.literal))
            return ONE if meaning is None else self.builder.value(*meaning)
        if diagram.id not in self.done:
            # an element whose sub is false only completes the partition: its prime may be anything
            elements = [(p, s) for p, s in diagram.elements() if not s.is_false()]
            products = [self.builder.multiply([self.of(p), self.of(s)]) for p, s in elements]
            self.done[diagram.id] = self.builder.add(products)
        return self.done[diagram.id]


def vtree(choices: Sequence[Sequence[int]]) -> Vtree:
    """Choices one after the other, as grounding met them; the variables of each in a balanced tree."""
    lines: list[str] = []

    def leaf(variable: int) -> int:
        lines.append(f"L {len(lines)} {variable}")
        return len(lines) - 1

    def inner(left: int, right: int) -> int:
        lines.append(f"I {len(lines)} {left} {right}")
        return len(lines) - 1

    def balanced(variables: Sequence[int]) -> int:
        if len(variables) == 1:
            return leaf(variables[0])
        half = len(variables) // 2
        return inner(balanced(variables[:half]), balanced(variables[half:]))

    trees = [balanced(variables) for variables in reversed(choices)]
    list(itertools.accumulate(trees, lambda right, left: inner(left, right)))
    # PySDD takes a tree of one's own only from a file
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vtree"
        path.write_text(f"vtree {len(lines)}\n" + "\n".join(lines) + "\n")
        return Vtree.from_file(bytes(path))
