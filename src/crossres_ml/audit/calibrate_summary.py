"""Level and power of every method, from the tables of all studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t
from statsmodels.stats.proportion import proportion_confint

from crossres_ml.audit.calibrate_methods import BOTH_METHODS, METHODS
from crossres_ml.audit.verdicts import LEVEL

DRIVERS = {"S": "single", "T": "twin_driver", "L": "varying"}
"""Column -> role of a planted driver."""


def _rate(table: pd.DataFrame, role: str) -> tuple[float, float, float]:
    """Share that is called; 95 % interval from the sd between outcomes, for features share an outcome."""
    own = table[table.role == role]
    each = own.groupby(["study", "repeat"]).called.mean().to_numpy(dtype=float)
    mean, n = float(each.mean()), len(each)
    wide = float(t.ppf(0.975, n - 1) * each.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return mean, max(mean - wide, 0.0), min(mean + wide, 1.0)


def _power(table: pd.DataFrame, role: str) -> tuple[float, float, float]:
    """Share of outcomes whose driver is called, with Wilson's 95 % interval."""
    called = table.called[table.role == role]
    low, high = proportion_confint(int(called.sum()), len(called), method="wilson")
    return float(called.mean()), float(low), float(high)


def _triple(name: str, values: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Level and power of each way to call a driver of one outcome.

    Parameters
    ----------
    results : pandas.DataFrame
        study, r, repeat, method, role, called, as `crossres_ml.audit.calibrate.calibrate` gives them.

    Returns
    -------
    pandas.DataFrame
        A row a method and strength: method, r, outcomes (simulated), null, confounded (shares called, with
        _low and _high: Monte-Carlo 95 % over outcomes), twin (the mate of T, which does nothing itself), S,
        T, L (power; without a driver the same features are null), each with Wilson's interval, and offered:
        without any driver both rates' intervals include the level or lie under it.
    """
    rows = []
    for method in METHODS:
        own = results[results.method == method]
        for r, part in own.groupby("r"):
            row: dict[str, object] = {
                "method": method, "r": r, "outcomes": len(part[["study", "repeat"]].drop_duplicates()),
            }  # fmt: skip
            row |= _triple("null", _rate(part, "null")) | _triple("confounded", _rate(part, "confounded"))
            row |= _triple("twin", _power(part, "twin"))
            for name, role in DRIVERS.items():
                row |= _triple(name, _power(part, role))
            rows.append(row)
    table = pd.DataFrame(rows)
    level = table[table.r == 0]
    holds = level.method[(level.null_low <= LEVEL) & (level.confounded_low <= LEVEL)]
    return table.assign(offered=table.method.isin(holds))


def summarise_both(results: pd.DataFrame) -> pd.DataFrame:
    """How often each way to ask for "both" is right, and wrong.

    Parameters
    ----------
    results : pandas.DataFrame
        As `summarise` takes it.

    Returns
    -------
    pandas.DataFrame
        A row a method and strength: method, r, outcomes, null, confounded, one_only (the drivers S and L of
        the first outcome, which do nothing to the second), both (the driver T of both: power), with
        intervals as `summarise` gives them.
    """
    rows = []
    for method in BOTH_METHODS:
        for r, part in results[results.method == method].groupby("r"):
            row: dict[str, object] = {
                "method": method, "r": r, "outcomes": len(part[["study", "repeat"]].drop_duplicates()),
            }  # fmt: skip
            row |= _triple("null", _rate(part, "null")) | _triple("confounded", _rate(part, "confounded"))
            one = part.assign(role=part.role.replace({"single": "one", "varying": "one"}))
            row |= _triple("one_only", _rate(one, "one")) | _triple("both", _power(part, "twin_driver"))
            rows.append(row)
    return pd.DataFrame(rows)


def mean_seconds(seconds: pd.DataFrame) -> pd.DataFrame:
    """Mean processor seconds of a method for one outcome.

    Parameters
    ----------
    seconds : pandas.DataFrame
        study, method, seconds.

    Returns
    -------
    pandas.DataFrame
        method, seconds.
    """
    return seconds.dropna().groupby("method", sort=False).seconds.mean().reset_index()
