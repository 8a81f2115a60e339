"""Facts, disjunctions and recursions that the rules of random programs may call (test support)."""

from random_rules import VALUES, Predicate, Scope, Writer


def facts(writer: Writer) -> None:
    """Probabilistic and plain facts."""
    for value in writer.some(VALUES["number"], 1, 3):
        writer.lines.append(
            "r(" + value + ")." if writer.chance(25) else f"{writer.probability()} :: r({value})."
        )
    writer.predicates.append(Predicate("r", ("number",)))


def disjunction(writer: Writer) -> None:
    """An annotated disjunction with constant probabilities."""
    kind = writer.pick(("number", "term"))
    values = writer.some(VALUES[kind], 2, 3)
    heads = [f"{p} :: s({v})" for p, v in zip(writer.weights(len(values)), values, strict=True)]
    writer.lines.append("; ".join(heads) + ".")
    writer.predicates.append(Predicate("s", (kind,)))


def conditional(writer: Writer) -> None:
    """An annotated disjunction for each binding of its body."""
    one, two = writer.weights(2)
    heads = f"{one} :: m(N, a); {two} :: m(N, f(a))"
    numbers = [p for p in writer.neural if p.types == ("image", "number")]
    if numbers and writer.images and writer.chance(50):
        writer.lines.append(f"{heads} :- {numbers[0].functor}({writer.images[0]}, N).")
    else:
        writer.lines += ["g(0).", "g(1).", f"{heads} :- g(N)."]
    writer.predicates.append(Predicate("m", ("number", "term")))


def noisy(writer: Writer) -> None:
    """A neural predicate that is believed with some probability."""
    scope = Scope(["I"])
    writer.lines.append(f"{writer.probability()} :: ok(I) :- {writer.reading('I', scope)}.")
    writer.predicates.append(Predicate("ok", ("image",)))


def coin(writer: Writer) -> None:
    """A probabilistic fact with a variable: a coin for every number, and a recursion that throws some."""
    writer.lines.append(f"{writer.probability()} :: coin(N).")
    if writer.chance(50):
        step = "N > 0, M is N - 1, heads(M, R)"
        writer.lines += ["heads(0, 0).", f"heads(N, S) :- {step}, coin(N), S is R + 1.",
                         f"heads(N, R) :- {step}, \\+ coin(N)."]  # fmt: skip
        writer.predicates.append(Predicate("heads", ("number", "number"), (0,)))
    writer.predicates.append(Predicate("coin", ("number",), (0,)))


def graph(writer: Writer) -> None:
    """Paths over sure, probabilistic and neural edges, with cycles.

    Not ``path, path``: even for four edges ProbLog then takes minutes to break the cycles.
    """
    nodes = VALUES["node"]
    edges = [(u, v) for u in nodes for v in nodes if u != v]
    for u, v in writer.some(edges, 2, 4):
        kind = writer.pick(("probable", "neural", "sure"))
        if kind == "probable":
            writer.lines += [
                f"{writer.probability()} :: link({u}, {v}).",
                f"edge({u}, {v}, _) :- link({u}, {v}).",
            ]
        else:
            condition = f" :- {writer.reading('I')}" if kind == "neural" else ""
            writer.lines.append(f"edge({u}, {v}, {'I' if condition else '_'}){condition}.")
    writer.lines.append("path(U, V, I) :- edge(U, V, I).")
    writer.lines.append(
        writer.pick(
            (
                "path(U, W, I) :- edge(U, V, I), path(V, W, I).",
                "path(U, W, I) :- path(U, V, I), edge(V, W, I).",
            )
        )
    )
    writer.predicates.append(Predicate("path", ("node", "node", "image")))


def mutual(writer: Writer) -> None:
    """Two predicates that follow from each other: a positive cycle."""
    writer.lines += ["u(I) :- v(I).", "v(I) :- u(I).", f"u(I) :- {writer.reading('I')}."]
    writer.lines.append(f"{writer.probability()} :: v(I) :- {writer.reading('I')}.")
    writer.predicates += [Predicate("u", ("image",)), Predicate("v", ("image",))]


def lists(writer: Writer) -> None:
    """Recursion over a list of images with arithmetic: a sum, or how many are read in one way."""
    numbers = [p for p in writer.neural if p.types == ("image", "number")]
    if numbers and writer.chance(60):
        rule = f"total([I|L], N) :- {numbers[0].functor}(I, A), total(L, R), N is A + R."
        writer.lines += ["total([], 0).", rule]
    else:
        reading = writer.reading("I")
        writer.lines += ["total([], 0).", f"total([I|L], N) :- {reading}, total(L, R), N is R + 1.",
                         f"total([I|L], R) :- \\+ {reading}, total(L, R)."]  # fmt: skip
    writer.predicates.append(Predicate("total", ("images", "number")))


INGREDIENTS = (facts, disjunction, conditional, noisy, coin, graph, mutual, lists)
