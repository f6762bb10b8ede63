"""Tables of new profiles: what is understood, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossres_ml.errors import BundleError, ProfileError
from crossres_ml.models.bundle import Bundle
from crossres_ml.models.conformal import Conformal
from crossres_ml.models.domain import Domain
from crossres_ml.models.parts import LoadedModel
from crossres_ml.models.reference import Reference
from crossres_ml.models.resistance import Calibration
from crossres_ml.predict.platform import Batch, choose_platform
from crossres_ml.predict.profiles import Profiles, align, check_units, read_profiles
from crossres_ml.predict.score import Rules, score_profiles, tell_missing
from crossres_ml.predict.stream import predict_file


def additive() -> LoadedModel:
    """A model whose score is the sum of the measured values."""
    model = LoadedModel("sum", lambda X: np.asarray(np.nansum(X.to_numpy(), axis=1)), lambda X: X)
    model.calibration = Calibration(1.0, 0.0, 2.0, 1.0)
    model.conformal = Conformal(np.array([0.2, 0.5]), np.array([0.1, 0.4, 0.6]))
    return model


def bundle(*features: str) -> Bundle:
    units = {"rna": "log2_tpm", "mutation": "0/1", "lineage": "0/1", "rppa": "log2"}
    table = pd.DataFrame(
        {
            "unit": [units[f.split(":")[0]] for f in features],
            "share": 1 / len(features),
            "low": -2.0,
            "high": 3.0,
        },
        index=pd.Index(features, name="feature"),
    )
    recipe = {"task": "radiation", "data": {"kind": "real"}, "lineages": ["Lung", "Bone", "Liver"]}
    values = np.random.default_rng(0).normal(size=(20, len(features))).astype(np.float32)
    domain = Domain.fit(values, table.share.to_numpy(), np.arange(20))
    genes = pd.DataFrame(values, columns=list(features)).filter(regex="^rna:")
    return Bundle(recipe, table, additive(), None, None, Reference(genes, np.full(20, "")), domain, "")


def score(given: Profiles, own: Bundle, rules: Rules | None = None) -> pd.DataFrame:
    as_it_is = choose_platform("none", Batch.of([given]), [own], "p")
    return score_profiles(given, [own], "p", as_it_is, rules)


def written(folder: Path, text: str, name: str = "profiles.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def table_of(*features: str) -> pd.DataFrame:
    return bundle(*features).features.assign(median=1.0, block=[f.split(":")[0] for f in features])


FEATURES = table_of("rna:A", "rna:B", "mutation:C", "rppa:Akt", "rna:D")


def read(path: Path, features: pd.DataFrame = FEATURES) -> Profiles:
    return read_profiles(path, features)


def test_columns_are_aligned_by_name_not_by_position(tmp_path: Path) -> None:
    model = bundle("rna:A", "rna:B", "mutation:C")
    one = read(written(tmp_path, "model_id,A,B,mutation:C\nx,1,2,0\ny,3,,1\n"))
    other = read(written(tmp_path, "mutation:C,B (22),model_id,A (11)\n0,2,x,1\n1,,y,3\n", "b.csv"))
    pd.testing.assert_frame_equal(align(one, model)[0], align(other, model)[0])
    assert list(align(other, model)[0].columns) == list(model.features.index)


def test_csv_tsv_and_parquet_give_the_same(tmp_path: Path) -> None:
    table = pd.DataFrame({"sample": ["x", "y"], "A": [1.5, 2.25], "B": [0.1, np.nan]})
    table.to_csv(tmp_path / "p.csv", index=False)
    table.to_csv(tmp_path / "p.tsv", index=False, sep="\t")
    table.to_parquet(tmp_path / "p.parquet")
    table.set_index("sample").to_parquet(tmp_path / "q.parquet")
    tables = [read(tmp_path / n).values for n in ("p.csv", "p.tsv", "p.parquet", "q.parquet")]
    for other in tables[1:]:
        pd.testing.assert_frame_equal(tables[0], other)


def test_first_column_is_the_id_and_order_is_kept(tmp_path: Path) -> None:
    given = read(written(tmp_path, "name,A\nz,1\na,2\nm,3\n"))
    assert list(given.values.index) == ["z", "a", "m"]


def test_whole_numbers_may_be_ids(tmp_path: Path) -> None:
    assert list(read(written(tmp_path, "sample,A\n7,1.5\n9,2.5\n")).values.index) == ["7", "9"]


def test_lineage_may_be_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = bundle("rna:A", "lineage:Lung", "lineage:Bone")
    X, missing = align(read(written(tmp_path, "id,A,lineage\nx,1,lung \ny,2,\nz,3,Liver\nm,1,Mars\n")), model)
    assert missing == []
    nothing = [np.nan, np.nan]
    np.testing.assert_array_equal(X.iloc[:, 1:].astype(float), [[1, 0], nothing, [0, 0], nothing])
    assert "not among the training lines count as not given: Mars" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("id\nx\n", "has 1 column: 'id'"),
        ("id,A\n", "0 samples"),
        ("A,B\n1.5,2.5\n1.5,3.5\n", "no sample ids"),
        ("A,B\n0.51,2\n0.52,3\n", "no sample ids"),
        ("id,A\nx,1\nx,2\n", "ids given more than once: x"),
        ("id,A\nx,1\n,2\n", "1 samples without an id"),
        ("id,A,A\nx,1,2\n", "features given more than once: A and A differ in 1 samples, 1 and 2 in x"),
        ("id,A,A (12)\nx,1,2\n", r"features given more than once: A and A \(12\) differ"),
        ("id,A,B\nx,1,high\ny,2,3\n", r"1 cells are no finite numbers: 'high' \(row x, column B\)"),
        ("id,A\nx,inf\n", "no finite numbers"),
        ("id,A,B\nx,1,2,\n", "more cells than the header"),
        ("A\tB\nx\t1\t2\n".replace("\t", ","), "more cells than the header"),
        ("id,A\nx,1.5.2\n", "no finite numbers"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        read(written(tmp_path, text))


def test_a_missing_file_a_wrong_suffix_and_a_cut_parquet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read"):
        read(tmp_path / "none.csv")
    with pytest.raises(ProfileError, match=r"suffix '.xlsx'"):
        read(written(tmp_path, "x", "p.xlsx"))
    pd.DataFrame({"id": ["x"], "A": [1.0]}).to_parquet(tmp_path / "p.parquet")
    cut = written(tmp_path, "", "cut.parquet")
    cut.write_bytes((tmp_path / "p.parquet").read_bytes()[:100])
    with pytest.raises(ProfileError, match="cannot be read"):
        read(cut)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,A\nx,-1.2\n", r"rna:A = -1.2 \(sample x\): expected log2"),
        ("id,A\nx,3512\n", "unit of expression is not clear: whole numbers, too few for counts"),
        ("id,A,mutation:C\nx,1,2\n", "expected 0 or 1"),
        ("id,A,mutation:C\nx,1,0.5\n", "expected 0 or 1"),
        ("id,A,mutation:C\nx,-4,9\n", "expected log2.*expected 0 or 1"),
        ("id,rppa:Akt\nx,25000\n", r"rppa:Akt = 25000 \(sample x\): training lines have -2 to 3"),
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        read(written(tmp_path, text))


def test_units_of_given_profiles_are_checked() -> None:
    given = Profiles(pd.DataFrame({"rna:A": [-1.0]}, index=["x"]), None)
    with pytest.raises(ProfileError, match=r"rna:A = -1 \(sample x\): expected log2"):
        check_units(given, [bundle("rna:A")], "profiles.csv")


def test_missing_features_are_told_with_their_share(tmp_path: Path) -> None:
    given = read(written(tmp_path, "id,A,Z\nx,1,4\n"))
    own = bundle("rna:A", "rna:B", "rna:C", "rna:D")
    (told,) = tell_missing(given.values.columns, [own], lineage=False)
    assert "3 of 4 features are not in the table; 75 % of the model rests on them" in told
    out = score(given, own)
    assert out.radiation_coverage["x"] == pytest.approx(0.25)
    assert np.isfinite(out.radiation_score["x"])  # at the floor, not under it


def test_too_little_measured_is_refused_with_the_reason(tmp_path: Path) -> None:
    given = read(written(tmp_path, "id,A\nx,1\ny,\n"))
    own = bundle("rna:A", "rna:B", "rna:C", "rna:D", "rna:E")
    out = score(given, own)
    assert out.radiation_refused.tolist() == [
        "coverage 0.200 is under 0.25",
        "no value of the model's features",
    ]
    assert out[["radiation_probability", "radiation_score"]].isna().all(axis=None)
    assert (out[["radiation_class", "radiation_set"]] == "").all(axis=None)
    allowed = score(given, own, Rules(floor=0.0))
    assert np.isfinite(allowed.radiation_probability["x"])
    assert np.isnan(allowed.radiation_probability["y"])


def test_classes_and_sets_follow_the_rules(tmp_path: Path) -> None:
    given = read(written(tmp_path, "id,A\nx,0.1\ny,4\n"))
    own = bundle("rna:A")
    out = score(given, own, Rules(threshold=0.6, confidence=0.5))
    assert out.radiation_class.tolist() == ["sensitive", "resistant"]
    # y is strange by .018 for resistant (p 1, under both known lines), by .98 for sensitive (p .25)
    assert out.radiation_set["y"] == "resistant"
    with pytest.raises(ProfileError, match=r"threshold 0.5, confidence 1.0, floor 0.25: each must be from 0"):
        Rules(confidence=1.0)


def test_a_table_without_any_feature_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ProfileError, match="none of the 5 features of the model: recognised: 0 names of columns and 0"
    ):
        read(written(tmp_path, "id,Z\nx,1\n"))


def test_nothing_is_written_when_something_is_wrong(tmp_path: Path) -> None:
    profiles = written(tmp_path, "id,A\nx,1\n")
    with pytest.raises(ProfileError, match=r"suffix '.pdf' of the output"):
        predict_file(profiles, tmp_path / "out.pdf")
    with pytest.raises(BundleError, match="no model there"):
        predict_file(profiles, tmp_path / "out.csv", str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["profiles.csv"]
