"""The table of verdicts, and that of the named genes: evidence, calibrated SHAP and ranks side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.audit.claims import OUTCOMES, Claim, Claims
from crossres_ml.audit.data import MODALITIES
from crossres_ml.audit.drivers import Drivers
from crossres_ml.audit.evidence import PARTIAL_R, row
from crossres_ml.audit.matrix import GENE
from crossres_ml.audit.mechanisms import UNITS
from crossres_ml.audit.verdicts import decide
from crossres_ml.audit.words import sentence

TASK_OF = {"radiation": "radiation", "chemotherapy": "chemotherapy", "both": "cross"}
_SHAP = (
    "shap", "shap_p", "shap_p_error", "shap_q", "linear_p", "linear_q", "linear_rank", "linear_of",
    "linear_group_p",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Found:
    """What stands beside the evidence of a claim.

    Attributes
    ----------
    chosen : mapping
        Outcome -> claim -> column id that decides.
    drivers : mapping
        Outcome -> calibrated SHAP.
    champion : mapping of str to pandas.DataFrame
        Task -> ranks of the champion model on held-out lines.
    matched : mapping
        (claim, outcome) -> percentile among random features that look alike, and their number.
    planted : pandas.DataFrame or None
        The truth of a simulated study.
    gate_open : bool
        Whether the controls passed.
    """

    chosen: Mapping[Any, Mapping[str, str]]
    drivers: Mapping[Any, Drivers]
    champion: Mapping[str, pd.DataFrame]
    matched: Mapping[tuple[str, str], tuple[float, int]]
    planted: pd.DataFrame | None
    gate_open: bool

    def decisive(self, claim: str, outcome: str) -> str | None:
        """Column id that decides a claim; for both, that of radiation."""
        return self.chosen.get("radiation" if outcome == "both" else outcome, {}).get(claim)


def outcomes_of(claim: Claim) -> tuple[str, ...]:
    """Outcomes that a claim is held against."""
    return (*OUTCOMES, *(("platinum",) if claim.platinum else ()))


def verdict_table(claims: Claims, evidence: pd.DataFrame, found: Found) -> pd.DataFrame:
    """Judge every claim in every outcome.

    Parameters
    ----------
    claims : Claims
        The claims.
    evidence : pandas.DataFrame
        With ``q`` and ``decides``.
    found : Found
        What stands beside it.

    Returns
    -------
    pandas.DataFrame
        One row a claim and outcome: the row of evidence that decides, calibrated SHAP (shap: mean absolute
        group value; linear: of the deciding measurement), matched_percentile, champion_rank, planted (in a
        simulated study), verdict, weak, borderline, top_driver,
        driver_borderline, sentence.
    """
    decisive = evidence[evidence.decides].drop_duplicates(["claim", "outcome"])
    records: list[dict[Any, Any]] = decisive.to_dict("records")
    by = {(r["claim"], r["outcome"]): r for r in records}
    rows = []
    for claim in claims.claims:
        for outcome in outcomes_of(claim):
            percentile, number = found.matched.get((claim.id, outcome), (np.nan, 0))
            record = {
                "title": claim.title, "statement": claim.statement, "reason": claim.reason,
                **(by.get((claim.id, outcome)) or _nothing(claim, outcome)),
                **calibrated(found, claim.id, outcome),
                "matched_percentile": percentile, "matched_features": number,
                **_champion_rank(found, claim, outcome), **_truth(found.planted, claim, outcome),
            }  # fmt: skip
            verdict = decide(record, gate_open=found.gate_open)
            record |= {"verdict": verdict.word, "weak": verdict.weak}
            record |= {"top_driver": verdict.top_driver, "driver_borderline": verdict.driver_borderline}
            record["borderline"] = verdict.borderline
            rows.append(record | {"sentence": sentence(record)})
    return pd.DataFrame(rows)


def _nothing(claim: Claim, outcome: str) -> dict[str, Any]:
    asked = [m for m in (MODALITIES if outcome == "both" else (outcome,)) if m in MODALITIES]
    claimed = all(m in claim.claimed for m in asked)
    unit = UNITS.get(claim.kind, PARTIAL_R)
    return row(claim=claim.id, outcome=outcome, unit=unit, claimed=claimed, proxy=claim.proxy) | {
        "q": np.nan,
        "q_near": False,
    }


def calibrated(found: Found, claim: str, outcome: str) -> dict[str, float]:
    """Look up the SHAP of a claim; for both, the larger p of the two (intersection-union).

    Parameters
    ----------
    found : Found
        Holds the drivers.
    claim : str
        Its id.
    outcome : str
        Outcome.

    Returns
    -------
    dict
        shap, shap_p, shap_p_error, shap_q, linear_p, linear_q, linear_rank, linear_of; NaN where the claim
        is not about features.
    """
    parts = []
    for m in MODALITIES if outcome == "both" else (outcome,):
        column, own = found.chosen.get(m, {}).get(claim), found.drivers.get(m)
        if own is None or claim not in own.groups.index or column not in own.features.index:
            return dict.fromkeys(_SHAP, np.nan)
        g, f = own.groups.loc[claim], own.features.loc[column]
        numbers: tuple[Any, ...] = (
            g.group_shap, g.p, g.p_error, g.q, f.p, f.q, f["rank"], f.of, g.linear_group_p,
        )  # fmt: skip
        parts.append(dict(zip(_SHAP, (float(x) for x in numbers), strict=True)))
    weaker, linear = (max(parts, key=lambda x: x[k]) for k in ("shap_p", "linear_p"))
    out = {k: (linear if k.startswith("linear") else weaker)[k] for k in _SHAP}
    return out | {k: max(x[k] for x in parts) for k in ("shap_q", "linear_q", "linear_group_p")}


def _champion_rank(found: Found, claim: Claim, outcome: str) -> dict[str, Any]:
    """Best rank of the claim's own features in the champion model on held-out lines: description."""
    ranks = found.champion.get(TASK_OF.get(outcome, ""))
    column = found.decisive(claim.id, outcome)
    own = [m.plain_features for m in claim.measurements if column == f"{claim.id}/{m.id}@{claim.scopes[0]}"]
    known = ranks.loc[ranks.index.isin(own[0])] if ranks is not None and own else None
    if ranks is None or known is None or not len(known):
        return {"champion_rank": np.nan, "champion_of": np.nan, "champion_feature": ""}
    best = str(known["rank"].idxmin())
    return {"champion_rank": known["rank"][best], "champion_of": ranks.of.iloc[0], "champion_feature": best}


