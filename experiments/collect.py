"""Keep what was measured: from the runs of addition.sh to experiments/results and the README's table.

    python experiments/collect.py runs/table

copies configuration and result of every row into experiments/results/addition/<row>.json and prints the
table in Markdown.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from nesy_gedi.presets import load_preset

RESULTS = Path(__file__).parent / "results" / "addition"


def row(name: str, config: dict[str, Any], result: dict[str, Any]) -> str:
    """One line of the table: median ± standard deviation over the seeds."""
    request, seeds = config["request"], result["seeds"]
    cells = [name]
    for measure in ("accuracy", "matched_accuracy", "nmi"):
        values = [seed[measure] for seed in seeds]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        cells.append(f"{statistics.median(values):.3f}{spread}")
    cells += [f"{result['seconds']:.0f}", str(config["environment"]["threads"]), str(len(seeds))]
    cells.append(str(sum(seed["restarts"] for seed in seeds)))
    published = load_preset("addition", "default", request["variant"], {}).published
    paper = published.get(str(request["examples"]), {})
    cells.append(" / ".join(f"{paper[k]:.2f}" if k in paper else "–" for k in ("accuracy", "nmi")))
    return "| " + " | ".join(cells) + " |"


def main(runs: Path) -> None:
    """Copy and print every finished run in the folder."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    print(
        "| row | accuracy | matched | NMI | s a seed | threads | seeds | restarts | paper: accuracy / NMI |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for path in sorted(runs.glob("*/result.json"), key=lambda path: path.stat().st_mtime):
        result = json.loads(path.read_text(encoding="utf-8"))
        config = json.loads(path.with_name("config.json").read_text(encoding="utf-8"))
        name = path.parent.name
        kept = {"result": result, **config}
        text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
        (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
        print(row(name, config, result))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/table"))
