"""What a training run shows on the terminal: progress, and the table at its end."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from logging.handlers import MemoryHandler
from typing import TYPE_CHECKING, Any

import typer

from crossres_ml.config_names import TASKS

if TYPE_CHECKING:
    from rich.console import Console

    from crossres_ml.calibration import Calibrated
    from crossres_ml.doctor import Finding
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
def hidden(package: str) -> Iterator[None]:
    """Let libraries that would import a package for extras of theirs do without, unless it is there."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


@contextmanager
def show_progress(what: str, every: int) -> Iterator[Callable[[int, int], None]]:
    """Show steps done, with the time left, on a terminal; elsewhere a line whenever ``every`` more are done.

    Parameters
    ----------
    what : str
        What is counted: ``held-out sets``.
    every : int
        Steps between two lines where there is no terminal.

    Yields
    ------
    callable
        To be called with steps done and in total; nothing is shown before.
    """
    from tqdm import tqdm

    bars: list[tqdm[Any]] = []
    said = [-every]

    def tell(done: int, total: int) -> None:
        if not sys.stderr.isatty():
            if done - said[0] >= every or done == total:
                said[0] = done
                typer.echo(f"{what}: {done} of {total}", err=True)
            return
        if not bars:
            bars.append(tqdm(desc=what, total=total, leave=False))
        bars[0].update(done - bars[0].n)

    try:
        yield tell
    finally:
        for bar in bars:
            bar.close()


def fold_progress() -> AbstractContextManager[Callable[[int, int], None]]:
    """Show the held-out sets that are done."""
    return show_progress("held-out sets", 10)


def draw_progress() -> AbstractContextManager[Callable[[int, int], None]]:
    """Show the draws of an audit that are done."""
    return show_progress("audit, refits on permuted outcomes", 100)


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
    columns = ("gene", "task", "rank", "percentile", "p", "sign", "measured by", "lines")
    table = Table(*columns, title=title, box=None, title_justify="left", pad_edge=False)
    for gene, tasks in summary["named_genes"].items():
        for task, row in ((t, tasks[t]) for t in TASKS):
            p = "-" if row["p"] is None else f"{row['p']:.3f}"
            if row["rank"] is None:
                table.add_row(gene, task, "-", "-", p, "-", "not used by the model", str(row["n"]))
                continue
            sign = {1: "resistant", -1: "sensitive", 0: "none"}[row["sign"]]
            rank = f"{row['rank']:.0f} of {row['of']}" if row["sign"] else f"not used, of {row['of']}"
            numbers = (f"{row['percentile']:.1f}", p)
            table.add_row(gene, task, rank, *numbers, sign, row["measurement"], str(row["n"]))
    console.print(table)
    console.print(
        "Raw ranks are description: a gene that only follows lineage can rank high; p is calibrated, against "
        "permuted residuals.\n"
    )


_SHORT = {"lost after adjustment": "lost, adjusted"}


def _verdict_cell(verdict: dict[str, Any] | None) -> str:
    if verdict is None:
        return ""
    word = str(verdict["verdict"])
    marks = "" if verdict["claimed"] else " (not claimed)"
    marks += " *" if verdict["top_driver"] else ""
    marks += " ~" if verdict["borderline"] else ""
    value = "" if verdict["effect"] is None else f" {verdict['effect']:+.2f}"
    return f"{_SHORT.get(word, word)}{value}{marks}"


