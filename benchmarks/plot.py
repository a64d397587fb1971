"""Draw what inference.py wrote down (pip install matplotlib, which nothing else needs).

    python benchmarks/plot.py benchmarks/results/inference.jsonl docs/speed.svg

A panel for every network and processor, a group of bars for every work and number of labels: words per second, of peers
with their best size of batches.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import matplotlib
import typer
from tables import Row, best_of_peer, grouped, peer_of, read_rows, work_of

COLOURS = ["#1b5e9e", "#5c97cf", "#a8cbea", "#c44e2b", "#e3a18c", "#7a9e3b", "#c7b42c", "#a9c98d", "#8e6bb0", "#9a9a9a"]
WIDTH = 0.85  # of a group of bars


def main(
    results: Annotated[list[Path], typer.Argument(help="Files of JSON lines, and at last the SVG to write")],
) -> None:
    """Draw all networks that were measured."""
    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "speed", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot

    rows = [row for row in read_rows(results[:-1]) if row["kind"] == "speed"]
    networks = grouped(rows, "network", "processor")
    figure, panels = pyplot.subplots(len(networks), 1, figsize=(9, 2.6 * len(networks)), squeeze=False)
    systems = list(dict.fromkeys(peer_of(row) for row in rows))
    for panel, of_network in zip(panels[:, 0], networks, strict=True):
        draw(panel, of_network, systems)
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper center", ncol=4, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.5 / figure.get_figheight()))
    figure.savefig(results[-1], metadata={"Date": None})


def draw(panel: Any, rows: Sequence[Row], systems: Sequence[str]) -> None:
    """One network."""
    works = grouped(rows, "mode", "work", "labels")
    for number, system in enumerate(systems):
        bests = [best_of_peer([row for row in of_work if peer_of(row) == system]) for of_work in works]
        heights = [best["words"] / median(best["seconds"]) if best else 0 for best in bests]
        places = [group + (number + 0.5) * WIDTH / len(systems) - WIDTH / 2 for group in range(len(works))]
        panel.bar(places, heights, WIDTH / len(systems), label=system, color=COLOURS[number % len(COLOURS)])
    panel.set_title(f"{rows[0]['network']}, {rows[0]['processor'].split(',')[0]}", loc="left")
    panel.set_ylabel("words per second")
    panel.set_xticks(range(len(works)), [f"{work_of(of_work[0])}\n{of_work[0]['labels']} labels" for of_work in works])
    panel.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    typer.run(main)
