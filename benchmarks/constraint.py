"""What constraints cost: ours beside KLay, DeepProbLog and a gather written by hand.

    python -m benchmarks.constraint [--quick]

Stub networks (a table of log-probabilities), batches of 64, forward and backward. All is measured in one
process, in turn, so that the ratios hold on any machine; medians in milliseconds. benchmarks/README.md keeps
the table.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import click
import torch
from problog.logic import Constant, Term
from torch import Tensor

from nesy_gedi.auditing import audit_program
from nesy_gedi.data.mnist import load_mnist, resolve_data_dir
from nesy_gedi.gedi.precision import choose_precision
from nesy_gedi.gedi.trainer import Trainer, TrainingData
from nesy_gedi.learning import Learner
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.examples import certain
from nesy_gedi.logic.klay_layers import KlayCircuit
from nesy_gedi.logic.layers import LayeredCircuit
from nesy_gedi.logic.program import read_program
from nesy_gedi.presets import load_preset
from nesy_gedi.resources import resource

BATCH = 64
DIGITS = (1, 2, 4, 8, 15)


def median_ms(functions: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median time of each function, ms; the functions take turns, after three rounds of warming up."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for run in range(runs + 3):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if run >= 3:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) * 1e3 for name, values in times.items()}


def program(name: str, query: str | None = None, evaluator: type = LayeredCircuit) -> ConstraintCircuit:
    """A shipped program, compiled in this process and not kept."""
    return ConstraintCircuit(read_program(resource("programs", name), query), evaluator, limits=None)


def step(circuit: Callable[..., Tensor], *shape: int, **others: Tensor) -> Callable[[], object]:
    """Forward and backward of a mean log-probability, from log-probabilities of a table."""
    table = torch.randn(*shape).log_softmax(-1)

    def run() -> None:
        log_probs = table.detach().requires_grad_()
        circuit(log_probs, **others).mean().backward()

    return run


def gather(worlds: Tensor) -> Callable[[Tensor], Tensor]:
    """The addition as somebody would write it by hand: gather the satisfying worlds, sum, logsumexp."""

    def log_probability(log_probs: Tensor) -> Tensor:
        parts = [log_probs[:, slot, worlds[:, slot]] for slot in range(worlds.shape[1])]
        return torch.stack(parts).sum(0).logsumexp(1)

    return log_probability


def deepproblog() -> Callable[[], object]:
    """DeepProbLog's exact engine, with its cache of circuits on and filled."""
    from deepproblog.engines import ExactEngine
    from deepproblog.model import Model
    from deepproblog.network import Network
    from deepproblog.query import Query

    table = torch.randn(BATCH * 3, 10).log_softmax(-1)

    class _Table(torch.nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            return rows.exp()

    class _Source:
        def __getitem__(self, key: tuple[Constant]) -> Tensor:
            return table[int(key[0])]

    network = Network(_Table(), "mnist_net", batching=True)
    model = Model(str(resource("programs", "addition.pl")), [network])
    model.set_engine(ExactEngine(model), cache=True)
    model.add_tensor_source("images", _Source())
    names = [Term(letter) for letter in "abc"]

    def query(row: int) -> Query:
        images = [Term("tensor", Term("images", Constant(3 * row + k))) for k in range(3)]
        return Query(Term("addition", *names), dict(zip(names, images, strict=True)))

    def run() -> None:
        nonlocal table
        table = table.detach().requires_grad_()
        results = model.solve([query(row) for row in range(BATCH)])
        torch.stack([next(iter(r.result.values())) for r in results]).log().mean().backward()

    return run


def addition(runs: int, quick: bool) -> None:
    """Addition: ours, KLay's, the gather, DeepProbLog's."""
    ours = program("addition.pl")
    worlds = torch.tensor([(a, b, a + b) for a in range(10) for b in range(10 - a)])
    times = median_ms(
        {
            "ours": step(ours, BATCH, 3, 10),
            "gather by hand": step(gather(worlds), BATCH, 3, 10),
            "KLay": step(program("addition.pl", evaluator=KlayCircuit), BATCH, 3, 10),
        },
        runs,
    )
    if not quick:
        slow = deepproblog()
        slow()  # fills its cache
        started = time.perf_counter()
        slow()
        times["DeepProbLog, cached"] = (time.perf_counter() - started) * 1e3
    print("| addition, 64 triples | ms | relative to ours |\n|---|---|---|")
    for name, value in times.items():
        print(f"| {name} | {value:.3f} | {value / times['ours']:,.2f} |")


def digits(runs: int) -> None:
    """Sums of numbers with N digits, a label of its own in every row."""
    print("\n| digits of each number | compile s | ms a batch | ms a digit | nodes |\n|---|---|---|---|---|")
    for n in DIGITS:
        query = ", ".join(
            f"[{','.join(f'{letter}{k}' for k in range(n + (letter == 'S')))}]" for letter in "ABS"
        )
        started = time.perf_counter()
        circuit = program("multi_addition.pl", f"addition({query})")
        seconds = time.perf_counter() - started
        numbers = torch.randint(10, (BATCH, 2, n))
        total = sum_digits(numbers)
        known = certain(total, 10)

        def evaluate(
            log_probs: Tensor, circuit: ConstraintCircuit = circuit, known: Tensor = known
        ) -> Tensor:
            result: Tensor = circuit({"mnist_net": log_probs, "observed": known})
            return result

        (ms,) = median_ms({"ours": step(evaluate, BATCH, 2 * n, 10)}, max(5, runs // 3)).values()
        print(f"| {n} | {seconds:.2f} | {ms:.2f} | {ms / n:.2f} | {circuit.nodes} |")


def sum_digits(numbers: Tensor) -> Tensor:
    """Digits of the sums of ``(batch, 2, n)`` digits, the most significant first: ``(batch, n + 1)``."""
    rows = []
    for first, second in numbers.tolist():
        total = int("".join(map(str, first))) + int("".join(map(str, second)))
        rows.append([int(digit) for digit in str(total).zfill(numbers.shape[2] + 1)])
    return torch.tensor(rows)


def others(runs: int) -> None:
    """Sudoku, and the audit of the addition."""
    sudoku = program("sudoku.pl")
    times = median_ms({"sudoku": step(sudoku, BATCH, 16, 4)}, runs)
    circuit = program("addition.pl")
    started = time.perf_counter()
    list(audit_program(circuit, None, 10))
    seconds = time.perf_counter() - started
    print(f"\n4x4 sudoku, 16 images, {BATCH} grids: {times['sudoku']:.2f} ms")
    print(f"audit of the addition: {seconds:.2f} s")


def training_share(runs: int) -> None:
    """What a whole training step of the addition spends on its constraint."""
    config = load_preset("addition", "cpu", "combined", {}).config
    images = load_mnist(*resolve_data_dir(None))
    learner = Learner(read_program(resource("programs", "addition.pl")), images, config, limits=None)
    examples = learner.examples(1000, seed=0)
    constraint = learner.constraint(examples)
    data = TrainingData(images.train_images, examples.images, constraint)
    settings = replace(config, constraint_from=0.0)
    trainer = Trainer(settings, data, 0, precision=choose_precision("auto", "cpu"))
    rows = torch.arange(trainer.batch)
    views = rows.repeat(config.views)
    times = median_ms(
        {
            "step": lambda: trainer._train_step(rows),
            "constraint": step(lambda log_probs: constraint(log_probs, views), len(views), 3, 10),
        },
        max(5, runs // 4),
    )
    share = times["constraint"] / times["step"]
    print(
        f"training step, width {config.network.width}, {len(views)} triples: {times['step']:.1f} ms, ", end=""
    )
    print(f"of which the constraint {times['constraint']:.2f} ms, {share:.1%}")


@click.command()
@click.option("--runs", type=int, default=200, show_default=True)
@click.option("--quick", is_flag=True, help="Without DeepProbLog, which takes half a minute.")
def main(runs: int, quick: bool) -> None:
    """Print the tables."""
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, batch {BATCH}, forward and backward\n")
    addition(runs, quick)
    digits(runs)
    others(runs)
    training_share(runs)


if __name__ == "__main__":
    main()
