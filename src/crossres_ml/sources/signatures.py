"""Scores that others computed from the public profiles: arm-level aneuploidy, HRD, PROGENy pathways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from crossres_ml.errors import SchemaError, preview
from crossres_ml.sources.reading import pick, read_text, to_numbers
from crossres_ml.sources.schema import MODEL_ID, Matrix, Table

_SCORES = {
    "DepMap_ID": "model_id",
    "ploidy": "ploidy",
    "arm_Score": "score_arm",
    "bp_Score": "score_bp",
    "bp_ploidy_Score": "score_bp_ploidy",
    "Gene_Score": "score_gene",
    "Gene_ploidy_Score": "score_gene_ploidy",
}
_HRD = ("hrdsum_broad", "hrdsum_sanger_sangerwes", "hrdsum_sanger_broadwes", "hrdsum_summary")


def _aneuploidy(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Read calls per chromosome arm against the line's ploidy, then ploidy and summary scores.

    Acrocentric chromosomes (13-15, 21, 22) have a long arm only. The scores' file ends its lines with a
    carriage return alone.
    """
    path = paths["aneuploidy_arm_calls"]
    calls = pd.read_csv(path, dtype={"chrom": "str"})
    calls["arm"] = "arm_" + calls.chrom + calls.arm
    if (twice := calls[calls.duplicated(["DepMap_ID", "arm"])]).size:
        raise SchemaError(f"two calls for {preview(twice.DepMap_ID + ' ' + twice.arm)}", where=str(path))
    arms = calls.pivot(index="DepMap_ID", columns="arm", values="arm_call")  # noqa: PD010 - checked above
    arms = arms[list(dict.fromkeys(calls.arm))].rename_axis(columns=None)
    path = paths["aneuploidy_scores"]
    scores = pick(read_text(path, lineterminator="\r"), _SCORES, path)
    scores = to_numbers(scores, list(_SCORES.values())[1:], path).set_index("model_id")
    return arms.join(scores, how="left")


def _hrd(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Homologous-recombination deficiency: sums of LOH, TAI and LST from three pipelines and a summary.

    Seven lines have no DepMap id in the file and are left out.
    """
    path = paths["hrd_scores"]
    table = read_text(path, encoding="utf-8-sig")
    table = pick(table, {"DepMap_ID": "model_id", **{c: c for c in _HRD}}, path)
    return to_numbers(table[table.model_id.notna()], _HRD, path).set_index("model_id")


def _progeny(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Activities of 14 pathways; the file has pathways in rows.

    They were computed on expression that was not centred per gene: compare a pathway between lines,
    never pathways within a line.
    """
    return pd.read_csv(paths["progeny_ulm"], index_col=0).T.rename_axis(columns=None)


TABLES = (
    Table(
        "aneuploidy",
        ("aneuploidy_arm_calls", "aneuploidy_scores"),
        _aneuploidy,
        Matrix("model_id", -1, 1e10, "float64", pattern=MODEL_ID),
        "arms -1 loss, 0, 1 gain against ploidy; score_bp in base pairs, score_gene in genes",
        "chromosome-arm calls of Cohen-Sharir et al. 2021 with scores of Schukken and Sheltzer",
    ),
    Table(
        "hrd_scores",
        ("hrd_scores",),
        _hrd,
        Matrix("model_id", 0, 150, "float64", missing=True, pattern=MODEL_ID),
        "sum of LOH, TAI and LST counts",
        "homologous-recombination deficiency scores",
    ),
    Table(
        "progeny",
        ("progeny_ulm",),
        _progeny,
        Matrix("model_id", -60, 60, pattern=MODEL_ID),
        "t value of a univariate linear model",
        "PROGENy pathway activities of DepMap expression",
    ),
)
