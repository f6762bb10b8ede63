"""The atlas: how far every drug of every screen goes with radiation, in the same lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, pearsonr, rankdata, t

from crossres_ml.audit.adjust import basis, tissue_design, without
from crossres_ml.audit.association import CONFIDENCE, MIN_FREE, POWER, benjamini_hochberg
from crossres_ml.audit.data import FEWEST_LINES
from crossres_ml.audit.drug_classes import leave_one_out_mean
from crossres_ml.errors import CohortError
from crossres_ml.scan.atlas_data import AtlasData
from crossres_ml.scan.drug_names import same_compound
from crossres_ml.scan.odds import exact_odds_ratios

TOP = 2 / 3
"""Resistant: at or above this quantile of the lines that have both measurements."""
PC_SHARE = 0.8
"""The general factor is made of drugs measured in this share of the irradiated lines of a screen."""
KINDS = ("spearman", "tissue", "full")
"""Unadjusted; adjusted for lineage; adjusted for lineage and general sensitivity."""


@dataclass(frozen=True, eq=False)
class Residuals:
    """Ranks of every drug and of radiation in that drug's lines, after one adjustment.

    Attributes
    ----------
    x, y : numpy.ndarray
        Lines x drugs; zero where the drug was not measured.
    observed : numpy.ndarray
        The same shape, bool.
    rank : numpy.ndarray
        Per drug: rank of the design, its intercept included.
    """

    x: np.ndarray
    y: np.ndarray
    observed: np.ndarray
    rank: np.ndarray

    def correlations(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Correlate, also under weights of the lines.

        Parameters
        ----------
        weights : numpy.ndarray, optional
            Draws x lines; all ones by default.

        Returns
        -------
        numpy.ndarray
            Draws x drugs; NaN where nothing varies or too little is left after adjustment.
        """
        w = np.ones((1, len(self.x))) if weights is None else weights
        n, x, y = w @ self.observed, w @ self.x, w @ self.y
        with np.errstate(invalid="ignore", divide="ignore"):
            xy = w @ (self.x * self.y) - x * y / n
            spread = (w @ self.x**2 - x * x / n) * (w @ self.y**2 - y * y / n)
            r = np.where(spread > 1e-6, xy / np.sqrt(np.abs(spread)), np.nan)
        free = self.observed.sum(axis=0) - self.rank - 1 >= MIN_FREE
        return np.where(free, r, np.nan)


@dataclass(frozen=True, eq=False)
class Atlas:
    """What `make_atlas` found.

    Attributes
    ----------
    table : pandas.DataFrame
        Index: measurements, all drugs of all screens. Of the description: drug, dataset, genotoxic,
        panel, other_names, targets, mechanism, drug_class. Counts: n (lines), patients (groups of
        relatives). With radiation: pearson, spearman, tissue, full, each with low, high, p; q of the last
        two; mde (smallest tissue-adjusted correlation found with 80 % power). both_top (lines in both top
        thirds), odds, odds_low, odds_high. concordance, concordance_n, concordance_with. note.
    pairs : pandas.DataFrame
        Measurements of one compound in two screens: a, b, n, rho, low, high, over all lines.
    residuals : dict
        Dataset -> kind -> Residuals.
    factor : dict
        The general factor of CTRPv2: pearson with its interval, spearman, n, drugs, share of the variance.
    """

    table: pd.DataFrame
    pairs: pd.DataFrame
    residuals: dict[str, dict[str, Residuals]]
    factor: dict[str, float]


