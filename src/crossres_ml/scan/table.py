"""Tables of a scan: one row an event, one row a list, and which events are looked at closely."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from crossres_ml.audit.adjust import add_covariates
from crossres_ml.audit.association import POWER, benjamini_hochberg
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.scan.both import CHEMOTHERAPY, DIFFERENCE, LISTS, RADIATION, List, Tests
from crossres_ml.scan.effects import Effects, effects
from crossres_ml.scan.frame import Frame
from crossres_ml.scan.permute import LEVELS, empirical_rate

MODALITIES = {"radiation": RADIATION, "chemotherapy": CHEMOTHERAPY}
MOST = 100
"""Events of a list that are looked at lineage by lineage at most."""
_EACH = POWER**0.5


def event_table(
    events: pd.DataFrame,
    fits: Mapping[str, Effects],
    tests: Mapping[str, Tests],
    expected: pd.DataFrame,
    level: float,
) -> pd.DataFrame:
    """Put all that is known of each event into a row.

    Parameters
    ----------
    events : pandas.DataFrame
        Table of `crossres_ml.scan.events.Events`.
    fits : mapping of str to Effects
        Adjustment -> effects on radiation, chemotherapy and their difference.
    tests : mapping of str to Tests
        List -> its tests.
    expected : pandas.DataFrame
        Of the permutations.
    level : float
        False discovery rate.

    Returns
    -------
    pandas.DataFrame
        Index: events. For radiation and chemotherapy: ``<name>`` (standardised slope, lineage-adjusted; for
        events of 0 and 1, ``<name>_difference`` is that in standard deviations of the response), _low, _high,
        _p, _q, _raw, _raw_p, _full, _full_low, _full_high, _full_p, _mde (slope found with 80 % power at the
        threshold of the list of those resistant to both). support, p_difference. best_list (where its p is
        smallest of the lists that it fits), list_p, list_q (Benjamini and Hochberg), list_rate (from
        permutations), list (best_list if list_rate < level, else empty), by_bh (list_q < level). both_mde.
    """
    main = fits["tissue"]
    out = events.assign(support=main.support)
    cut = _cut(tests["both_resistant"], expected, "both_resistant", level)
    for name, k in MODALITIES.items():
        low, high = main.interval()
        out[name], out[f"{name}_low"], out[f"{name}_high"] = main.effect[:, k], low[:, k], high[:, k]
        out[f"{name}_se"], out[f"{name}_p"] = main.se[:, k], main.p[:, k]
        out[f"{name}_q"] = benjamini_hochberg(main.p[:, k])
        share = np.where(out.kind == "event", np.sqrt(out.carriers * out.others) / out.n, np.nan)
        out[f"{name}_difference"] = main.effect[:, k] / share
        out[f"{name}_raw"], out[f"{name}_raw_p"] = fits["raw"].effect[:, k], fits["raw"].p[:, k]
        full = fits["full"]
        ends = full.interval()
        out[f"{name}_full"], out[f"{name}_full_p"] = full.effect[:, k], full.p[:, k]
        out[f"{name}_full_low"], out[f"{name}_full_high"] = ends[0][:, k], ends[1][:, k]
        out[f"{name}_mde"] = (stdtrit(main.df, 1 - cut) + stdtrit(main.df, POWER)) * main.se[:, k]
    out["p_difference"] = main.p[:, DIFFERENCE]
    worse = main.se[:, :2].max(axis=1)
    out["both_mde"] = (stdtrit(main.df, 1 - cut) + stdtrit(main.df, _EACH)) * worse
    return out.join(best_lists(out.index, tests, expected, level))


def best_lists(
    index: pd.Index, tests: Mapping[str, Tests], expected: pd.DataFrame, level: float
) -> pd.DataFrame:
    """Find the list that each event fits best.

    Parameters
    ----------
    index : pandas.Index
        Events.
    tests : mapping of str to Tests
        List -> its tests.
    expected : pandas.DataFrame
        Of the permutations.
    level : float
        False discovery rate.

    Returns
    -------
    pandas.DataFrame
        best_list, list_p, list_q, list_rate, list, by_bh, as in `event_table`.
    """
    p = np.column_stack([np.where(x.fits, np.nan_to_num(x.p, nan=1.0), 2.0) for x in tests.values()])
    # a list of one modality comes first only where its own conditions hold, for then the event is not of both
    best = p.argmin(axis=1)
    names = np.array(list(tests))[best]
    out = pd.DataFrame({"best_list": names, "list_p": p.min(axis=1)}, index=index)
    out["list_q"], out["list_rate"] = 1.0, 1.0
    for name, x in tests.items():
        own = names == name
        out.loc[own, "list_q"] = x.adjusted()[own]
        out.loc[own, "list_rate"] = rate_at(x.p[own], expected, name)
    out["list"] = np.where(out.list_rate < level, names, "")
    out["by_bh"] = out.list_q < level
    return out


def rate_at(p: np.ndarray, expected: pd.DataFrame, name: str) -> np.ndarray:
    """Look up the false discovery rate of a list at each p, by permutations; 1 beyond what was counted."""
    rate = empirical_rate(expected, name, "any")
    if not len(rate):
        return np.ones(len(p))
    at = np.searchsorted(rate.p.to_numpy(), p, side="right") - 1
    return np.where((at >= 0) & (p <= rate.p.max()), rate.rate.to_numpy()[np.maximum(at, 0)], 1.0)


def _cut(tests: Tests, expected: pd.DataFrame, name: str, level: float) -> float:
    """P that calls an event: the largest one called by permutations, or what Benjamini and Hochberg ask."""
    rate = empirical_rate(expected, name, "any")
    called = rate.p[rate.rate < level]
    return float(called.max()) if len(called) else tests.threshold(level)


def list_table(
    table: pd.DataFrame, tests: Mapping[str, Tests], called: pd.DataFrame, expected: pd.DataFrame
) -> pd.DataFrame:
    """Count what each list has, and what chance would give.

    Parameters
    ----------
    table : pandas.DataFrame
        As `event_table` gives it, with ``signal``.
    tests : mapping of str to Tests
        List -> its tests.
    called, expected : pandas.DataFrame
        Of the permutations.

    Returns
    -------
    pandas.DataFrame
        list, label, level; seen (events whose rate by permutations is below the level), genes (different
        ones among them), signals (independent ones, `crossres_ml.scan.signals`), kept_full (stay when fully
        adjusted), threshold (largest p of these), expected (events of a permutation that would pass it, over
        the nulls of `crossres_ml.scan.permute.empirical_rate`), expected_pairs (the same when no event does
        anything), rate; seen_bh (by Benjamini and Hochberg), permuted_bh (mean number that it calls in a
        permutation), permuted_any (share of permutations in which it calls any); smallest_p.
    """
    rows = []
    for name, it in LISTS.items():
        rate, pairs = empirical_rate(expected, name, "any"), empirical_rate(expected, name)
        for level in LEVELS:
            ok = rate[rate.rate < level]
            last = int(ok.index[-1]) if len(ok) else -1
            own = table[(table.best_list == name) & (table.list_rate < level)]
            drawn = called[(called.list == name) & np.isclose(called.level, level)].called
            rows.append(
                {
                    "list": name, "label": it.label, "level": level, "seen": len(own),
                    "genes": own.gene.nunique(), "signals": own.signal.nunique(),
                    "kept_full": int(_kept(own, it).sum()),
                    "threshold": rate.p[last] if last >= 0 else np.nan,
                    "expected": rate.expected[last] if last >= 0 else np.nan,
                    "expected_pairs": pairs.expected[last] if last >= 0 else np.nan,
                    "rate": rate.rate[last] if last >= 0 else np.nan,
                    "seen_bh": int(tests[name].called(level).sum()), "permuted_bh": drawn.mean(),
                    "permuted_any": (drawn > 0).mean(),
                    "smallest_p": np.nanmin(np.where(tests[name].fits, tests[name].p, np.nan), initial=1.0),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _kept(own: pd.DataFrame, it: List) -> pd.Series:
    """Events whose effects stay in the full adjustment."""
    stays = pd.Series(data=True, index=own.index)
    for name, k in MODALITIES.items():
        if it.signs or it.only == k:
            stays &= (own[f"{name}_full"] * own[name] > 0) & (own[f"{name}_full_p"] < 0.05)
    return stays


def top_events(table: pd.DataFrame, top: int) -> pd.Index:
    """Events of each list that are looked at closely: those called, and at least the first ``top``."""
    parts = []
    for name in LISTS:
        own = table[table.best_list == name].sort_values("list_p", kind="stable")
        called = int((own.list == name).sum())
        parts.append(own.head(min(max(top, called), MOST)))
    names = [str(n) for part in parts for n in part.index]
    return pd.Index(list(dict.fromkeys(names)), name="event")


def arm_effects(cohort: Cohort, frame: Frame, X: np.ndarray, events: pd.DataFrame) -> pd.DataFrame:
    """Adjust copy numbers for the mean of their arm too: a gene inside a gained arm is not the finding.

    Parameters
    ----------
    cohort : Cohort
        Has the block ``cn_arm``, or all is missing.
    frame : Frame
        Radiation and chemotherapy.
    X : numpy.ndarray
        Lines x events.
    events : pandas.DataFrame
        Their table.

    Returns
    -------
    pandas.DataFrame
        Index: events; radiation_arm, radiation_arm_p, chemotherapy_arm, chemotherapy_arm_p: slopes beside
        lineage and arm; beyond_arm (True: in both the sign stays and p < .05; missing for what has no arm).
    """
    values = np.full((len(events), 4), np.nan)
    arms = cohort.blocks.get("cn_arm", pd.DataFrame(index=cohort.lines.index))
    for arm in sorted(set(events.arm) & set(arms)):
        at = np.flatnonzero((events.arm == arm).to_numpy())
        design = add_covariates(frame.plain["tissue"], arms.loc[frame.lines, [arm]].astype(float))
        found = effects(X[:, at], frame.Y[:, :2], design)
        plain = effects(X[:, at], frame.Y[:, :2], frame.plain["tissue"])
        values[at] = np.column_stack([found.effect[:, 0], found.p[:, 0], found.effect[:, 1], found.p[:, 1]])
        turned = np.sign(found.effect) != np.sign(plain.effect)
        values[at[:, None], [1, 3]] = np.where(turned, 1.0, values[at[:, None], [1, 3]])
    columns = ["radiation_arm", "radiation_arm_p", "chemotherapy_arm", "chemotherapy_arm_p"]
    out = pd.DataFrame(values, events.index, columns)
    beyond = (out.radiation_arm_p < 0.05) & (out.chemotherapy_arm_p < 0.05)
    return out.assign(beyond_arm=beyond.astype(object).where(out.radiation_arm.notna(), None))