def _truth(planted: pd.DataFrame | None, claim: Claim, outcome: str) -> dict[str, str]:
    """Say what was planted, where a study is simulated."""
    if planted is None:
        return {}
    own = [f for m in claim.measurements for f in m.plain_features if f in planted.index]
    if outcome == "platinum" or not own:
        return {"planted": "nothing" if claim.measurements else ""}
    effects = planted.loc[own[0], list(MODALITIES)].astype(float)
    told = effects if outcome == "both" else effects[[outcome]]
    return {"planted": ", ".join(f"{v:+.2f}" for v in told) + f" ({planted.role[own[0]]})"}


def named_table(found: Found, members: Mapping[str, list[str]]) -> pd.DataFrame:
    """Show the named genes in every outcome.

    Parameters
    ----------
    found : Found
        Drivers and champion.
    members : mapping of str to list of str
        ``gene <name>`` -> its measurement; other groups are passed over.

    Returns
    -------
    pandas.DataFrame
        gene, outcome, measurement, p (calibrated, of the group of trees' SHAP), p_error, q (over the genes),
        group_shap, members, linear_group_p, linear_p, linear_rank, linear_of, champion_rank,
        champion_of; for both, the larger p of the two.
    """
    rows = []
    for group in (g for g in members if g.startswith(GENE)):
        feature = members[group][0]
        for outcome in OUTCOMES:
            parts = [found.drivers[m] for m in (MODALITIES if outcome == "both" else (outcome,))]
            if any(group not in d.groups.index or feature not in d.features.index for d in parts):
                continue
            g = max((d.groups.loc[group] for d in parts), key=lambda x: x.p)
            f = max((d.features.loc[feature] for d in parts), key=lambda x: x.p)
            own: dict[str, Any] = {
                "gene": group.removeprefix(GENE),
                "outcome": outcome,
                "measurement": feature,
            }
            own |= {k: g[k] for k in ("p", "p_error", "group_shap", "members")}
            own |= {k: max(d.groups[k][group] for d in parts) for k in ("q", "linear_group_p")}
            own["linear_p"] = f.p
            own |= {"linear_rank": f["rank"], "linear_of": f.of}
            ranks = found.champion.get(TASK_OF[outcome])
            known = ranks is not None and feature in ranks.index
            own["champion_rank"] = ranks["rank"][feature] if ranks is not None and known else np.nan
            own["champion_of"] = ranks.of.iloc[0] if ranks is not None and known else np.nan
            rows.append(own)
    return pd.DataFrame(rows)