def make_atlas(data: AtlasData) -> Atlas:
    """Measure how far drugs go with radiation.

    Intervals and p-values count patients, not lines: relatives are no independent observations, and
    taking a group for one is the careful side. A drug is ranked in the lines that it shares with
    radiation; lineage (those under five lines pooled) and the rank of general sensitivity are taken out of
    both ranks (partial Spearman). General sensitivity is the mean z of the drugs of the same screen that
    are not genotoxic, the drug itself left out.

    Parameters
    ----------
    data : AtlasData
        Radiation and screens.

    Returns
    -------
    Atlas
        Every drug has a row; one that cannot be measured has NaN and a note that says why.

    Raises
    ------
    CohortError
        If fewer than `FEWEST_LINES` lines were irradiated, or they do not differ.
    """
    y = data.radiation
    if len(y) < FEWEST_LINES or y.nunique() < 3:
        raise CohortError(
            f"{len(y)} irradiated lines, {y.nunique()} different values; {FEWEST_LINES} are needed",
            where="table radiation",
            do="check that the tables were found: crossres data status",
        )
    parts, residuals = [], {}
    for name, screen in data.screens.items():
        own = screen.reindex(y.index)
        info = data.info[data.info.dataset == name]
        values = own[info.drug].to_numpy(dtype=float)
        rows, residuals[name] = _measure(values, info.genotoxic.to_numpy(dtype=bool), data)
        parts.append(info.join(rows.set_index(info.index)))
    table = pd.concat(parts)
    pairs = concordance(data)
    for number, column in _best_partner(pairs).items():
        table[number] = column.reindex(table.index)
    return Atlas(table, pairs, residuals, general_factor(data))


def _measure(
    values: np.ndarray, genotoxic: np.ndarray, data: AtlasData
) -> tuple[pd.DataFrame, dict[str, Residuals]]:
    """All numbers of one screen."""
    y, groups = data.radiation.to_numpy(), data.lines.group.to_numpy()
    observed = np.isfinite(values)
    n = observed.sum(axis=0)
    patients = np.array([len(np.unique(groups[o])) for o in observed.T])
    varied = np.array([np.unique(v[o]).size > 2 for v, o in zip(values.T, observed.T, strict=True)])
    able = (patients >= FEWEST_LINES) & varied
    values = np.where(able, values, np.nan)
    general = np.full(values.shape, np.nan)
    general[:, able] = leave_one_out_mean(values[:, able], ~genotoxic[able])
    found = {k: residual_ranks(values, y, *d) for k, d in _designs(data, general).items()}
    out = pd.DataFrame({"n": n, "patients": patients})
    out["pearson"] = [pearsonr(v[o], y[o])[0] if a else np.nan for v, o, a in _each(values, observed, able)]
    _describe(out, "pearson", np.ones(len(n)), ranked=False)
    for kind in KINDS:
        out[kind] = found[kind].correlations()[0]
        _describe(out, kind, found[kind].rank)
        if kind != "spearman":
            out[f"{kind}_q"] = benjamini_hochberg(out[f"{kind}_p"].to_numpy())
    out["note"] = [_note(*v) for v in zip(patients, varied, *(out[k].notna() for k in KINDS), strict=True)]
    out["mde"] = _detectable(out.patients - found["tissue"].rank).where(out.tissue.notna())
    return out.join(_top_thirds(values, y, able)), found


def _each(values: np.ndarray, observed: np.ndarray, able: np.ndarray):  # type: ignore[no-untyped-def]
    return zip(values.T, observed.T, able, strict=True)


def _note(patients: int, varied: bool, raw: bool, tissue: bool, full: bool) -> str:
    """Why a number is missing; empty where none is."""
    if patients < FEWEST_LINES:
        return f"screened on {patients} irradiated patients; {FEWEST_LINES} are needed"
    if not varied or not raw:
        return "the same in all lines"
    if not tissue:
        return "too few lines to adjust for lineage"
    return "" if full else "too few other drugs or lines to adjust for general sensitivity"


