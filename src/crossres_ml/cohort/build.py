"""Tables of the publishers -> the Cohort."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

import pandas as pd

from crossres_ml.cohort.blocks import build_blocks
from crossres_ml.cohort.cohort import DRUG_RESPONSE, ENTERED_BY, RESPONSES, Cohort
from crossres_ml.cohort.context import Context
from crossres_ml.cohort.drugs import (
    GDSC_DATASETS,
    describe_drugs,
    drug_matrix,
    general_sensitivity,
    panel_drugs,
    panel_response,
    widen,
)
from crossres_ml.config import Panels
from crossres_ml.errors import CohortError, preview
from crossres_ml.identity.aliases import Aliases, aliases_of, collect_names
from crossres_ml.identity.relatives import assign_groups, find_relatives

log = logging.getLogger(__name__)
NEEDED = ("depmap_models", "radiation", "ctrp_auc")


def _attach_names(context: Context, table: str) -> pd.DataFrame:
    """Give a long response table a ``model_id`` resolved from its ``cell_line``."""
    rows = context.tables[table]
    names = pd.Series(rows.cell_line.unique())
    ids = pd.Series(context.resolve(table, names).to_numpy(), index=names)
    return rows.assign(model_id=rows.cell_line.map(ids))


def _attach_any_id(context: Context, datasets: set[str]) -> pd.DataFrame:
    """GDSC tables name lines in four ways: the most exact identifier that resolves decides."""
    rows = context.tables["gdsc_response"]
    rows = rows[rows.dataset.isin(datasets)]
    cosmic = pd.to_numeric(rows.cosmic_id, errors="coerce").astype("Int64").astype("string")
    found = rows.model_id.astype("string")
    found = found.fillna(rows.sanger_model_id.astype("string").map(context.aliases.sanger))
    found = found.fillna(cosmic.map(context.aliases.cosmic))
    open_ = pd.Series(rows.cell_line[found.isna()].dropna().unique())
    if len(open_):
        ids = pd.Series(context.resolve("gdsc_response", open_).to_numpy(), index=open_)
        found = found.fillna(rows.cell_line.map(ids).astype("string"))
    return rows.assign(model_id=found).dropna(subset="model_id")


def _radiation(context: Context) -> pd.DataFrame:
    """Responses of the radiation screen; alpha is damage per Gy, so its negative is resistance."""
    rows = _attach_names(context, "radiation").dropna(subset="model_id").set_index("model_id")
    alpha = (-rows.alpha_per_gy).where(rows.lq_qc.astype(bool))
    return pd.DataFrame({"radiation": rows.auc, "sf2": rows.sf2, "lq_alpha": alpha})


def _responses(context: Context, panels: Panels) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Responses of all lines that have one of `ENTERED_BY`, and the drug screens behind them."""
    ctrp = _attach_names(context, "ctrp_auc").dropna(subset="model_id")
    screens = {"ctrp": widen(ctrp, "auc")}
    chemo = panel_drugs(ctrp, panels.chemotherapy)
    made = {
        "chemotherapy": panel_response(chemo, panels.chemotherapy),
        "general_sensitivity": general_sensitivity(screens["ctrp"], panels.chemotherapy),
    }
    platinum = pd.DataFrame(columns=list(panels.platinum.drugs), dtype=float)
    if "gdsc_response" in context.tables:
        wanted = {*GDSC_DATASETS.values(), *panels.chemotherapy_gdsc.datasets, *panels.platinum.datasets}
        gdsc = _attach_any_id(context, wanted)
        screens |= {n: widen(gdsc[gdsc.dataset == d], "ln_ic50") for n, d in GDSC_DATASETS.items()}
        platinum = panel_drugs(gdsc, panels.platinum)
        panel = panels.chemotherapy_gdsc
        made["chemotherapy_gdsc"] = panel_response(panel_drugs(gdsc, panel), panel)
        made["platinum"] = panel_response(platinum, panels.platinum)
    out = pd.concat([_radiation(context), pd.DataFrame(made)], axis=1).reindex(columns=list(RESPONSES))
    single = pd.concat([chemo, platinum], axis=1).sort_index(axis=1).add_prefix(DRUG_RESPONSE)
    out = pd.concat([out, single], axis=1).astype(float).sort_index().rename_axis("model_id")
    enters = out[list(ENTERED_BY)].notna().any(axis=1)
    for name, screen in screens.items():
        left = screen.index.difference(out.index[enters])
        context.drop(f"{name} lines", len(left), "too few drugs of the panel, and no other response")
    return out[enters], screens


def _former_ids(models: pd.DataFrame) -> pd.Series:
    """Ids that DepMap has given up -> the current id of the same line."""
    if "model_id_alias" not in models:
        return pd.Series(dtype=str)
    known = models.dropna(subset="model_id_alias")
    split = known.set_index("model_id").model_id_alias.str.split(r"[,;]\s*", regex=True).explode().str.strip()
    return pd.Series(split.index, index=split.to_numpy())


