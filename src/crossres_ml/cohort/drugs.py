"""Drug screens: long tables -> lines x measurements, and the responses that are made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from crossres_ml.config import DrugPanel, GenotoxicRule, Panels
from crossres_ml.errors import CohortError

GDSC_DATASETS = {"gdsc1": "GDSC1_fitted", "gdsc2": "GDSC2_2022"}
"""The copies of GDSC1 and GDSC2 with the most lines; the others repeat them (r = .96 to 1.00)."""
MIN_LINES = 100
MIN_OTHER_DRUGS = 50


def panel_drugs(table: pd.DataFrame, panel: DrugPanel) -> pd.DataFrame:
    """Standardised measurements of each drug of a panel.

    Each drug of each dataset is standardised over all lines that it was measured on, and a drug is
    the mean of its datasets. This defines responses; it looks at no feature.

    Parameters
    ----------
    table : pandas.DataFrame
        Long: ``model_id``, ``drug``, the value column, and ``dataset`` when the panel names some.
    panel : DrugPanel
        Which drugs.

    Returns
    -------
    pandas.DataFrame
        Index ``model_id``, one sorted column a drug; z units, NaN = not measured.

    Raises
    ------
    CohortError
        If a drug of the panel is not in the table.
    """
    rows = table[table.drug.isin(panel.drugs) & table[panel.value].notna()]
    if panel.datasets:
        rows = rows[rows.dataset.isin(panel.datasets)]
        for dataset, drugs in panel.unsound.items():
            rows = rows[~((rows.dataset == dataset) & rows.drug.isin(drugs))]
    if missing := [d for d in panel.drugs if d not in set(rows.drug)]:
        raise CohortError(
            f"no drug {missing} in {panel.table}", where="configs/panels.yaml", do="mend the names"
        )
    keys = ["dataset", "drug"] if panel.datasets else ["drug"]
    wide = rows.pivot_table(index="model_id", columns=keys, values=panel.value, aggfunc="mean")
    return standardise(wide).T.groupby(level="drug").mean().T


def panel_response(drugs: pd.DataFrame, panel: DrugPanel) -> pd.Series:
    """Mean standardised response over the drugs of a panel.

    Parameters
    ----------
    drugs : pandas.DataFrame
        As `panel_drugs` gives it.
    panel : DrugPanel
        How many drugs a line needs.

    Returns
    -------
    pandas.Series
        Index ``model_id``, lines with ``panel.min_drugs`` only; z units, higher = more resistant.
    """
    return drugs.mean(axis=1).where(drugs.notna().sum(axis=1) >= panel.min_drugs).dropna()


def standardise(wide: pd.DataFrame) -> pd.DataFrame:
    """Z of each column over its measured rows; a constant column becomes missing."""
    spread = wide.std()
    return (wide - wide.mean()) / spread.where(spread > 0)


def general_sensitivity(screen: pd.DataFrame, panel: DrugPanel) -> pd.Series:
    """Mean standardised response over the drugs of a screen that are not in a panel.

    Parameters
    ----------
    screen : pandas.DataFrame
        Index ``model_id``, columns drugs.
    panel : DrugPanel
        Drugs left out.

    Returns
    -------
    pandas.Series
        Index ``model_id``, lines with at least 50 such drugs; z units, higher = more resistant.
    """
    others = standardise(screen.drop(columns=list(panel.drugs), errors="ignore"))
    return others.mean(axis=1).where(others.notna().sum(axis=1) >= MIN_OTHER_DRUGS).dropna()


def widen(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """Long measurements as lines x drugs; a line measured twice with a drug gets the mean.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``model_id``, ``drug`` (missing: named by ``drug_id``) and the value column.
    value : str
        ``auc`` or ``ln_ic50``.

    Returns
    -------
    pandas.DataFrame
        Index ``model_id``, sorted columns.
    """
    drug = rows.drug
    if drug.isna().any():
        drug = drug.fillna("id " + rows.drug_id.astype("string")).astype(str)
    return rows.assign(drug=drug).pivot_table(index="model_id", columns="drug", values=value, aggfunc="mean")


def drug_matrix(screens: Mapping[str, pd.DataFrame], lines: pd.Index) -> pd.DataFrame:
    """Put the screens of the cohort's lines side by side.

    Parameters
    ----------
    screens : mapping of str to pandas.DataFrame
        Dataset name -> lines x drugs.
    lines : pandas.Index
        The cohort's lines.

    Returns
    -------
    pandas.DataFrame
        ``lines`` x ``dataset:drug``, float64, sorted; measurements of at least 100 lines.
    """
    parts = [table.reindex(lines).add_prefix(f"{name}:") for name, table in screens.items()]
    wide = pd.concat(parts, axis=1).sort_index(axis=1).astype(float)
    return wide.loc[:, wide.notna().sum() >= MIN_LINES].rename_axis(columns=None)


def describe_drugs(
    columns: Iterable[str], tables: Mapping[str, pd.DataFrame], panels: Panels
) -> pd.DataFrame:
    """Say of each drug measurement whether it is genotoxic and whether a response is made of it.

    Parameters
    ----------
    columns : iterable of str
        ``dataset:drug``.
    tables : mapping of str to pandas.DataFrame
        ``ctrp_drugs`` and ``gdsc_drugs``, as far as they are there.
    panels : Panels
        The chemotherapy panel and the genotoxic rule.

    Returns
    -------
    pandas.DataFrame
        Index: the columns; drug, dataset, genotoxic, panel.
    """
    index = pd.Index(list(columns), dtype="str")
    names = pd.Series(index, index).str.split(":", n=1, expand=True).reindex(columns=[0, 1])
    info = pd.DataFrame({"drug": names[1], "dataset": names[0]}).astype(str)
    rule = panels.genotoxic
    ctrp = info.dataset == "ctrp"
    by_screen = info.drug.isin(_genotoxic_ctrp(tables, rule)) & ctrp
    by_screen |= info.drug.isin(_genotoxic_gdsc(tables, rule)) & ~ctrp
    genotoxic = (info.drug.isin(rule.drugs) | by_screen) & ~index.isin(rule.never)
    return info.assign(genotoxic=genotoxic, panel=info.drug.isin(panels.chemotherapy.drugs) & ctrp)


def _genotoxic_ctrp(tables: Mapping[str, pd.DataFrame], rule: GenotoxicRule) -> set[str]:
    if "ctrp_drugs" not in tables:
        return set()
    drugs = tables["ctrp_drugs"]
    mechanism = drugs.drug_class.fillna("").str.lower()
    hit = mechanism.map(lambda text: any(part in text for part in rule.mechanisms))
    return set(drugs.drug[hit.astype(bool)])


def _genotoxic_gdsc(tables: Mapping[str, pd.DataFrame], rule: GenotoxicRule) -> set[str]:
    if "gdsc_drugs" not in tables:
        return set()
    drugs = tables["gdsc_drugs"]
    return set(drugs.drug[drugs.target_name.isin(rule.targets)])
