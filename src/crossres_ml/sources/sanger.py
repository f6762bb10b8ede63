"""Sanger Cell Model Passports (2019): models and growth rates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from crossres_ml.sources.reading import pick, read_text, to_numbers
from crossres_ml.sources.schema import MODEL_ID, Table, integer, long_schema, number, text

_MODELS = {
    "model_id": "sanger_model_id",
    "model_name": "model_name",
    "synonyms": "synonyms",
    "BROAD_ID": "broad_ids",
    "COSMIC_ID": "cosmic_ids",
    "CCLE_ID": "ccle_name",
    "RRID": "rrid",
    "parent_id": "parent_sanger_model_id",
    "patient_id": "sanger_patient_id",
    "model_type": "model_type",
    "growth_properties": "growth_properties",
    "tissue": "tissue",
    "tissue_status": "tissue_status",
    "cancer_type": "cancer_type",
    "cancer_type_detail": "cancer_type_detail",
    "gender": "sex",
    "age_at_sampling": "age_years",
    "msi_status": "msi_status",
    "mutational_burden": "mutations_per_mb",
    "ploidy": "ploidy",
}
_GROWTH = {
    "model_id": "sanger_model_id",
    "COSMIC_ID": "cosmic_id",
    "SEEDING_DENSITY": "cells_seeded",
    "GROWTH_RATE": "growth_rate",
    "DOUBLING_TIME": "doubling_time_hours",
    "DAY4DAY1RATIO": "day4_day1_ratio",
    "growth_properties": "growth_properties",
}


def _only(ids: pd.Series) -> pd.Series:
    """Id of a cell such as ``"A;A"``; missing where a cell names several different ones."""
    sets = ids.str.split(";").map(lambda x: set(x) if isinstance(x, list) else set())
    return sets.map(lambda x: next(iter(x)) if len(x) == 1 else None).astype("str")


def _models(paths: Mapping[str, Path]) -> pd.DataFrame:
    """One row per model.

    Three models carry several Broad ids and two several COSMIC ids in one cell; ``model_id`` and
    ``cosmic_id`` are filled only where there is one, the cells are kept in ``broad_ids``, ``cosmic_ids``.
    """
    path = paths["sanger_models_2019"]
    out = pick(read_text(path, missing=("",)), _MODELS, path)
    out.insert(1, "model_id", _only(out.broad_ids))
    out.insert(2, "cosmic_id", _only(out.cosmic_ids))
    out = to_numbers(out, ["cosmic_id", "age_years", "mutations_per_mb", "ploidy"], path)
    return out.assign(cosmic_id=out.cosmic_id.astype("Int64"))


def _growth(paths: Mapping[str, Path]) -> pd.DataFrame:
    """One row per model: the first where several seeding densities were tried, as listed.

    The published doubling time is an average over replicates that goes below zero, and to years, for
    cultures that hardly grew; a time that is not positive is no doubling time and is missing here.
    """
    path = paths["sanger_growth_2019"]
    numbers = ("cosmic_id", "cells_seeded", "growth_rate", "doubling_time_hours", "day4_day1_ratio")
    out = to_numbers(pick(read_text(path), _GROWTH, path), numbers, path)
    out["densities_tried"] = out.groupby("sanger_model_id").cells_seeded.transform("size").astype("Int64")
    out["doubling_time_hours"] = out.doubling_time_hours.where(out.doubling_time_hours > 0)
    return out.drop_duplicates("sanger_model_id").assign(cosmic_id=out.cosmic_id.astype("Int64"))


_NUMBERS = {
    "cosmic_id": integer(1),
    "age_years": number(0, 120),
    "mutations_per_mb": number(0, 1000),
    "ploidy": number(1, 10),
    "sanger_model_id": text(r"SIDM\d{5}", needed=True),
    "model_id": text(MODEL_ID),
    "model_name": text(needed=True),
}
_MODEL_COLUMNS = ["sanger_model_id", "model_id", "cosmic_id", *list(_MODELS.values())[1:]]

TABLES = (
    Table(
        "sanger_models",
        ("sanger_models_2019",),
        _models,
        long_schema({c: _NUMBERS.get(c, text()) for c in _MODEL_COLUMNS}, ["sanger_model_id"]),
        "in the column names",
        "Cell Model Passports: names, identifiers and annotation of 1,635 models",
    ),
    Table(
        "sanger_growth",
        ("sanger_growth_2019",),
        _growth,
        long_schema(
            {
                "sanger_model_id": text(r"SIDM\d{5}", needed=True),
                "cosmic_id": integer(1),
                "cells_seeded": number(1, 1e5, needed=True),
                "growth_rate": number(-5, 10, needed=True),
                "doubling_time_hours": number(1, 1e5),
                "day4_day1_ratio": number(0, 100, needed=True),
                "growth_properties": text(),
                "densities_tried": integer(1, needed=True),
            },
            ["sanger_model_id"],
        ),
        "in the column names; growth rate in doublings over the assay as published",
        "growth of 801 models in the drug-screen format",
    ),
)
