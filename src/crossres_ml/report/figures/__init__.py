"""Figures of a run, drawn from its saved tables and its summary alone; the same give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from crossres_ml.artifacts import atomic
from crossres_ml.predict.chosen import Chosen, file_names
from crossres_ml.report.audit_run import AuditRun
from crossres_ml.report.figures.audit import claims, power
from crossres_ml.report.figures.audit_checks import controls, heterogeneity
from crossres_ml.report.figures.audit_shap import nulls, swarm
from crossres_ml.report.figures.base import Run
from crossres_ml.report.figures.calibration import calibration
from crossres_ml.report.figures.data import coverage, responses
from crossres_ml.report.figures.flow import flow
from crossres_ml.report.figures.have import have, learning_curve
from crossres_ml.report.figures.scan import scan_effects, scan_lineages, scan_volcanos
from crossres_ml.report.figures.scan_power import scan_power
from crossres_ml.report.figures.shap import shap
from crossres_ml.report.figures.skill import both, cell_lines_out, glance, lineages, lineages_out, paired
from crossres_ml.report.figures.validation import (
    validation_calibration,
    validation_roc,
    validation_scatter,
)
from crossres_ml.report.figures.waterfall import waterfall
from crossres_ml.report.scan_run import ScanRun
from crossres_ml.report.summary import Summary
from crossres_ml.report.validation_run import ValidationRun

AUDIT_FIGURES: dict[str, Callable[[AuditRun], Figure | None]] = {
    "claims": claims,
    "nulls": nulls,
    "power": power,
    "controls": controls,
    "swarm": swarm,
    "heterogeneity": heterogeneity,
}
"""Figures of an audit, by name."""
SCAN_FIGURES: dict[str, Callable[[ScanRun], Figure | None]] = {
    "scan_effects": scan_effects,
    "scan_volcanos": scan_volcanos,
    "scan_lineages": scan_lineages,
}
"""Figures of a scan, by name."""
VALIDATION_FIGURES: dict[str, Callable[[ValidationRun], Figure | None]] = {
    "calibration": validation_calibration,
    "roc": validation_roc,
    "scatter": validation_scatter,
}
"""Figures of a validation, by name."""


def audit_of(run: Run) -> AuditRun | None:
    """Give the audit of a training run, where it has one."""
    audit = run.summary.audit
    if audit is None:
        return None
    return AuditRun(run.folder / "audit", audit, run.simulated)


def _of_run(draw: Callable[[AuditRun], Figure | None]) -> Callable[[Run], Figure | None]:
    def drawn(run: Run) -> Figure | None:
        audit = audit_of(run)
        return None if audit is None else draw(audit)

    return drawn


FIGURES: dict[str, Callable[[Run], Figure | None]] = {
    "glance": glance,
    "flow": flow,
    "skill": cell_lines_out,
    "paired": paired,
    "have": have,
    "both": both,
    "lineages": lineages,
    "lineage_out": lineages_out,
    "learning_curve": learning_curve,
    "calibration": calibration,
    "shap": shap,
    "responses": responses,
    "coverage": coverage,
    **{name: _of_run(draw) for name, draw in AUDIT_FIGURES.items()},
}
"""By name; a figure that has nothing to show is None and is not written."""
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "savefig.dpi": 130,
}
"""How the figures look: settings of matplotlib, over its own defaults."""


def draw_figures(results: Path, summary: Summary) -> list[Path]:
    """Draw every figure of a run.

    Parameters
    ----------
    results : Path
        Folder of results with the saved tables; ``figures/`` is made in it.
    summary : Summary
        Its summary.

    Returns
    -------
    list of Path
        PNG files, in the order of `FIGURES`; one that has nothing to show is left out. Titles start
        with ``SIMULATED:`` when the data are.
    """
    run = Run(results, summary)
    return _draw({name: partial(draw, run) for name, draw in FIGURES.items()}, results / "figures")


def draw_audit(run: AuditRun) -> list[Path]:
    """Draw the figures of an audit that stands alone, into ``figures/`` of its folder.

    Parameters
    ----------
    run : AuditRun
        The audit.

    Returns
    -------
    list of Path
        PNG files, in the order of `AUDIT_FIGURES`.
    """
    return _draw({name: partial(draw, run) for name, draw in AUDIT_FIGURES.items()}, run.folder / "figures")


def draw_scan(run: ScanRun) -> list[Path]:
    """Draw the figures of a scan, into ``figures/`` of its folder.

    Parameters
    ----------
    run : ScanRun
        The scan.

    Returns
    -------
    list of Path
        PNG files, in the order of `SCAN_FIGURES`.
    """
    return _draw({name: partial(draw, run) for name, draw in SCAN_FIGURES.items()}, run.folder / "figures")


def draw_validation(run: ValidationRun) -> list[Path]:
    """Draw the figures of a validation, into ``figures/`` of its folder.

    Parameters
    ----------
    run : ValidationRun
        The validation.

    Returns
    -------
    list of Path
        PNG files, in the order of `VALIDATION_FIGURES`.
    """
    drawn = {name: partial(draw, run) for name, draw in VALIDATION_FIGURES.items()}
    return _draw(drawn, run.folder / "figures")


def draw_power(folder: Path, *, simulated: bool) -> Path:
    """Draw the power of the scan's lists.

    Parameters
    ----------
    folder : Path
        Folder with ``scan_calibration.csv``.
    simulated : bool
        Whether the events were made by code too.

    Returns
    -------
    Path
        ``power.png`` in it.
    """
    table = pd.read_csv(folder / "scan_calibration.csv")
    return _draw({"power": partial(scan_power, table, simulated=simulated)}, folder)[0]


def draw_waterfalls(chosen: Chosen, output: Path) -> list[Path]:
    """Draw what the scores of single samples are made of.

    Parameters
    ----------
    chosen : Chosen
        The samples.
    output : Path
        Their table of scores; the figures lie beside it.

    Returns
    -------
    list of Path
        ``<output>.<sample>.png``, in the order of the samples; see `crossres_ml.predict.chosen.file_names`.
    """
    names = file_names(chosen.samples)
    return _draw({f"{output.name}.{names[s]}": partial(waterfall, chosen, s) for s in names}, output.parent)


def _draw(figures: Mapping[str, Callable[[], Figure | None]], folder: Path) -> list[Path]:
    out = []
    for name, draw in figures.items():
        path = folder / f"{name}.png"
        with style.context(["default", STYLE]):  # whatever the user's own settings are
            figure = draw()
            if figure is None:
                continue
            with atomic(path) as part:
                # The default metadata would carry the version of matplotlib.
                figure.savefig(part, metadata={"Software": None})
        out.append(path)
    return out
