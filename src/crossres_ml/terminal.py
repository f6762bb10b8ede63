"""What a training run shows on the terminal: progress, and the table at its end."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from typing import TYPE_CHECKING, Any

import typer

from crossres_ml.config import TASKS

if TYPE_CHECKING:
    from rich.console import Console

    from crossres_ml.workflow import Trained

SIMULATED = "SIMULATED: no real data were used; nothing here is about biology"
_COLUMNS = ("auroc", "average_precision", "brier", "spearman", "within_lineage_spearman")
_TITLES = ("AUROC", "AP", "Brier", "Spearman", "in lineage")


@contextmanager
def first_line() -> Iterator[Callable[[str], None]]:
    """Hold log lines back until the kind of data has been said: that is the first line of a run."""
    logger = logging.getLogger("crossres_ml")
    shown = list(logger.handlers)
    held = [MemoryHandler(10_000, flushLevel=logging.CRITICAL + 1, target=h) for h in shown]
    logger.handlers[:] = held

    def release() -> None:
        if logger.handlers[:] == held:
            logger.handlers[:] = shown
            for handler in held:
                handler.close()  # closing flushes to the target

    def announce(kind: str) -> None:
        typer.echo(SIMULATED if kind == "simulated" else "real data")
        release()

    try:
        yield announce
    finally:
        release()


@contextmanager
def fold_progress() -> Iterator[Callable[[int, int], None]]:
    """Show folds done, with the time left, on a terminal; a line every tenth fold elsewhere."""
    from tqdm import tqdm

    bar = tqdm(desc="held-out sets", unit="set", disable=not sys.stderr.isatty(), leave=False)

    def tell(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if bar.disable and done % 10 == 0:
            typer.echo(f"held-out sets: {done} of {total}", err=True)

    try:
        yield tell
    finally:
        bar.close()


def _short(value: float) -> str:
    """Two digits without the leading zero: every value here lies between -1 and 1."""
    text = f"{value:.2f}"
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def _cell(interval: dict[str, float | None]) -> str:
    value, low, high = (interval[k] for k in ("value", "low", "high"))
    if value is None:
        return "-"
    return _short(value) if low is None or high is None else f"{_short(value)} ({_short(low)},{_short(high)})"


def _task_rows(task: dict[str, Any], mode: str) -> list[tuple[str, ...]]:
    rows = []
    for name, modes in task["models"].items():
        if mode in modes:
            mark = {task["champion"]: " *", task["paired_baseline"].get(mode): " b"}.get(name, "")
            rows.append((name + mark, *(_cell(modes[mode][c]) for c in _COLUMNS)))
    if mode in task["paired_difference"]:
        rows.append(("* minus b", *(_cell(task["paired_difference"][mode][c]) for c in _COLUMNS)))
    return rows


def _skill_tables(console: Console, summary: dict[str, Any]) -> None:
    from rich.table import Table

    for name in TASKS:
        task = summary["tasks"][name]
        for mode in task["paired_difference"]:
            n = task["scored_lines"][mode]
            share = task["models"][task["champion"]][mode]["prevalence"]["value"]
            title = f"{name}, {mode.replace('_', ' ')}: {n} lines, prevalence {share:.2f}"
            table = Table("model", *_TITLES, title=title, box=None, title_justify="left", pad_edge=False)
            for row in _task_rows(task, mode):
                table.add_row(*row, style="bold" if row[0].startswith("*") else "")
            console.print(table)
    console.print("* champion, chosen by inner folds; b best baseline; 95 % group-bootstrap intervals\n")


def _gene_table(console: Console, summary: dict[str, Any]) -> None:
    from rich.table import Table

    title = "named genes, by mean |SHAP| on held-out lines"
    columns = ("gene", "task", "rank", "percentile", "sign", "measured by", "lines")
    table = Table(*columns, title=title, box=None, title_justify="left", pad_edge=False)
    for gene, tasks in summary["named_genes"].items():
        for task, row in ((t, tasks[t]) for t in TASKS):
            if row["rank"] is None:
                table.add_row(gene, task, "-", "-", "-", "not used by the model", str(row["n"]))
                continue
            sign = {1: "resistant", -1: "sensitive", 0: "none"}[row["sign"]]
            rank = f"{row['rank']:.0f} of {row['of']}" if row["sign"] else f"not used, of {row['of']}"
            table.add_row(
                gene, task, rank, f"{row['percentile']:.1f}", sign, row["measurement"], str(row["n"])
            )
    console.print(table)
    console.print("Raw ranks are description: a gene that only follows lineage can rank high.\n")


def show_results(done: Trained) -> None:
    """Print skill and named genes of a run, and what to do next.

    Parameters
    ----------
    done : Trained
        A finished or current run.
    """
    from rich.console import Console

    summary = json.loads((done.folder / "summary.json").read_text(encoding="utf-8"))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 100  # a pipe has no width; the default of 80 would break rows apart
    _skill_tables(console, summary)
    _gene_table(console, summary)
    data = summary["data"]
    counts = (data[f"lines_{k}"] for k in ("radiation", "chemotherapy", "both"))
    typer.echo("lines with radiation: {}, with chemotherapy: {}, with both: {}".format(*counts))
    typer.echo("trained and evaluated anew" if done.fresh else "nothing has changed: the results are current")
    typer.echo(f"report: {done.folder / 'report.html'}")
    typer.echo("next:   make ui, or: make predict INPUT=profiles.csv OUTPUT=scores.csv")
    if done.kind == "simulated":
        typer.echo(SIMULATED)