def _designs(data: AtlasData, general: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    tissue = tissue_design(data.lines.lineage)
    return {
        "spearman": (np.ones((len(tissue), 1)), None),
        "tissue": (tissue, None),
        "full": (tissue, general),
    }


def residual_ranks(
    values: np.ndarray, y: np.ndarray, design: np.ndarray, general: np.ndarray | None = None
) -> Residuals:
    """Rank each drug and the outcome in the drug's lines, and take a design out of both.

    Parameters
    ----------
    values : numpy.ndarray
        Lines x drugs, NaN where not measured.
    y : numpy.ndarray
        Outcome of the lines.
    design : numpy.ndarray
        Lines x columns, an intercept contained.
    general : numpy.ndarray, optional
        Lines x drugs: a covariate of each drug's own; its rank is taken out too. Where a line lacks it the
        mean rank stands in. A drug without it at all is not measured.

    Returns
    -------
    Residuals
        Zeros and rank 0 for a drug without lines.
    """
    observed = np.isfinite(values)
    x_out, y_out = np.zeros(values.shape), np.zeros(values.shape)
    rank = np.zeros(values.shape[1], dtype=int)
    for j, lines in enumerate(observed.T):
        if not lines.any():
            continue
        own = design[lines]
        if general is not None:
            g = general[lines, j]
            known = np.isfinite(g)
            if not known.any():
                observed[:, j] = False
                continue
            filled = np.full(len(g), (known.sum() + 1) / 2)
            filled[known] = rankdata(g[known])
            own = np.column_stack([own, (filled - filled.mean()) / max(filled.std(), 1e-12)])
        q = basis(own)
        both = np.column_stack([rankdata(values[lines, j]), rankdata(y[lines])])
        both = without(both, q)
        rank[j] = q.shape[1]
        x_out[lines, j], y_out[lines, j] = both.T
    return Residuals(x_out, y_out, observed, rank)


def _describe(out: pd.DataFrame, name: str, rank: np.ndarray, *, ranked: bool = True) -> None:
    """Add interval and p-value of a correlation; patients are what is counted."""
    low, high, p = describe(out[name].to_numpy(), out.patients.to_numpy(), rank, ranked=ranked)
    out[f"{name}_low"], out[f"{name}_high"], out[f"{name}_p"] = low, high, p


def describe(
    r: np.ndarray, n: np.ndarray, rank: np.ndarray, *, ranked: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interval and two-sided p-value of (partial) correlations.

    Fisher's z with variance 1 / (n - rank - 2); for ranks times 1 + r^2/2 (Bonett and Wright 2000,
    Psychometrika 65:23). p is that of t = r sqrt(df / (1 - r^2)), df = n - rank - 1.

    Parameters
    ----------
    r, n, rank : numpy.ndarray
        Correlations, independent observations, and rank of the design with its intercept.
    ranked : bool
        Whether these are correlations of ranks.

    Returns
    -------
    low, high, p : numpy.ndarray
        NaN where r is.
    """
    r = np.clip(r, -1 + 1e-12, 1 - 1e-12)
    df = np.where(np.isfinite(r), n - rank - 1, np.nan)
    se = np.sqrt((1 + r**2 / 2 if ranked else 1.0) / (df - 1))
    wide = norm.ppf(0.5 + CONFIDENCE / 2) * se
    z = np.arctanh(r)
    return np.tanh(z - wide), np.tanh(z + wide), 2 * t.sf(np.abs(r) * np.sqrt(df / (1 - r**2)), df)


def _detectable(free: pd.Series) -> pd.Series:
    """Smallest correlation that a two-sided 5 % test finds with 80 % power."""
    z = norm.ppf(0.5 + CONFIDENCE / 2) + norm.ppf(POWER)
    return pd.Series(np.tanh(z / np.sqrt(np.maximum(free - 2, 1))), free.index)


def _top_thirds(values: np.ndarray, y: np.ndarray, able: np.ndarray) -> pd.DataFrame:
    """Odds ratio of being in the top third of a drug for lines in the top third of radiation."""
    counts = np.zeros((values.shape[1], 4), dtype=int)
    for j in np.flatnonzero(able):
        lines = np.isfinite(values[:, j])
        x, z = values[lines, j], y[lines]
        drug, rays = x >= np.quantile(x, TOP), z >= np.quantile(z, TOP)
        counts[j] = (drug & rays).sum(), drug.sum(), rays.sum(), len(x)
    ratio, low, high = exact_odds_ratios(*counts.T)
    columns = {"both_top": counts[:, 0], "odds": ratio, "odds_low": low, "odds_high": high}
    return pd.DataFrame(columns).where(pd.Series(able), axis=0)


def concordance(data: AtlasData) -> pd.DataFrame:
    """Correlate measurements of one compound in two screens, over all lines of both.

    Parameters
    ----------
    data : AtlasData
        The screens.

    Returns
    -------
    pandas.DataFrame
        a, b, n, rho (Spearman), low, high; NaN with fewer than `FEWEST_LINES` lines.
    """
    rows = []
    for a, b in same_compound(data.info).itertuples(index=False):
        x, y = (data.screens[data.info.dataset[m]][data.info.drug[m]].dropna() for m in (a, b))
        both = x.index.intersection(y.index)
        x, y = x[both], y[both]
        able = len(both) >= FEWEST_LINES and min(x.nunique(), y.nunique()) > 2
        rho = pearsonr(rankdata(x), rankdata(y))[0] if able else np.nan
        rows.append((a, b, len(both), float(rho)))
    out = pd.DataFrame(rows, columns=["a", "b", "n", "rho"])
    if len(out):
        out["low"], out["high"], _ = describe(
            out.rho.to_numpy(), out.n.to_numpy(), np.ones(len(out)), ranked=True
        )
    return out


def _best_partner(pairs: pd.DataFrame) -> dict[str, pd.Series]:
    """For each measurement the pair with most lines; CTRPv2 against GDSC before GDSC1 against GDSC2."""
    turned = pairs.rename(columns={"a": "b", "b": "a"})
    both = pd.concat([pairs, turned])
    both["across"] = both.a.str.startswith("ctrp:") | both.b.str.startswith("ctrp:")
    best = both.sort_values(["across", "n"], ascending=False, kind="stable").drop_duplicates("a")
    best = best.set_index("a")
    return {"concordance": best.rho, "concordance_n": best.n, "concordance_with": best.b}


def general_factor(data: AtlasData, dataset: str = "ctrp", share: float = PC_SHARE) -> dict[str, float]:
    """Correlate the first principal component of a screen with radiation.

    Parameters
    ----------
    data : AtlasData
        Radiation and screens.
    dataset : str, default 'ctrp'
        The screen.
    share : float, default `PC_SHARE`
        Drugs measured in this share of the irradiated lines take part, as z; a missing value is the mean.

    Returns
    -------
    dict of str to float
        pearson, low, high, spearman, n, drugs, variance (its share); turned so that higher is more
        resistant.
    """
    screen = data.screens[dataset]
    lines = data.radiation.index.intersection(screen.dropna(how="all").index)
    own = screen.loc[lines]
    own = own.loc[:, (own.notna().mean() >= share) & (own.nunique() > 2)]
    z = ((own - own.mean()) / own.std()).fillna(0.0).to_numpy()
    z = z - z.mean(axis=0)
    u, s, _ = np.linalg.svd(z, full_matrices=False)
    scores = u[:, 0] * np.sign(u[:, 0] @ z.mean(axis=1))
    y = data.radiation[lines].to_numpy()
    r = float(pearsonr(scores, y)[0])
    patients = data.lines.group[lines].nunique()
    low, high, _ = (
        float(v[0]) for v in describe(np.array([r]), np.array([patients]), np.ones(1), ranked=False)
    )
    rho = float(pearsonr(rankdata(scores), rankdata(y))[0])
    variance = float(s[0] ** 2 / (s**2).sum())
    counts = {"n": len(lines), "patients": patients, "drugs": own.shape[1], "variance": variance}
    return {"pearson": r, "low": low, "high": high, "spearman": rho} | counts
