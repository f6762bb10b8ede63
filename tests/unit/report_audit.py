"""A made-up audit for the tests of the report: numbers by code, verdicts and sentences by the audit's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.artifacts import write_table
from crossres_ml.audit.controls import CONTROL_COLUMNS, Gate
from crossres_ml.audit.evidence import row
from crossres_ml.audit.heterogeneity import pool
from crossres_ml.audit.mechanisms import UNITS
from crossres_ml.audit.run import Audit
from crossres_ml.audit.save import write_audit
from crossres_ml.audit.verdicts import decide
from crossres_ml.audit.words import sentence
from crossres_ml.report.audit_summary import AuditSummary, summarise_audit

DRAWS = 99
GENES = {"TP53": "driver:TP53", "RAD51": "rna:RAD51", "ERCC1": "rna:ERCC1"}
"""Named genes that were measured; BIRC5 was not."""
SIDES = ("radiation", "chemotherapy")
REASONS = ("nutlin-3 and TP53 mutation: not recovered (ctrp:Nutlin-3: partial r +0.01)",)
EFFECTS = {  # claim: title, effect, n, mde, q, fully adjusted effect and p, q of SHAP
    "C01": ("TP53 loss", 0.3, 500, 0.12, 0.001, 0.2, 0.001, 0.01),
    "C02": ("MDM2 amplification", 0.25, 480, 0.13, 0.01, 0.02, 0.7, 0.5),
    "C03": ("Homologous recombination", -0.2, 470, 0.13, 0.01, -0.05, 0.2, 0.5),
    "C08": ("RAD51", 0.01, 480, 0.13, 0.9, 0.01, 0.9, 0.9),
    "C09": ("A long title, with many words: ERCC1", 0.05, 199, 0.2, 0.6, 0.01, 0.9, 0.9),
    "C15": ("miR-451 loss", np.nan, 0, np.nan, np.nan, np.nan, np.nan, np.nan),
}
OTHERS = {"C14": "mediation", "C19": "single_against_pathways", "C20": "heterogeneity", "C21": "drug_classes"}


def _verdicts(*, gate_open: bool, planted: bool) -> pd.DataFrame:
    rows = []
    for claim, (title, effect, n, mde, q, full, full_p, shap_q) in EFFECTS.items():
        for outcome in (*SIDES, "both", *(("platinum",) if claim == "C09" else ())):
            numbers = {
                "effect": effect,
                "low": effect - 0.08,
                "high": effect + 0.08,
                "q": q,
                "p": q,
                "mde": mde,
            }
            more = {"full": full, "full_p": full_p, "n": n, "smallest": 0.15}
            about = row(claim=claim, outcome=outcome, label=f"{title}, measured", unit="partial r",
                        claimed=not (claim == "C02" and outcome != "chemotherapy"))  # fmt: skip
            rows.append(about | numbers | more | {"title": title, "shap_q": shap_q, "shap_p": shap_q})
    for i, (claim, kind) in enumerate(OTHERS.items()):
        for outcome in (*SIDES, "both"):
            numbers = {"effect": 0.4, "low": 0.2, "high": 0.6, "q": 0.045, "p": 0.04, "p_error": 0.006}
            more = {"full": 0.3, "full_p": 0.01, "n": 500, "mde": 0.1 * (i + 1), "smallest": 0.05}
            about = row(claim=claim, outcome=outcome, label=kind, unit=UNITS[kind])
            rows.append(
                about | numbers | more | {"title": f"Mechanism {i}", "shap_q": np.nan, "shap_p": np.nan}
            )
    return pd.DataFrame([_judged(r, gate_open=gate_open, planted=planted) for r in rows])


def _judged(record: dict[str, Any], *, gate_open: bool, planted: bool) -> dict[str, Any]:
    record |= {
        "shap_p_error": 0.0,
        "linear_group_p": 0.2,
        "reason": "No miRNA is public." if record["claim"] == "C15" else "",
    }
    found = decide(record, gate_open=gate_open)
    record |= {"verdict": found.word, "weak": found.weak}
    record |= {"top_driver": found.top_driver, "borderline": found.borderline}
    record |= {"driver_borderline": found.driver_borderline}
    record |= {"planted": "+0.60, +0.60 (both)" if record["claim"] == "C01" else "nothing"} if planted else {}
    return record | {"sentence": sentence(record)}


def _genes(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    named, nulls, swarm = [], [], []
    for i, (gene, feature) in enumerate(GENES.items()):
        for outcome in (*SIDES, "both"):
            named.append({
                "gene": gene, "outcome": outcome, "measurement": feature, "p": 0.01 + 0.3 * i,
                "p_error": 0.01, "q": 0.03 + 0.3 * i, "group_shap": 0.05, "members": 1 + i,
                "linear_group_p": 0.3, "linear_p": 0.2, "linear_rank": 7.0, "linear_of": 90,
                "champion_rank": 8.5 if i else np.nan, "champion_of": 1200.0,
            })  # fmt: skip
        for outcome in SIDES:
            drawn = np.append(rng.gamma(2, 0.01, DRAWS), 0.05)
            about = {"outcome": outcome, "group": f"gene {gene}", "draw": [*range(DRAWS), -1]}
            nulls.append(pd.DataFrame({**about, "group_shap": drawn}))
    features = [
        *(f"rna:FEATURE{i}" for i in range(14)),
        "rppa:A very long antibody name, phosphorylated_Caution",
    ]
    known = {f: g for g, f in GENES.items()}
    for outcome in SIDES:
        for i, feature in enumerate([*features, *GENES.values()]):
            value = np.where(rng.random(80) < 0.3, 0.0, rng.normal(size=80))
            shap = value * rng.normal() / (i + 1) if i % 4 else np.zeros(80)
            about = {
                "feature": feature,
                "gene": known.get(feature, ""),
                "rank": i + 1 + 50.5 * (i > 14),
                "of": 430,
            }
            table = {"model_id": [f"ACH-{j:06d}" for j in range(80)], **about, "value": value, "shap": shap}
            swarm.append(pd.DataFrame(table).assign(outcome=outcome))
    return tuple(
        pd.DataFrame(x) if x is named else pd.concat(x, ignore_index=True) for x in (named, nulls, swarm)
    )  # type: ignore[return-value]


def _controls() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    shown = {"n": 500, "effect": 0.4, "low": 0.3, "high": 0.5, "p": 1e-9, "rank_association": 1.0,
             "rank_shap": 12.5, "of": 18519, "recovered": True, "gate": True, "reason": ""}  # fmt: skip
    missed = {
        "effect": 0.01,
        "low": -0.1,
        "high": 0.12,
        "p": 0.8,
        "rank_association": 9039.0,
        "recovered": False,
    }
    absent = {"control": "c", "label": "a drug that is not here", "drug": "gdsc1:None", "gate": True,
              "reason": "no such drug in these data"}  # fmt: skip
    rows = [
        {"control": "a", "label": "nutlin-3 and TP53 mutation", "drug": "ctrp:Nutlin-3", **shown},
        {"control": "b", "label": "vincristine and ABCB1 mRNA", "drug": "ctrp:vincristine", **shown, **missed,
         "gate": False},
        absent,
    ]  # fmt: skip
    null = [
        {"control": "y", "label": "radiation and Y-linked genes", "outcome": "radiation", "n": 199,
         "effect": 0.01, "low": -0.1, "high": 0.1, "p": 0.8, "quiet": True},
        {"control": "z", "label": "radiation and nothing", "outcome": "radiation", "n": 0, "quiet": None},
    ]  # fmt: skip
    negative = [
        {"outcome": o, "method": m, "false_positives": 0.051, "confounded": 0.058, "tissue_feature": 0.04,
         "inflation": 0.98}
        for o in ("permuted", "tissue only") for m in ("association", "linear SHAP")
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(CONTROL_COLUMNS)), pd.DataFrame(null), pd.DataFrame(negative)


def _lineages(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    tables, pooled = [], []
    names = ["Lung", "Esophagus/Stomach", "Peripheral Nervous System", "Bone"]
    for outcome in SIDES:
        for claim in EFFECTS:
            own = names[:1] if claim == "C09" else names
            r = rng.uniform(-0.7, 0.7, len(own))
            n = np.array([97, 43, 9, 11])[: len(own)]
            table = pd.DataFrame({
                "lineage": own, "n": n, "carriers": np.nan, "r": r, "low": r - 0.3, "high": r + 0.3,
                "z": np.arctanh(r), "variance": 1 / (n - 3), "note": "",
            })  # fmt: skip
            tables.append(table.assign(claim=claim, outcome=outcome))
            pooled.append({"claim": claim, "outcome": outcome, **pool(table)})
    return pd.concat(tables, ignore_index=True), pd.DataFrame(pooled)


def make_audit(folder: Path, *, gate_open: bool = True, planted: bool = True) -> AuditSummary:
    """Write every table of an audit, and give its summary."""
    rng = np.random.default_rng(4)
    verdicts = _verdicts(gate_open=gate_open, planted=planted)
    named, nulls, swarm = _genes(rng)
    controls, null, negative = _controls()
    lineages, pooled = _lineages(rng)
    gate = Gate(gate_open, () if gate_open else REASONS)
    empty = pd.DataFrame({"nothing": [0]})
    audit = Audit(verdicts, empty, named, empty, controls, negative, null, gate, nulls, swarm, empty,
                  lineages, pooled, {})  # fmt: skip
    write_audit(audit, folder, {"kind": "simulated"})
    write_table(folder / "evidence.csv", empty)
    return summarise_audit(verdicts, controls, gate.reasons, "f" * 64, DRAWS)