def _first_known(tables: Mapping[str, pd.DataFrame], columns: Mapping[str, str], ids: pd.Index) -> pd.Series:
    """Text about lines from the first of several tables (name -> column) that has it."""
    out = pd.Series(pd.NA, ids, dtype="string")
    for table, column in columns.items():
        if table in tables:
            known = tables[table].dropna(subset=["model_id", column]).drop_duplicates("model_id")
            out = out.fillna(known.set_index("model_id")[column].astype("string").reindex(ids))
    return out


def _lines(tables: Mapping[str, pd.DataFrame], aliases: Aliases, model_ids: pd.Index) -> pd.DataFrame:
    """Name, lineage and group of lines; for ids that DepMap gave up, what it or others say of them."""
    models = tables["depmap_models"].set_index("model_id")
    former = _former_ids(tables["depmap_models"])
    current = pd.Series(model_ids.map(lambda i: former.get(i, i)), model_ids)
    names = {"depmap_models": "cell_line_name", "ccle_annotations": "name", "sanger_models": "model_name"}
    tissue = _first_known(tables, {"sanger_models": "tissue"}, model_ids)
    relatives = find_relatives(tables["depmap_models"], tables.get("mutation_any"), aliases, model_ids)
    pairs = pd.DataFrame(
        {"model_id_a": current, "model_id_b": model_ids, "evidence": "former id of the line"}
    )
    pairs = pairs[(current != model_ids).to_numpy() & current.isin(model_ids).to_numpy()]
    return pd.DataFrame(
        {
            "cell_line": _first_known(tables, names, model_ids).fillna(pd.Series(model_ids, model_ids)),
            "lineage": current.map(models.lineage)
            .astype("string")
            .fillna(tissue.where(tissue.isin(models.lineage.unique())))
            .fillna("Unknown"),
            "subtype": current.map(models.subtype).astype("string").fillna("Unknown"),
            "group": assign_groups(model_ids, pd.concat([relatives, pairs])),
        },
        index=pd.Index(model_ids, name="model_id"),
    ).astype(str)


def build_cohort(
    tables: Mapping[str, pd.DataFrame],
    panels: Panels,
    *,
    kind: Literal["real", "simulated"],
    sources: Mapping[str, str],
    overrides: pd.DataFrame | None = None,
) -> Cohort:
    """Join the publishers' tables by DepMap id.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Tables by name; ``depmap_models``, ``radiation`` and ``ctrp_auc`` are needed.
    panels : Panels
        Drug panels of the responses.
    kind : {'real', 'simulated'}
        Marks the result.
    sources : mapping of str to str
        Source id -> sha256.
    overrides : pandas.DataFrame, optional
        Hand-made identity decisions; by default the committed table.

    Returns
    -------
    Cohort
        Lines with a response to radiation, or to chemotherapy in CTRPv2 or in GDSC.

    Raises
    ------
    CohortError
        If a needed table is missing or no line has both responses.
    """
    if missing := [t for t in NEEDED if t not in tables]:
        raise CohortError(f"tables are missing: {preview(missing)}", do="crossres data fetch")
    names = collect_names(tables)
    aliases = aliases_of(names, overrides)
    context = Context(tables, aliases, pd.DataFrame())
    responses, screens = _responses(context, panels)
    both = responses.radiation.notna() & responses.chemotherapy.notna()
    if not both.any():
        raise CohortError(
            f"no line has both responses ({responses.radiation.notna().sum()} with radiation, "
            f"{responses.chemotherapy.notna().sum()} with chemotherapy)",
            where="tables radiation and ctrp_auc",
            do="check their cell_line columns: the two tables must name the same lines",
        )
    context.lines = _lines(tables, aliases, responses.index)
    blocks, features = build_blocks(context)
    drugs = drug_matrix(screens, responses.index)
    empty = pd.DataFrame(columns=["table", "alias", "reason"])
    unresolved = pd.concat(context.unresolved, ignore_index=True) if context.unresolved else empty
    log.info(
        "cohort: %d lines, %d with radiation, %d with chemotherapy (%d in GDSC), %d with both, %d groups",
        len(responses), responses.radiation.notna().sum(), responses.chemotherapy.notna().sum(),
        responses.chemotherapy_gdsc.notna().sum(), both.sum(), context.lines.group.nunique(),
    )  # fmt: skip
    return Cohort(
        kind=kind,
        lines=context.lines,
        blocks=blocks,
        features=features,
        responses=responses,
        drugs=drugs,
        drug_info=describe_drugs(drugs.columns, tables, panels),
        sources=sources,
        unresolved=unresolved.sort_values(["table", "alias"], ignore_index=True),
        dropped=pd.DataFrame(context.dropped, columns=["what", "count", "reason"]),
        scorer=context.kept.get("gene_set_scorer"),
        genes=tables.get("hgnc"),
        names=names,
    )