def _audit_table(console: Console, audit: dict[str, Any]) -> None:
    """Print the verdicts, or why there are none."""
    from rich.table import Table

    if not audit["gate_open"]:
        console.print("audit: controls failed, so verdicts are withheld:")
        for reason in audit["gate_reasons"]:
            console.print(f"  {reason}")
        return
    table = Table("claim", "", "radiation", "chemotherapy", "both", title="claims of the review", box=None,
                  title_justify="left", pad_edge=False)  # fmt: skip
    simulated = any(v.get("planted") is not None for o in audit["claims"].values() for v in o.values())
    if simulated:
        table.add_column("planted (radiation, chemotherapy)")
    for claim, outcomes in audit["claims"].items():
        cells = [_verdict_cell(outcomes.get(o)) for o in ("radiation", "chemotherapy", "both")]
        truth = [str(outcomes["both"].get("planted") or "")] if simulated else []
        table.add_row(claim, outcomes["radiation"]["title"], *cells, *truth)
    console.print(table)
    console.print(
        "Numbers: effect in the claimed direction, tissue-adjusted (partial r unless the claim is of another "
        "kind).\n* among the drivers by calibrated SHAP; ~ other random draws may decide otherwise\n"
    )


def show_audit(done: Trained) -> None:
    """Print the verdicts of an audit, and where the rest is.

    Parameters
    ----------
    done : Trained
        A finished or current audit.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 130
    _audit_table(console, json.loads((done.folder / "summary.json").read_text(encoding="utf-8")))
    typer.echo("audited anew" if done.fresh else "nothing has changed: the audit is current")
    typer.echo(f"verdicts with their evidence: {done.folder / 'audit.csv'}")
    if done.kind == "simulated":
        typer.echo(SIMULATED)


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
    if summary.get("audit"):
        _audit_table(console, summary["audit"])
    data = summary["data"]
    counts = (data[f"lines_{k}"] for k in ("radiation", "chemotherapy", "both"))
    typer.echo("lines with radiation: {}, with chemotherapy: {}, with both: {}".format(*counts))
    typer.echo("trained and evaluated anew" if done.fresh else "nothing has changed: the results are current")
    typer.echo(f"report: {done.folder / 'report.html'}")
    typer.echo("next:   make scan, make atlas, make report (all on one page); make ui")
    typer.echo("        make predict INPUT=profiles.csv OUTPUT=scores.csv")
    if done.kind == "simulated":
        typer.echo(SIMULATED)


def show_findings(findings: Sequence[Finding]) -> int:
    """Print what was looked at, and what to do.

    Parameters
    ----------
    findings : sequence of Finding
        As `crossres_ml.doctor.examine` gives them.

    Returns
    -------
    int
        1 where something is a problem, 0 else.
    """
    marks = {"good": "\u2713", "note": "\u00b7", "problem": "\u2717"}
    for it in findings:
        typer.echo(f"{marks[it.state]} {it.what + ':':<12} {it.state + ',' if it.state == 'problem' else ''}"
                   f" {it.told}".rstrip())  # fmt: skip
        if it.do:
            typer.echo(f"  {'':<12}  -> {it.do}")
    bad = sum(it.state == "problem" for it in findings)
    typer.echo(f"{bad} problems" if bad else "nothing stands in the way")
    return int(bad > 0)


def show_calibration(done: Calibrated) -> None:
    """Print level and power of each way to call a driver.

    Parameters
    ----------
    done : Calibrated
        A finished or current study.
    """
    from rich.console import Console
    from rich.table import Table

    from crossres_ml.audit.calibrate_methods import METHODS

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160  # a pipe has no width; the default of 80 would break rows apart
    table = Table(
        "method", "null", "confounded", "S/T/L at r .15", "r .25", "offered", box=None, pad_edge=False
    )
    for method, rows in done.level_and_power.groupby("method", sort=False):
        at = rows.set_index("r")
        power = ["/".join(_short(at[c][r]) for c in "STL") if r in at.index else "-" for r in (0.15, 0.25)]
        rates = (f"{at[c][0.0]:.3f}" for c in ("null", "confounded"))
        table.add_row(METHODS[str(method)], *rates, *power, "yes" if at.offered[0.0] else "no")
    console.print(table)
    console.print("null, confounded: share of features called where nothing drives the outcome; level .05\n")
    typer.echo("simulated anew" if done.fresh else "nothing has changed: the results are current")
    typer.echo(f"tables: {done.folder}")
    if done.kind == "simulated":
        typer.echo(SIMULATED)
