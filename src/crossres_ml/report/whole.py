"""One page of everything: the report of a training run with the scan and the atlas, in tables to search."""

from __future__ import annotations

import base64
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from crossres_ml.artifacts import atomic
from crossres_ml.errors import ConfigError
from crossres_ml.report.atlas_page import atlas_rows
from crossres_ml.report.audit_page import embedded
from crossres_ml.report.figures import SCAN_FIGURES
from crossres_ml.report.figures.base import Run
from crossres_ml.report.html import context, page
from crossres_ml.report.scan_page import CAPTIONS, event_rows, list_rows, signal_rows
from crossres_ml.report.scan_run import ScanRun
from crossres_ml.report.summary import Summary

_SOURCES = {"scan_effects": "scan.csv", "scan_volcanos": "scan.csv", "scan_lineages": "lineages.csv"}


def write_whole_report(results: Path, scan: Path | None, atlas: Path | None, output: Path) -> Path:
    """Write the report of a finished training run with a finished scan and atlas of the same data.

    Parameters
    ----------
    results : Path
        Folder of a training run.
    scan, atlas : Path or None
        Folders of a scan and of an atlas; without, the section is left out.
    output : Path
        .html to be written. Links lead from there to the files of the folders.

    Returns
    -------
    Path
        The page: one file, nothing loaded from elsewhere. Its tables can be searched and sorted, and are
        whole where no script runs.

    Raises
    ------
    ConfigError
        If a folder holds no finished run, or runs on other data.
    """
    needed = {results / "summary.json": "make train", **({scan / "scan.json": "make scan"} if scan else {}),
              **({atlas / "atlas.json": "make atlas"} if atlas else {})}  # fmt: skip
    if missing := [p for p in needed if not p.is_file()]:
        raise ConfigError(
            f"no finished run: {', '.join(str(p) for p in missing)} not there",
            do=" and ".join(needed[p] for p in missing) + ", or name other folders",
        )
    summary = Run.read(results).summary
    more: dict[str, Any] = {}
    if scan:
        more["scan"] = _scan(scan, _link(scan, output))
        _check_same(more["scan"]["about"], summary, scan)
    if atlas:
        more["atlas"] = _atlas(atlas, _link(atlas, output))
        _check_same(more["atlas"]["about"], summary, atlas)
    if more:
        more["tables_js"] = base64.b64encode(_bundle("js").encode()).decode("ascii")
        more["tables_css"] = Markup(_bundle("css"))
    text = page(context(results, summary, base=_link(results, output)) | more)
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic(output) as part:
        part.write_text(text, encoding="utf-8")
    return output


def _link(folder: Path, page: Path) -> str:
    """Give the way from a page to a folder, as a link starts."""
    way = Path(os.path.relpath(folder.resolve(), page.resolve().parent)).as_posix()
    return "" if way == "." else f"{way}/"


def _check_same(about: dict[str, Any], summary: Summary, where: Path) -> None:
    if (about["kind"], about["cohort_hash"]) != (summary.data.kind, summary.data.cohort_hash):
        raise ConfigError(
            f"made from {about['kind']} data {about['cohort_hash'][:12]}, the training run from "
            f"{summary.data.kind} data {summary.data.cohort_hash[:12]}",
            where=str(where), do="make it anew with the configuration of the training run",
        )  # fmt: skip


def _scan(folder: Path, base: str) -> dict[str, Any]:
    run = ScanRun(folder)
    sources = {name: base + file for name, file in _SOURCES.items()}
    return {
        "about": run.about, "base": base, "level": f"{run.level:.0%}", "lists": list_rows(run),
        "signals": signal_rows(run), "events": event_rows(run),
        "figures": embedded(folder / "figures", SCAN_FIGURES, CAPTIONS, {}, sources),
    }  # fmt: skip


def _atlas(folder: Path, base: str) -> dict[str, Any]:
    about = json.loads((folder / "atlas.json").read_text(encoding="utf-8"))
    table = pd.read_parquet(folder / "atlas.parquet")
    return {"about": about, "base": base, "rows": atlas_rows(table)}


def _bundle(kind: str) -> str:
    """Read DataTables (datatables.net, MIT), as the package itables carries it."""
    return (files("itables") / "html" / f"dt_bundle.{kind}").read_text(encoding="utf-8")
