"""Who is missing where, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossres_ml.cohort.blocks import BLOCKS

if TYPE_CHECKING:
    from crossres_ml.cohort.cohort import Cohort

BLOOD = ("Lymphoid", "Myeloid")
COLUMNS = ["what", "model_id", "cell_line", "lineage", "reason"]


def missing_lines(cohort: Cohort) -> pd.DataFrame:
    """List every line that lacks a response or a whole block, and every name that is no line.

    Parameters
    ----------
    cohort : Cohort
        The cohort.

    Returns
    -------
    pandas.DataFrame
        ``what`` (``response:name``, ``block:name``, or ``table:name`` for a name that could not be
        joined), ``model_id`` (empty for such a name), ``cell_line``, ``lineage``, ``reason``.
    """
    parts = [_rows(cohort, f"response:{n}", why) for n, why in _responses(cohort)]
    parts += [_rows(cohort, f"block:{n}", why) for n, why in _blocks(cohort)]
    names = cohort.unresolved
    lost = pd.DataFrame(
        {
            "what": "table:" + names.table.astype(str),
            "model_id": "",
            "cell_line": names.alias.astype(str),
            "lineage": "",
            "reason": "no DepMap id: " + names.reason.astype(str),
        }
    )
    return pd.concat([*parts, lost], ignore_index=True)[COLUMNS]


def count_missing(missing: pd.DataFrame) -> pd.DataFrame:
    """Count the lines of each reason.

    Parameters
    ----------
    missing : pandas.DataFrame
        As `missing_lines` gives it.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``reason``, ``lines``; sorted.
    """
    return missing.groupby(["what", "reason"]).size().rename("lines").reset_index()


def _rows(cohort: Cohort, what: str, reasons: pd.Series) -> pd.DataFrame:
    """One row for each line that has a reason."""
    given = reasons[reasons != ""]
    lines = cohort.lines.loc[given.index, ["cell_line", "lineage"]]
    return lines.assign(what=what, model_id=lines.index, reason=given)


def _responses(cohort: Cohort) -> Iterator[tuple[str, pd.Series]]:
    """Response name and, for each line, why it is missing (empty when it is not)."""
    known = cohort.responses.notna()
    no_radiation = np.where(
        cohort.lines.lineage.isin(BLOOD),
        "blood line: the radiation screen has none",
        "not in the radiation screen",
    )
    no_fit = np.where(known.radiation, "its linear-quadratic fit failed the published control", no_radiation)
    of_ctrp = cohort.drug_info.dataset == "ctrp"
    panel = cohort.drugs.loc[:, cohort.drug_info.panel.astype(bool)].notna()
    in_ctrp = cohort.drugs.loc[:, of_ctrp].notna().any(axis=1)
    in_gdsc = cohort.drugs.loc[:, ~of_ctrp].notna().any(axis=1)
    few = (
        "in CTRPv2 with only "
        + panel.sum(axis=1).astype(str)
        + f" of the {panel.shape[1]} drugs of the panel"
    )
    reasons = {
        "radiation": no_radiation,
        "sf2": no_radiation,
        "lq_alpha": no_fit,
        "chemotherapy": few.where(in_ctrp, "not in CTRPv2"),
        "chemotherapy_gdsc": np.where(in_gdsc, "in GDSC, with too few drugs of the panel", "not in GDSC"),
        "platinum": np.where(in_gdsc, "in GDSC, without a platinum drug", "not in GDSC"),
        "general_sensitivity": np.where(in_ctrp, "in CTRPv2, with too few other drugs", "not in CTRPv2"),
    }
    for name, why in reasons.items():
        yield name, pd.Series(why, cohort.lines.index, dtype=str).where(~known[name], "")


def _blocks(cohort: Cohort) -> Iterator[tuple[str, pd.Series]]:
    absent = {b.name: b.absent or f"not in {' or '.join(b.tables)}" for b in BLOCKS}
    for name, table in cohort.blocks.items():
        has = np.isfinite(table.to_numpy()).any(axis=1)
        yield name, pd.Series(np.where(has, "", absent.get(name, "not measured")), cohort.lines.index)
