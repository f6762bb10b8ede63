"""The section of ``summary.json`` that tells the verdicts on the claims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A part of the summary: read-only, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClaimVerdict(Strict):
    """Verdict of a claim in one outcome, with the numbers that it rests on.

    ``effect`` with its interval, ``q``, ``mde`` (found with 80 % power), in ``unit`` and positive in the
    claimed direction; ``n`` lines; ``shap_p`` calibrated, where the claim is about features; ``planted``:
    what a simulated study hid.
    """

    title: str
    verdict: Literal[
        "supported", "lost after adjustment", "contradicted", "not supported", "underpowered",
        "not measurable", "withheld",
    ]  # fmt: skip
    weak: bool
    top_driver: bool
    borderline: bool
    driver_borderline: bool = False
    claimed: bool
    measurement: str
    unit: str
    effect: float | None
    low: float | None
    high: float | None
    q: float | None
    mde: float | None
    n: int
    shap_p: float | None
    planted: str | None = None
    sentence: str


class ControlResult(Strict):
    """One known association in one screen."""

    drug: str
    effect: float | None
    n: int
    rank_association: float | None
    rank_shap: float | None
    recovered: bool | None
    gate: bool


class AuditSummary(Strict):
    """Verdicts on the claims. ``claims``: id -> outcome -> verdict; ``controls``: id -> screens."""

    claims_hash: str
    draws: int
    gate_open: bool
    gate_reasons: list[str]
    claims: dict[str, dict[Literal["radiation", "chemotherapy", "both", "platinum"], ClaimVerdict]]
    controls: dict[str, list[ControlResult]]


def summarise_audit(
    verdicts: pd.DataFrame, controls: pd.DataFrame, reasons: Sequence[str], claims_hash: str, draws: int
) -> AuditSummary:
    """Nest the tables of an audit.

    Parameters
    ----------
    verdicts, controls : pandas.DataFrame
        As `crossres_ml.audit.run.Audit` has them.
    reasons : sequence of str
        Why the gate is closed; empty when it is open.
    claims_hash : str
        Of the file of claims.
    draws : int
        Permutations.

    Returns
    -------
    AuditSummary
        The section of the summary.
    """
    claims: dict[str, dict[Any, ClaimVerdict]] = {}
    for r in verdicts.to_dict("records"):
        numbers = {k: _known(r[k]) for k in ("effect", "low", "high", "q", "mde", "shap_p")}
        words = {k: r[k] for k in ("title", "verdict", "unit", "sentence")} | {"measurement": r["label"]}
        flags = {k: bool(r[k]) for k in ("weak", "top_driver", "borderline", "claimed", "driver_borderline")}
        n = int(r["n"]) if math.isfinite(r["n"]) else 0
        own = ClaimVerdict.model_validate({**words, **numbers, **flags, "n": n, "planted": r.get("planted")})
        claims.setdefault(r["claim"], {})[r["outcome"]] = own
    screens: dict[str, list[ControlResult]] = {}
    for c in controls.to_dict("records"):
        run = not c["reason"]
        numbers = {k: _known(float(c[k])) for k in ("effect", "rank_association", "rank_shap")}
        own_result = ControlResult.model_validate(
            {**numbers, "drug": c["drug"], "gate": bool(c["gate"]), "n": int(c["n"]) if run else 0,
             "recovered": bool(c["recovered"]) if run else None}
        )  # fmt: skip
        screens.setdefault(c["control"], []).append(own_result)
    return AuditSummary(
        claims_hash=claims_hash,
        draws=draws,
        gate_open=not reasons,
        gate_reasons=list(reasons),
        claims=claims,
        controls=screens,
    )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
