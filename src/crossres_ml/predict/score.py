"""Scores of new profiles from saved models."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from crossres_ml.artifacts import write_table
from crossres_ml.config import TASKS
from crossres_ml.errors import BundleError, ProfileError, preview
from crossres_ml.models.bundle import RECIPE, Bundle, load_bundle
from crossres_ml.predict.profiles import ID, Profiles, align, check_units, read_profiles

log = logging.getLogger(__name__)
RESULTS = Path("artifacts/latest")
_SHOWN = 12


def find_bundles(model: str | None) -> list[Bundle]:
    """Load the models that a user names.

    Parameters
    ----------
    model : str or None
        A folder (one model, a folder of models, or a folder of results), a task, or None for all
        tasks of ``artifacts/latest``.

    Returns
    -------
    list of Bundle
        Verified, in the order radiation, chemotherapy, cross.

    Raises
    ------
    BundleError
        If there is no model there, or one is damaged.
    """
    if model in TASKS:
        return [load_bundle(_results() / str(model))]
    root = Path(model) if model else _results()
    if (root / RECIPE).is_file():
        return [load_bundle(root)]
    folder = root / "models" if (root / "models").is_dir() else root
    found = [folder / t for t in TASKS if (folder / t / RECIPE).is_file()]
    if not found:
        raise BundleError(
            "no model there",
            where=str(root),
            do=f"train first (make train), or give a folder or one of {', '.join(TASKS)}",
        )
    return [load_bundle(f) for f in found]


def _results() -> Path:
    return RESULTS / "models"


def score_profiles(profiles: Profiles, bundles: list[Bundle], where: str) -> pd.DataFrame:
    """Score samples with every model.

    Parameters
    ----------
    profiles : Profiles
        New samples.
    bundles : list of Bundle
        Models.
    where : str
        Name of the table, for messages.

    Returns
    -------
    pandas.DataFrame
        Index ``model_id`` in input order; per task ``<task>_probability``, ``<task>_score`` and
        ``<task>_coverage`` (share of the model's total |SHAP| that rests on values measured in the
        sample); ``trained_on`` (real or simulated).

    Raises
    ------
    ProfileError
        If no feature of a model is in the table, or values are impossible.
    """
    check_units(profiles, bundles, where)
    out = pd.DataFrame(index=profiles.values.index)
    told: list[str] = []
    for bundle in bundles:
        X, missing = align(profiles, bundle)
        X = bundle.with_gene_sets(X)
        missing = [f for f in missing if X[f].isna().all()]
        if len(missing) == len(bundle.features):
            raise ProfileError(
                f"has none of the {len(bundle.features)} features of the {bundle.task} model",
                where=where,
                do=f"name columns as gene symbols, SYMBOL (ENTREZ) or block:name, e.g. {preview(missing, 4)}",
            )
        if missing:
            told.append(_missing_text(bundle, missing))
        result = bundle.predict(X)
        coverage = X.notna().to_numpy(dtype=float) @ bundle.features.share.to_numpy()
        if len(empty := X.index[coverage == 0]):
            log.warning(
                "%s: no score for %d samples without any value: %s", bundle.task, len(empty), preview(empty)
            )
        out[f"{bundle.task}_probability"] = result.probability.where(coverage > 0)
        out[f"{bundle.task}_score"] = result.score.where(coverage > 0)
        out[f"{bundle.task}_coverage"] = coverage
    if told:
        log.warning("features that are not in the table count as not measured:\n%s", "\n".join(told))
    out["trained_on"] = "+".join(sorted({b.kind for b in bundles}))
    return out.rename_axis(ID)


def _missing_text(bundle: Bundle, missing: list[str]) -> str:
    share = bundle.features.share[missing].sort_values(ascending=False)
    return (
        f"  {bundle.task}: {len(missing)} of {len(bundle.features)} features are not in the table; "
        f"{100 * share.sum():.0f} % of the model rests on them: {preview(share.index, _SHOWN)}"
    )


def predict_file(profiles: Path, output: Path, model: str | None = None) -> pd.DataFrame:
    """Score a file of profiles and write the scores.

    Parameters
    ----------
    profiles : Path
        As `crossres_ml.predict.profiles.read_profiles` takes it.
    output : Path
        .csv, .tsv or .parquet; written only when all went well.
    model : str, optional
        As `find_bundles` takes it.

    Returns
    -------
    pandas.DataFrame
        What was written.

    Raises
    ------
    ProfileError
        If the profiles cannot be scored, or the output has another suffix.
    """
    if output.suffix not in (".csv", ".tsv", ".parquet"):
        raise ProfileError(
            f"suffix {output.suffix!r} of the output", where=str(output), do="use .csv, .tsv or .parquet"
        )
    bundles = find_bundles(model)
    features = pd.concat([b.features for b in bundles])
    read = read_profiles(profiles, features[~features.index.duplicated()])
    scores = score_profiles(read, bundles, str(profiles))
    if scores.trained_on.iloc[0] != "real":
        log.warning("SIMULATED: trained on a simulated study; these scores mean nothing for real samples")
    write_table(output, scores.reset_index())
    return scores
