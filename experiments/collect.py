"""Keep what was measured: from runs to experiments/results and a table in Markdown.

    python experiments/collect.py runs/table addition
    python experiments/collect.py runs/programs programs

copies configuration and result of every run into experiments/results/<table>/<row>.json and prints the
table.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from nesy_gedi.presets import load_preset

RESULTS = Path(__file__).parent / "results"
MEASURES = ("accuracy", "matched_accuracy", "nmi", "satisfied")


def row(name: str, config: dict[str, Any], result: dict[str, Any], paper: bool) -> str:
    """One line of the table: median ± standard deviation over the seeds."""
    request, seeds = config["request"], result["seeds"]
    cells = [name]
    for measure in MEASURES:
        values = [seed[measure] for seed in seeds]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        cells.append(f"{statistics.median(values):.3f}{spread}")
    cells += [f"{result['seconds']:.0f}", str(config["environment"]["threads"]), str(len(seeds))]
    cells.append(str(sum(seed["restarts"] for seed in seeds)))
    if paper:
        published = load_preset("addition", "cpu", request["variant"], {}).published
        figures = published.get(str(request["examples"]), {})
        cells.append(" / ".join(f"{figures[k]:.2f}" if k in figures else "–" for k in ("accuracy", "nmi")))
    return "| " + " | ".join(cells) + " |"


def main(runs: Path, table: str) -> None:
    """Copy and print every finished run in the folder."""
    folder = RESULTS / table
    folder.mkdir(parents=True, exist_ok=True)
    paper = table == "addition"
    heading = [
        "row",
        "accuracy",
        "matched",
        "NMI",
        "examples satisfied",
        "s a seed",
        "threads",
        "seeds",
        "restarts",
    ]
    heading += ["paper: accuracy / NMI"] * paper
    print("| " + " | ".join(heading) + " |\n" + "|---" * len(heading) + "|")
    for path in sorted(runs.glob("*/result.json"), key=lambda path: path.stat().st_mtime):
        result = json.loads(path.read_text(encoding="utf-8"))
        config = json.loads(path.with_name("config.json").read_text(encoding="utf-8"))
        name = path.parent.name
        kept = {"result": result, **config}
        text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
        print(row(name, config, result, paper))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
