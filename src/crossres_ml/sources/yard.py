"""Radiation response of 540 cell lines: Yard et al. 2016, Nat Commun 7:11428."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from crossres_ml.sources.rfile import read_r, to_frame
from crossres_ml.sources.schema import Table, flag, long_schema, number, text

_DOSES = (1, 2, 3, 4, 5, 6, 8, 10)
# Survival may exceed 1: irradiated wells can outgrow the control (largest 1.22).
_SURVIVAL = number(0, 1.5, needed=True)
_LINEAR = {
    "YardAUC": "auc",
    "AUC_recomputed": "auc_recomputed",
    "SF2": "sf2",
    "alpha": "alpha_per_gy",
    "beta": "beta_per_gy2",
}
_HISTOLOGY = {
    "tissueid": "tissue",
    "Primarysite": "site",
    "Histology": "histology",
    "Subhistology": "subhistology",
}


def _radiation(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Survival and its summaries, one row per line.

    The published AUC (0-7, of the log2 dose scale of the paper) and the one that the repository recomputed
    (area over 1-10 Gy) are both kept. ``lq_qc`` marks the 498 lines whose linear-quadratic fit passed
    quality control. ``tissue`` was curated by the repository, the other three are the paper's: empty, and
    so missing here, for 24 lines.
    """
    response = to_frame(read_r(paths["yard2016_dose_response"])["dose.response"])
    histology = to_frame(read_r(paths["yard2016_histology"])["YardHistology"])
    passed = to_frame(read_r(paths["yard2016_lq_fits"])["res2"]).index
    survival = {f"{d}Gy": f"survival_{d}gy" for d in _DOSES}
    out = response[[*survival, *_LINEAR]].rename(columns={**survival, **_LINEAR})
    out = out.join(histology[list(_HISTOLOGY)].rename(columns=_HISTOLOGY).replace("", None), how="left")
    out["lq_qc"] = out.index.isin(passed)
    return out.rename_axis("cell_line").reset_index()


def _clonogenic(paths: Mapping[str, Path]) -> pd.DataFrame:
    """AUC and surviving fractions of 15 lines in both assays; one sheet of the workbook a metric."""
    sheets = pd.read_excel(paths["yard2016_clonogenic"], sheet_name=None)
    names = {"Cell Line": "cell_line", "Clonogenic": "clonogenic", "Proliferative": "proliferative"}
    parts = [sheet[list(names)].rename(columns=names).assign(metric=m) for m, sheet in sheets.items()]
    out = pd.concat(parts, ignore_index=True)
    return out[["cell_line", "metric", "clonogenic", "proliferative"]]


TABLES = (
    Table(
        "radiation",
        ("yard2016_dose_response", "yard2016_histology", "yard2016_lq_fits"),
        _radiation,
        long_schema(
            {
                "cell_line": text(needed=True),
                **{f"survival_{d}gy": _SURVIVAL for d in _DOSES},
                "auc": number(0, 7, needed=True),
                "auc_recomputed": number(0, 10, needed=True),
                "sf2": _SURVIVAL,
                "alpha_per_gy": number(0, 2, needed=True),
                "beta_per_gy2": number(0, 1, needed=True),
                **{c: text() for c in _HISTOLOGY.values()},
                "lq_qc": flag(),
            },
            ["cell_line"],
        ),
        "in the column names; survival and SF2 are fractions, AUC 0-7",
        "9-day viability after 1-10 Gy; higher = more resistant",
    ),
    Table(
        "radiation_clonogenic",
        ("yard2016_clonogenic",),
        _clonogenic,
        long_schema(
            {
                "cell_line": text(needed=True),
                "metric": text("AUC|SF[2468]", needed=True),
                "clonogenic": number(0, 7),
                "proliferative": number(0, 7),
            },
            ["cell_line", "metric"],
        ),
        "AUC 0-7; SF as a fraction",
        "15 lines measured by clonogenic and by proliferation assay",
    ),
)
