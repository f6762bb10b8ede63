"""The cohort is aligned, read-only, and built or refused with a reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas.testing as pdt
import pytest

from crossres_ml.cohort.build import build_cohort
from crossres_ml.cohort.cohort import ENTERED_BY, RESPONSES, Cohort
from crossres_ml.config import Panels
from crossres_ml.errors import CohortError
from crossres_ml.sources.simulated import SimulatedStudy


def test_it_cannot_be_changed(cohort: Cohort) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        cohort.kind = "real"
    with pytest.raises(TypeError, match="does not support item assignment"):
        cohort.blocks["rna"] = cohort.responses
    with pytest.raises(ValueError, match="read-only"):
        cohort.blocks["rna"].to_numpy()[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        cohort.responses.to_numpy()[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        cohort.drugs.to_numpy()[0, 0] = 1


def test_responses_are_those_of_the_tables(cohort: Cohort, study: SimulatedStudy) -> None:
    radiation = study.tables["radiation"].set_index("cell_line")
    known = cohort.responses.radiation.dropna()
    names = cohort.lines.cell_line[known.index]
    np.testing.assert_array_equal(known, radiation.auc[names])
    np.testing.assert_array_equal(cohort.responses.sf2[known.index], radiation.sf2[names])
    assert len(known) == len(radiation)
    np.testing.assert_array_equal(
        cohort.responses.lq_alpha[known.index], -radiation.alpha_per_gy.where(radiation.lq_qc)[names]
    )
    assert list(cohort.responses)[: len(RESPONSES)] == list(RESPONSES)
    assert cohort.responses[list(ENTERED_BY)].notna().any(axis=1).all()


def test_matrix_takes_blocks_and_single_features(cohort: Cohort) -> None:
    X = cohort.matrix(["driver", "rppa"], ["rna:RAD51", "rna:NONE", "driver:TP53", "none:X"])
    assert list(X.columns) == sorted(X.columns)
    assert X.columns.is_unique
    assert X.shape[1] == cohort.blocks["driver"].shape[1] + cohort.blocks["rppa"].shape[1] + 1
    assert X.index.equals(cohort.lines.index)
    pdt.assert_series_equal(X["rna:RAD51"], cohort.blocks["rna"]["RAD51"], check_names=False)
    assert (X.dtypes == np.float32).all()
    pdt.assert_frame_equal(cohort.matrix(["rppa", "driver", "rppa"]), cohort.matrix(["driver", "rppa"]))


def test_unknown_block_is_named(cohort: Cohort) -> None:
    with pytest.raises(CohortError, match="no block methylome, proteome") as error:
        cohort.matrix(["rna", "proteome", "methylome"])
    assert "rppa" in str(error.value)


def test_coverage_counts_what_was_measured(cohort: Cohort) -> None:
    table = cohort.coverage()
    responses = cohort.responses
    for name, block in cohort.blocks.items():
        has = block.notna().any(axis=1)
        assert table.features[name] == block.shape[1]
        assert table.lines[name] == has.sum()
        assert table.lines_radiation[name] == (has & responses.radiation.notna()).sum()
        both = responses[["radiation", "chemotherapy"]].notna().all(axis=1)
        assert table.lines_both[name] == (has & both).sum()
        assert table.measured_share[name] == pytest.approx(block[has].notna().to_numpy().mean())


def test_digest_sees_every_change(cohort: Cohort) -> None:
    digest = cohort.digest()
    assert dataclasses.replace(cohort).digest() == digest
    responses = cohort.responses.copy()
    responses.iloc[responses.radiation.notna().argmax(), 0] += 1e-9
    block = cohort.blocks["rppa"].copy()
    block.iloc[block.notna().any(axis=1).argmax(), 3] = np.nan
    lines = cohort.lines.copy()
    lines.iloc[0, 1] = "Elsewhere"
    others = [
        dataclasses.replace(cohort, responses=responses),
        dataclasses.replace(cohort, blocks={**cohort.blocks, "rppa": block}),
        dataclasses.replace(cohort, lines=lines),
        dataclasses.replace(cohort, kind="real"),
        dataclasses.replace(cohort, drugs=cohort.drugs * 2),
        dataclasses.replace(cohort, drug_info=cohort.drug_info.assign(genotoxic=False)),
        dataclasses.replace(cohort, features=cohort.features.assign(caution=True)),
        dataclasses.replace(cohort, responses=cohort.responses.rename(columns={"drug:SN-38": "drug:SN-37"})),
    ]
    assert len({digest, *(c.digest() for c in others)}) == 9


def test_what_is_not_aligned_is_refused_and_all_named(cohort: Cohort) -> None:
    block = cohort.blocks["rppa"]
    with pytest.raises(CohortError, match="responses has other lines") as error:
        dataclasses.replace(
            cohort,
            responses=cohort.responses.iloc[1:],
            blocks={**cohort.blocks, "rppa": block[block.columns[::-1]]},
        )
    assert "features of rppa are not unique and sorted" in str(error.value)
    assert "features do not follow the blocks" in str(error.value)


def _twice(cohort: Cohort) -> Cohort:
    order = [0, *range(len(cohort.lines))]
    blocks = {n: t.iloc[order] for n, t in cohort.blocks.items()}
    return dataclasses.replace(
        cohort,
        lines=cohort.lines.iloc[order],
        responses=cohort.responses.iloc[order],
        drugs=cohort.drugs.iloc[order],
        blocks=blocks,
    )


def _infinite(cohort: Cohort) -> Cohort:
    block = cohort.blocks["burden"].copy()
    block.iloc[0, 0] = np.inf
    return dataclasses.replace(cohort, blocks={**cohort.blocks, "burden": block})


def _infinite_drug(cohort: Cohort) -> Cohort:
    drugs = cohort.drugs.copy()
    drugs.iloc[0, 0] = -np.inf
    return dataclasses.replace(cohort, drugs=drugs)


def _infinite_response(cohort: Cohort) -> Cohort:
    return dataclasses.replace(cohort, responses=cohort.responses.assign(sf2=np.inf))


def _other_drugs(cohort: Cohort) -> Cohort:
    return dataclasses.replace(cohort, drugs=cohort.drugs.iloc[:, 1:])


def _drugs_of_other_lines(cohort: Cohort) -> Cohort:
    return dataclasses.replace(cohort, drugs=cohort.drugs.iloc[1:])


def _drugs_without_class(cohort: Cohort) -> Cohort:
    return dataclasses.replace(cohort, drug_info=cohort.drug_info.drop(columns="genotoxic"))


def _no_caution(cohort: Cohort) -> Cohort:
    return dataclasses.replace(cohort, features=cohort.features.drop(columns="caution"))


def _unnamed_response(cohort: Cohort) -> Cohort:
    return dataclasses.replace(cohort, responses=cohort.responses.assign(zeal=1.0))


def _no_lineage(cohort: Cohort) -> Cohort:
    return dataclasses.replace(cohort, lines=cohort.lines.assign(lineage=None))


def _no_group(cohort: Cohort) -> Cohort:
    return dataclasses.replace(cohort, lines=cohort.lines.drop(columns="group"))


def _other_responses(cohort: Cohort) -> Cohort:
    return dataclasses.replace(cohort, responses=cohort.responses.drop(columns="sf2"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_twice, "lines are not unique and sorted"),
        (_infinite, "burden has infinite values"),
        (_no_lineage, "lineage or group is missing"),
        (_no_group, r"lines lack \['group'\]"),
        (_other_responses, "responses are"),
        (_unnamed_response, "responses are"),
        (_infinite_drug, "drugs has infinite values"),
        (_infinite_response, "responses has infinite values"),
        (_other_drugs, "drug_info does not follow the drugs"),
        (_drugs_of_other_lines, "drugs has other lines"),
        (_drugs_without_class, r"drug_info lacks \['genotoxic'\]"),
        (_no_caution, "features lack caution"),
    ],
)
def test_faulty_tables_are_refused(make: Callable[[Cohort], Cohort], message: str, cohort: Cohort) -> None:
    with pytest.raises(CohortError, match=message):
        make(cohort)


# --- building -------------------------------------------------------------------------------------


def test_missing_tables_are_all_named(panels: Panels) -> None:
    with pytest.raises(CohortError, match="tables are missing: depmap_models, radiation, ctrp_auc"):
        build_cohort({}, panels, kind="real", sources={})


def test_no_line_with_both_responses(study: SimulatedStudy, panels: Panels) -> None:
    radiation = study.tables["radiation"]
    tables = study.tables | {"radiation": radiation.assign(cell_line="X" + radiation.cell_line)}
    with pytest.raises(CohortError, match=r"no line has both responses \(0 with radiation, \d+ with chemo"):
        build_cohort(tables, panels, kind="simulated", sources={})


def test_names_that_lead_nowhere_are_listed(study: SimulatedStudy, panels: Panels) -> None:
    radiation = study.tables["radiation"].copy()
    radiation.loc[[0, 4], "cell_line"] = ["NOBODY", "NOWHERE"]
    made = build_cohort(study.tables | {"radiation": radiation}, panels, kind="simulated", sources={})
    assert list(made.unresolved.alias) == ["NOBODY", "NOWHERE"]
    assert set(made.unresolved.table) == {"radiation"}
    assert (made.unresolved.reason == "no DepMap model has this name").all()


def test_gdsc_rows_are_joined_by_any_identifier(
    study: SimulatedStudy, panels: Panels, cohort: Cohort
) -> None:
    """Without model ids, the Sanger id, the COSMIC id and then the name lead to the same line."""
    people = study.tables["depmap_models"].set_index("model_id")
    rows = study.tables["gdsc_response"].copy()
    which = np.arange(len(rows)) % 4
    rows["sanger_model_id"] = people.sanger_model_id[rows.model_id].where(which == 1).to_numpy()
    rows["cosmic_id"] = people.cosmic_id[rows.model_id].where(which == 2).to_numpy()
    rows["cell_line"] = people.cell_line_name[rows.model_id].where(which == 3).to_numpy()
    rows["model_id"] = rows.model_id.where(which == 0)
    made = build_cohort(study.tables | {"gdsc_response": rows}, panels, kind="simulated", sources={})
    pdt.assert_series_equal(made.responses.platinum, cohort.responses.platinum)


def test_rows_and_columns_in_another_order_give_the_same(
    study: SimulatedStudy, panels: Panels, cohort: Cohort
) -> None:
    tables = {n: t.sample(frac=1, axis=1, random_state=3) for n, t in reversed(study.tables.items())}
    tables = {n: t.sample(frac=1, random_state=5) for n, t in tables.items()}
    made = build_cohort(tables, panels, kind="simulated", sources=dict(cohort.sources))
    assert made.digest() == cohort.digest()
    pdt.assert_frame_equal(made.features, cohort.features)
    pdt.assert_frame_equal(made.unresolved, cohort.unresolved)
    pdt.assert_frame_equal(made.dropped, cohort.dropped)


def test_tables_given_are_left_as_they_were(study: SimulatedStudy, panels: Panels) -> None:
    before = {n: t.copy() for n, t in study.tables.items()}
    build_cohort(study.tables, panels, kind="simulated", sources={})
    for name, table in study.tables.items():
        pdt.assert_frame_equal(table, before[name], check_exact=True)
