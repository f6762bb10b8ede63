"""Across studies inside the real data: a model of CTRPv2's lines tried on lines that only GDSC knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import load_train_config
from crossres_ml.evaluation.folds import Fold, fold_data, task_matrix
from crossres_ml.evaluation.heldout import model_set
from crossres_ml.identity.likeness import ALIKE, Fingerprints
from crossres_ml.models.bundle import load_bundle, save_bundle
from crossres_ml.models.training_lines import describe_training, names_of
from crossres_ml.predict.names import gene_names
from crossres_ml.validation import Study, validate

pytestmark = pytest.mark.data

Tables = dict[str, pd.DataFrame]
HIDDEN = 8


@pytest.fixture(scope="module")
def trained(real_cohort: Cohort) -> pd.Index:
    """Lines with the composite of CTRPv2."""
    return real_cohort.lines.index[real_cohort.responses.chemotherapy.notna()]


@pytest.fixture(scope="module")
def model(real_cohort: Cohort, trained: pd.Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ridge of lines with CTRPv2, which has seen no response of GDSC."""
    config = load_train_config(None).model_copy(update={"models": ("ridge",)})
    new = real_cohort.lines.index.difference(trained)
    fold = Fold("study_out", 0, "ctrp_to_gdsc", "full", trained, new)
    data = fold_data(real_cohort, config, task_matrix(real_cohort, config), fold)
    models = model_set(data, config, config.models)
    ridge, view = models.get("chemotherapy", "ridge"), models.views["chemotherapy"]
    assert real_cohort.genes is not None
    names = gene_names(real_cohort.genes, real_cohort.features.name.unique())
    folder = tmp_path_factory.mktemp("model") / "chemotherapy"
    save_bundle(
        folder, ridge, models.profile, real_cohort.scorer, data.rules["chemotherapy"], view.X,
        real_cohort.features, {"kind": "real", "lines": len(view.X)}, "card", names,
        real_cohort.lines, describe_training(ridge, models.profile, view, real_cohort),
    )  # fmt: skip
    return folder


def test_what_the_bundle_carries_is_small(model: Path, trained: pd.Index) -> None:
    assert sum(p.stat().st_size for p in model.glob("training_lines.*")) < 500_000
    known = load_bundle(model).training_lines
    assert set(known.lines.index) == set(trained)
    assert known.fingerprints is not None
    assert len(known.fingerprints.lines) > 750


def test_lines_that_only_gdsc_knows(
    model: Path, real_cohort: Cohort, trained: pd.Index, tmp_path: Path
) -> None:
    """Spearman near what study out reaches; all training lines that are smuggled in are found."""
    responses, lines, rna = real_cohort.responses, real_cohort.lines, real_cohort.blocks["rna"]
    features = load_bundle(model).features.index
    X = real_cohort.matrix(["rna", "rppa", "mutation", "driver", "burden", "slfn11"])
    X = X[[f for f in features if f in X]].astype(float)
    new = responses.index[responses.chemotherapy_gdsc.notna() & responses.chemotherapy.isna()]
    genes = [c for c in X if c.startswith("rna:")]
    new = new[X.loc[new, genes].notna().mean(axis=1) > 0.3]
    rich = trained[rna.loc[trained].notna().sum(axis=1) > 1000][: 3 * HIDDEN]
    disguised = X.loc[rich[:HIDDEN]]
    noise = np.random.default_rng(0).normal(0, 0.15, (HIDDEN, len(genes)))
    disguised[genes] = np.clip(disguised[genes] + noise, 0, None)
    named = rich[HIDDEN : 2 * HIDDEN]
    aliases = [str(n).lower().replace("-", " ") for n in lines.cell_line[named]]
    invented = [f"tumour {i}" for i in range(HIDDEN)]
    ids = [*new, *invented, *aliases, *rich[2 * HIDDEN :]]
    profiles = pd.concat([X.loc[new], disguised, X.loc[rich[HIDDEN:]]]).set_axis(ids)
    who = [*new, *rich]
    told = pd.DataFrame({"lineage": lines.lineage[who].to_numpy()}, ids)
    told.join(profiles).rename_axis("model_id").to_csv(tmp_path / "profiles.csv")
    measured = responses.chemotherapy_gdsc[who].fillna(0.1).to_numpy()
    study = pd.DataFrame({"response": measured, "group": lines.group[who].to_numpy()}, ids)
    study.rename_axis("model_id").to_csv(tmp_path / "responses.csv")

    done = validate(
        Study(tmp_path / "profiles.csv", tmp_path / "responses.csv"), "chemotherapy", str(model),
        output=tmp_path / "out", draws=500,
    )  # fmt: skip
    excluded = done.excluded.set_index("id")
    assert (excluded.cause[rich[2 * HIDDEN :]] == "training_id").all()
    assert (excluded.cause[aliases] == "training_name").all()
    assert excluded.training_line[aliases].to_list() == list(named)
    assert (excluded.cause[invented] == "training_profile").all()
    assert excluded.training_line[invented].to_list() == list(rich[:HIDDEN])
    # GP5d is of GP2d's patient; ONCO-DG-1 is known to be OVCAR-3 (ICLAC register): found, not smuggled in
    others = excluded[excluded.index.isin(new) & excluded.cause.str.startswith("training")]
    assert set(others.training_line) >= {"ACH-000013", "ACH-000982"}
    assert len(others) <= 5
    scored = pd.read_csv(done.folder / "predictions.csv", index_col="id")
    assert not set(scored.index) & {*trained, *aliases, *invented}
    assert len(scored) >= 140
    assert done.about["not_compared_by_expression"] == 0
    found = done.metrics.set_index(["of", "metric"])
    rho, area = (found.loc[("model", m)] for m in ("spearman", "auroc"))
    assert 0.35 < rho.value < 0.75
    assert rho.low > 0.2
    assert 0.62 < area.value < 0.85
    assert found.value["lineage baseline", "auroc"] > 0.6  # blood is sensitive: lineage alone tells much


