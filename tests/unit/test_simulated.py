"""The simulated study has the truth that it states: planted drivers are found, dealt labels give chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest

from crossres_ml.artifacts import FoldStore
from crossres_ml.audit.attribution import rank_features
from crossres_ml.cohort.build import build_cohort
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import scored_lines
from crossres_ml.config import FeatureConfig, Panels, SplitConfig, TrainConfig
from crossres_ml.evaluation.heldout import evaluate, task_matrix
from crossres_ml.evaluation.skill import assess
from crossres_ml.sources.simulated import BLOOD, SimulatedStudy, simulate
from crossres_ml.splits import make_splits

CONFIG = TrainConfig(
    seed=1,
    splits=SplitConfig(seed=1, folds=3, repeats=1, lineage_min_lines=1000),
    features=FeatureConfig(blocks=("rna", "mutation", "driver", "burden", "lineage"), min_events=25),
    models=("prevalence", "lineage_mean", "ridge"),
    inner_folds=2,
    bootstrap=100,
    named_genes={},
)


@pytest.fixture(scope="module")
def large(panels: Panels) -> tuple[SimulatedStudy, Cohort]:
    study = simulate(panels, lines=700, seed=4)
    return study, build_cohort(study.tables, panels, kind="simulated", sources={})


def results(cohort: Cohort, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    splits = make_splits(cohort, CONFIG.splits, quantile=2 / 3)
    splits = splits[splits["mode"] == "cell_line_out"]
    return evaluate(cohort, CONFIG, splits, FoldStore(folder), jobs=1)


def test_same_seed_same_tables(panels: Panels, study: SimulatedStudy) -> None:
    again = simulate(panels, lines=250, seed=1)
    pdt.assert_frame_equal(again.truth, study.truth)
    assert set(again.tables) == set(study.tables)
    for name, table in study.tables.items():
        pdt.assert_frame_equal(again.tables[name], table, check_exact=True)
    other = simulate(panels, lines=250, seed=2)
    assert not other.tables["radiation"].equals(study.tables["radiation"])


def test_shape_of_the_study(cohort: Cohort, study: SimulatedStudy) -> None:
    lines, responses = cohort.lines, cohort.responses
    assert responses.radiation[lines.lineage == BLOOD].isna().all()
    assert (lines.lineage == BLOOD).mean() == pytest.approx(0.2, abs=0.06)
    assert cohort.unresolved.empty
    assert responses.radiation.dropna().between(0, 7).all()
    assert cohort.kind == "simulated"
    models = study.tables["depmap_models"].set_index("model_id").patient_id
    related = models[models.duplicated(keep=False)].index.intersection(lines.index)
    assert len(related) > 5
    group = lines.group[related]
    assert all(len(set(names)) == 1 for _, names in group.groupby(models[related]))
    # a pair may share half of its 15 rare mutations by chance
    assert 0 <= len(lines) - lines.group.nunique() - group.duplicated().sum() <= 2


def test_screens_share_the_latent_responses(large: tuple[SimulatedStudy, Cohort]) -> None:
    """Other drugs hold a general factor; genotoxic ones follow chemotherapy more."""
    responses, drugs = large[1].responses, large[1].drugs
    info = large[1].drug_info
    rho = responses.corr("spearman")
    assert 0.5 < rho.general_sensitivity.chemotherapy < 0.9
    assert 0.1 < rho.general_sensitivity.radiation < 0.5
    assert 0.7 < rho.chemotherapy_gdsc.chemotherapy < 0.95
    assert 0.5 < rho.lq_alpha.radiation < 0.9
    others = info[(info.dataset == "ctrp") & ~info.panel]
    others = others[others.drug.str.startswith("SIMDRUG")]
    assert len(others) == 60
    follows = drugs[others.index].corrwith(responses.chemotherapy, method="spearman")
    assert follows[others.genotoxic].mean() > follows[~others.genotoxic].mean() + 0.1
    assert follows[~others.genotoxic].mean() > 0.2


def test_some_lines_are_only_in_gdsc(cohort: Cohort, study: SimulatedStudy) -> None:
    has = cohort.responses.notna()
    only = has.index[has.chemotherapy_gdsc & ~has.chemotherapy & ~has.radiation]
    assert 0.03 < len(only) / len(has) < 0.12
    people = study.tables["depmap_models"].set_index("model_id").patient_id
    none_in_ctrp = ~cohort.drugs.filter(like="ctrp:").notna().any(axis=1)
    alone = only[none_in_ctrp[only] & (cohort.lines.lineage[only] != BLOOD)]
    assert len(alone) > 3
    assert not people.duplicated(keep=False)[alone].any()


def test_every_size_has_subtypes_and_more_blocks(cohort: Cohort, panels: Panels) -> None:
    assert cohort.lines.subtype.nunique() == 11 + 4
    assert {"progeny", "metabolomics", "subtype"} <= set(cohort.blocks)
    assert cohort.coverage().lines["metabolomics"] == pytest.approx(0.9 * len(cohort.lines), abs=1)
    small = simulate(panels, lines=100, seed=3)
    made = build_cohort(small.tables, panels, kind="simulated", sources={})
    assert made.drugs.shape[1] == 0
    assert made.responses.general_sensitivity.notna().sum() > 80


def test_relatives_are_alike(cohort: Cohort) -> None:
    group = cohort.lines.group
    twice = group[group.duplicated(keep=False)]
    x = cohort.blocks["copy_number"]
    inside = [np.corrcoef(x.loc[g.index].to_numpy()[:2])[0, 1] for _, g in twice.groupby(twice) if len(g) > 1]
    rng = np.random.default_rng(0)
    strangers = [np.corrcoef(x.iloc[rng.choice(len(x), 2, replace=False)])[0, 1] for _ in range(50)]
    assert np.mean(inside) > 0.8
    assert np.mean(strangers) < 0.3


def test_effects_have_their_sign_in_the_data(large: tuple[SimulatedStudy, Cohort]) -> None:
    study, cohort = large
    effects = study.truth
    for feature, row in effects[effects.role.str.startswith("driver")].iterrows():
        block, name = str(feature).split(":")
        x = cohort.blocks[block][name]
        for response in ("radiation", "chemotherapy"):
            seen = x.notna() & cohort.responses[response].notna()
            r = np.corrcoef(x[seen], cohort.responses[response][seen])[0, 1]
            if row[response]:
                assert np.sign(r) == np.sign(row[response]), (feature, response)
                assert abs(r) > 0.08, (feature, response)


def test_planted_drivers_are_found_with_their_sign(
    large: tuple[SimulatedStudy, Cohort], tmp_path: Path
) -> None:
    study, cohort = large
    predictions, contributions = results(cohort, tmp_path)
    X = task_matrix(cohort, CONFIG)
    for task in ("radiation", "chemotherapy"):
        rows = contributions[(contributions.task == task) & (contributions.model == "ridge")]
        ranks = rank_features(rows, X, scored_lines(cohort, task))
        planted = study.truth[(study.truth[task].abs() >= 0.25) & study.truth.index.str.startswith("rna:")]
        planted = planted[planted.role.str.startswith("driver of")]  # not the one that lineages disagree on
        assert len(planted) == 3
        assert (ranks["rank"][planted.index] <= 20).all(), ranks.loc[planted.index]
        assert (ranks.sign[planted.index] == np.sign(planted[task])).all()
    skill = assess(predictions, draws=100, seed=1)
    paired = skill.paired[skill.paired.kind == "baseline"]
    assert (paired[paired.metric == "spearman"].low > 0).all()
    assert (paired[paired.metric == "auroc"].value > 0).all()


def test_permuted_responses_give_chance(
    large: tuple[SimulatedStudy, Cohort], panels: Panels, tmp_path: Path
) -> None:
    """Labels dealt out anew: whatever skill is left would be a leak."""
    study, _ = large
    rng = np.random.default_rng(9)
    tables = dict(study.tables)
    radiation, chemo = tables["radiation"], tables["ctrp_auc"]
    order = rng.permutation(len(radiation))
    tables["radiation"] = radiation.iloc[order].assign(cell_line=radiation.cell_line.to_numpy())
    names = chemo.cell_line.unique()
    dealt = dict(zip(names, rng.permutation(names), strict=True))
    tables["ctrp_auc"] = chemo.assign(cell_line=chemo.cell_line.map(dealt))
    cohort = build_cohort(tables, panels, kind="simulated", sources={})
    predictions, _ = results(cohort, tmp_path)
    metrics = assess(predictions, draws=100, seed=1).metrics
    values = metrics[metrics.metric == "auroc"].set_index(["task", "model"])
    assert values.value["radiation", "prevalence"] == 0.5
    # standard error of an AUROC with 180 against 370 lines: 0.026
    for task in ("radiation", "chemotherapy", "cross"):
        for model in ("ridge", "lineage_mean"):
            assert values.value[task, model] == pytest.approx(0.5, abs=0.09), (task, model)
    rho = metrics[metrics.metric == "spearman"].value
    assert rho.abs().max() < 0.15


def test_named_genes_do_nothing(study: SimulatedStudy) -> None:
    assert (study.truth.loc[["rna:RAD51", "rna:ERCC1", "rna:BIRC5"], ["radiation", "chemotherapy"]] == 0).all(
        axis=None
    )
    assert set(study.truth.role) == {
        "driver of both", "driver of radiation", "driver of chemotherapy", "twin of a driver",
        "confounded with lineage", "driver that differs between lineages", "none",
        "control: two drugs of the panel follow it",
    }  # fmt: skip


def test_control_drugs_follow_their_gene(large: tuple[SimulatedStudy, Cohort]) -> None:
    drugs, blocks = large[1].drugs, large[1].blocks
    assert drugs["ctrp:Nutlin-3"].corr(blocks["driver"]["TP53"] > 0) > 0.4
    assert drugs["ctrp:Topotecan"].corr(blocks["rna"]["SLFN11"]) < -0.3
    assert drugs["ctrp:tanespimycin"].corr(blocks["rna"]["NQO1"]) < -0.4


def test_one_driver_differs_between_lineages(large: tuple[SimulatedStudy, Cohort]) -> None:
    study, cohort = large
    differs = study.truth.index[study.truth.role == "driver that differs between lineages"][0]
    steady = study.truth.index[study.truth.role == "driver of both"][0]

    def spread(feature: str) -> float:
        table = pd.DataFrame(
            {"x": cohort.blocks["rna"][feature.split(":")[1]], "y": cohort.responses.radiation}
        )
        by = table.dropna().groupby(cohort.lines.lineage)
        r = by.apply(lambda t: t.x.corr(t.y) if len(t) >= 15 else np.nan)
        return float(r.std())

    assert spread(differs) > 1.5 * spread(steady)