def test_names_of_the_real_models_decide_as_all_do(real_cohort: Cohort, trained: pd.Index) -> None:
    assert real_cohort.names is not None
    kept = names_of(trained, real_cohort.names)
    assert len(kept) < len(real_cohort.names) / 2
    assert set(trained) <= set(kept.model_id)


@pytest.fixture(scope="module")
def likeness(real_cohort: Cohort) -> tuple[Fingerprints, pd.DataFrame, pd.DataFrame]:
    """Fingerprints of genes that the expression array has too, and that array."""
    rna, array = real_cohort.blocks["rna"], real_cohort.blocks["rna_array"]
    genes = rna.columns[rna.notna().sum() >= 250].intersection(array.columns)
    wide = rna.index[rna[genes].notna().mean(axis=1) > 0.9]
    prints = Fingerprints.of(rna.loc[wide, genes])
    assert prints is not None
    own = array.loc[array.index.isin(prints.lines), genes]
    return prints, rna.loc[wide, genes], own[own.notna().any(axis=1)]


def test_the_threshold_parts_the_same_line_on_an_array_from_others(
    likeness: tuple[Fingerprints, pd.DataFrame, pd.DataFrame], real_cohort: Cohort
) -> None:
    """The figures behind `crossres_ml.identity.likeness.ALIKE`: a line measured again, and any other line."""
    prints, rna, array = likeness
    assert len(array) > 100
    found = prints.nearest(array)
    same = found.model_id == found.index
    assert (same & (found.likeness > ALIKE)).mean() > 0.92
    assert same.mean() > 0.99
    assert found.likeness.median() == pytest.approx(0.86, abs=0.03)
    group = real_cohort.lines.group
    groups = group[list(prints.lines)]
    half = np.random.default_rng(0).permutation(groups.unique())[::2]
    left = Fingerprints.of(rna[groups.loc[rna.index].isin(half).to_numpy()])
    assert left is not None
    strangers = left.nearest(array[~group[array.index].isin(half)])
    assert len(strangers) > 40
    assert strangers.likeness.max() < 0.6  # none of a line that is not there


def test_the_same_line_in_another_release_is_found_and_few_strangers_are(
    real_cohort: Cohort, tables: Tables, trained: pd.Index
) -> None:
    rna = real_cohort.blocks["rna"].loc[:, lambda t: t.notna().mean() >= 0.4]
    groups = real_cohort.lines.group
    measured = rna.index[rna.notna().any(axis=1)]
    patients = groups[measured].unique()
    away = np.random.default_rng(1).permutation(patients)[: len(patients) // 4]
    known = measured[~groups[measured].isin(away)]
    prints = Fingerprints.of(rna.loc[known])
    assert prints is not None
    strangers = prints.nearest(rna.loc[measured.difference(known)]).likeness.dropna()
    assert len(strangers) > 150
    assert (strangers >= ALIKE).mean() < 0.03
    old = tables["rna_19q2"]
    old = old[old.index.isin(prints.lines)]
    found = prints.nearest(old.loc[:, old.columns.isin(prints.genes)].astype(float))
    assert len(found) > 150
    assert (found.model_id == found.index).all()
    assert found.likeness.min() > 0.85
