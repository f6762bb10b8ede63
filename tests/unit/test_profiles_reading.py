"""Forms of tables: the same numbers from each, to the bit, and clear words for what is damaged."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from crossres_ml.errors import ProfileError
from crossres_ml.predict.profiles import open_profiles, read_profiles
from crossres_ml.predict.units import other_logarithm

GENES = [f"G{i}" for i in range(40)]
FEATURES = pd.DataFrame(
    {
        "block": ["rna"] * 40 + ["mutation", "rppa"],
        "unit": ["log2_tpm"] * 40 + ["0/1", "log2"],
        "median": 3.0,
        "low": 0.0,
        "high": 12.0,
    },
    index=[f"rna:{g}" for g in GENES] + ["mutation:G1", "rppa:Akt"],
)


def profiles(samples: int = 23, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.gamma(2, 1.5, (samples, 40)).clip(0, 12), columns=GENES)
    table[rng.random(table.shape) < 0.05] = np.nan
    return table.set_axis([f"s{i}" for i in range(samples)], axis=0)


def annotated(table: pd.DataFrame, X: object, path: Path) -> Path:
    obs = pd.DataFrame(index=pd.Index(list(table.index), dtype=object))
    obs["lineage"] = pd.Categorical(pd.Series(["Lung"] * len(table), dtype=object))
    var = pd.DataFrame(index=pd.Index(list(table.columns), dtype=object))
    anndata.AnnData(X, obs=obs, var=var).write_h5ad(path)
    return path


def saved(table: pd.DataFrame, folder: Path, form: str) -> Path:
    path = folder / f"p.{form.split()[-1]}"
    turned = table.T if form.startswith("genes") else table
    if form.endswith("parquet"):
        turned.to_parquet(path, row_group_size=5)
    elif form.endswith("h5ad"):
        make = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}.get(form.split()[-2], np.asarray)
        return annotated(turned, make(turned.to_numpy()), path)
    else:
        turned.to_csv(
            path, sep="\t" if "tsv" in form else ",", lineterminator="\r\n" if "tsv" in form else "\n"
        )
    return path


FORMS = [
    f"{side} {form}"
    for side in ("samples", "genes")
    for form in ("csv", "tsv", "csv.gz", "parquet", "dense h5ad", "csr h5ad", "csc h5ad")
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_and_chunk_size_gives_the_same_bits(tmp_path: Path, form: str) -> None:
    table = profiles()
    path = saved(table, tmp_path, form)
    opened = open_profiles(path, FEATURES)
    assert opened.report["orientation"] == f"{form.split()[0]} in rows"
    assert list(opened.columns) == [f"rna:{g}" for g in GENES]
    for size in (1, 4, 23, 100):
        chunks = list(opened.chunks(size))
        assert [len(c.values) for c in chunks][:-1] == [size] * (len(chunks) - 1)
        got = pd.concat([c.values for c in chunks])
        np.testing.assert_array_equal(got.to_numpy(), table.to_numpy(dtype=np.float32))
        assert list(got.index) == list(table.index) == list(opened.ids)
        assert (got.dtypes == np.float32).all()
    if form in ("samples dense h5ad", "samples csc h5ad"):
        assert chunks[0].lineage is not None
        assert list(chunks[0].lineage) == ["Lung"] * 23


@given(
    order=st.permutations(range(40)),
    size=st.integers(1, 30),
    form=st.sampled_from(FORMS),
    unit=st.sampled_from(["log2_tpm", "tpm", "counts"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_permuted_columns_in_any_form_unit_and_chunk_give_the_same_bits(
    tmp_path: Path, order: list[int], size: int, form: str, unit: str, seed: int
) -> None:
    table = profiles(11, seed)
    if unit != "log2_tpm":
        table = table**4 if unit == "tpm" else (table**5).round()
    straight = read_profiles(saved(table, tmp_path, "samples csv"), FEATURES, unit=unit)
    path = saved(table.iloc[:, order], tmp_path, form)
    chunks = list(open_profiles(path, FEATURES, unit=unit).chunks(size))
    got = pd.concat([c.values for c in chunks])
    assert got.to_numpy().tobytes() == straight.values.to_numpy().tobytes()
    pd.testing.assert_frame_equal(got, straight.values)


def test_a_frame_is_read_like_a_file(tmp_path: Path) -> None:
    table = profiles().assign(lineage="Lung", note="x").astype({"G3": object})
    one = read_profiles(table, FEATURES)
    other = read_profiles(saved(table, tmp_path, "samples csv"), FEATURES)
    pd.testing.assert_frame_equal(one.values, other.values)
    pd.testing.assert_series_equal(one.lineage, other.lineage)


def test_lineage_may_be_a_row() -> None:
    text = "gene,x,y\nlineage,Lung,\nG1,1,2\nG2,3,4\n"
    read = from_text(text)
    assert read.lineage is not None
    assert read.lineage.fillna("?").tolist() == ["Lung", "?"]
    np.testing.assert_array_equal(read.values.to_numpy(), [[1, 3], [2, 4]])


def from_text(text: str | bytes, name: str = "p.csv", **options: object):  # type: ignore[no-untyped-def]
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_profiles(path, FEATURES, **options)


def test_orientation_is_told_and_settled(tmp_path: Path) -> None:
    square = pd.DataFrame(1.0, index=GENES[:5], columns=GENES[5:10])
    with pytest.raises(ProfileError, match=r"not clear which side.*5 names of columns and 5 names of rows"):
        open_profiles(saved(square, tmp_path, "samples csv"), FEATURES)
    by = {o: open_profiles(tmp_path / "p.csv", FEATURES, orientation=o) for o in ("samples", "genes")}
    assert list(by["samples"].ids) == GENES[:5]
    assert list(by["genes"].ids) == GENES[5:10]
    with pytest.raises(ProfileError, match="orientation 'x'"):
        open_profiles(tmp_path / "p.csv", FEATURES, orientation="x")


def test_columns_of_annotation_are_no_samples() -> None:
    text = "# made by a counter\nGeneid,Chr,Length,Description,x,y\nG1,1,900,abc,5,7\nG2,X,80,def,2.5,0\n"
    read = from_text(text)
    np.testing.assert_array_equal(read.values, [[5, 2.5], [7, 0]])


# --- units ------------------------------------------------------------------------------------------


def library(kind: str, samples: int = 9) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    wide = pd.DataFrame(
        rng.gamma(0.4, 200, (samples, 600)), columns=GENES + [f"other{i}" for i in range(560)]
    )
    wide = wide.div(wide.sum(axis=1), axis=0) * 1e6
    if kind == "counts":
        wide = (wide * rng.uniform(5, 30, (samples, 1))).round()
    return wide.set_axis([f"s{i}" for i in range(samples)], axis=0)


@pytest.mark.parametrize("form", ["samples csv", "genes csv", "samples parquet", "samples csc h5ad"])
@pytest.mark.parametrize("kind", ["tpm", "counts"])
def test_linear_units_are_recognised_and_turned(tmp_path: Path, form: str, kind: str) -> None:
    wide = library(kind)
    opened = open_profiles(saved(wide, tmp_path, form), FEATURES)
    assert opened.report["unit"] == kind
    assert "600 genes" in opened.report["unit_because"]
    expected = np.log2(wide.div(wide.sum(axis=1), axis=0)[GENES] * 1e6 + 1)
    got = pd.concat([c.values for c in opened.chunks(4)])
    np.testing.assert_allclose(got, expected, rtol=2e-6)


def test_a_summary_row_is_no_gene() -> None:
    text = "g,x\nG1,100000\nG2,300000\n__no_feature,999999999\nN_unmapped,5\n"
    assert from_text(text, unit="counts").values.iloc[0, 0] == np.float32(np.log2(250001))


def test_a_sample_without_counts_has_no_value(tmp_path: Path) -> None:
    wide = library("counts")
    wide.iloc[2] = 0
    opened = open_profiles(saved(wide, tmp_path, "samples csv"), FEATURES)
    assert np.isnan(next(opened.chunks(9)).values.loc["s2"]).all()
    assert opened.report["samples_without_values"] == {"count": 1, "ids": ["s2"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t * 3.3, "linear, but not TPM"),
        (lambda t: (t / 100).round(), "whole numbers, too few"),
        (lambda t: (t / 1e3).round().clip(upper=15), "whole numbers up to 15: counts, or rounded"),
        (lambda t: -t, r"rna:G\d+ = -.* \(sample s0\): expected log2\(TPM \+ 1\); z-scores"),
    ],
)
def test_an_unclear_unit_is_not_guessed(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    path = saved(change(library("tpm")), tmp_path, "samples csv")
    with pytest.raises(ProfileError, match=message):
        read_profiles(path, FEATURES)


def test_a_value_that_breaks_the_unit_later_is_refused(tmp_path: Path) -> None:
    table = profiles(150)
    table.iloc[140, 7] = 20.5
    chunks = open_profiles(saved(table, tmp_path, "samples csv"), FEATURES).chunks(10)
    with pytest.raises(ProfileError, match=r"rna:G7 = 20.5 \(sample s140\): expected log2"):
        list(chunks)


def test_another_logarithm_is_said() -> None:
    rng = np.random.default_rng(1)
    medians = rng.gamma(2, 2, 400)
    head = (medians + rng.normal(0, 0.5, (30, 400))).clip(0)
    head[:, ::7] = np.nan
    assert other_logarithm(head, medians) is None
    assert "0.30 of their value there: perhaps log10" in str(other_logarithm(head * np.log10(2), medians))
    assert "natural" in str(other_logarithm(head * np.log(2), medians))
    assert "a multiple" in str(other_logarithm(head * 2, medians))
    assert other_logarithm(head[:, :50] * 0.3, medians[:50]) is None


# --- damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("id;G1;G2\nx;1,5;2\n", "p.csv", r"has 1 column(.|\n)*semicolon would give 3 columns"),
        ("id\tG1\tG2\nx\t1\t2\n", "p.csv", "a tab would give 3 columns: name it .tsv"),
        ("id,G1,G2\nx,1,2\n", "p.tsv", "a comma would give 3 columns: name it .csv"),
        ('id,G1\nx,"1,5"\n', "p.csv", r"'1,5' \(row x, column G1\)(.|\n)*1 of them have a comma"),
        ("id,G1,G2\nx,1\n", "p.csv", "row 1 below the header: fewer cells"),
        ('id,G1,Z\nx,1,"2\ny,3,4\nz,5,6\n', "p.csv", "quotation mark is not closed"),
        ('id,"G1,G2\nx,1,2\n', "p.csv", "header cannot be read"),
        ("id,G1\rx,1\ry,2\r", "p.csv", "carriage returns alone"),
        ("id,G1\nx,1\n".encode("utf-16"), "p.csv", "UTF-16"),
        (b"id,G1\nx,1\n\xff\xfe,\x81\x9d\n", "p.csv", "cannot be read|no finite numbers"),
        (gzip.compress(b"id,G1\n" + b"x,1\n" * 9999, mtime=0)[:60], "p.csv.gz", "cannot be read"),
        (b"no gzip", "p.csv.gz", "cannot be read"),
        (b"no hdf5", "p.h5ad", "cannot be read"),
        (b"", "p.parquet", "cannot be read"),
        ("\n\n", "p.csv", "it is empty"),
        ("id,G1\nx,2020-01-01\n", "p.csv", "no finite numbers: '2020-01-01'"),
        ("id,G1\nx,True\n", "p.csv", "no finite numbers: 'True'"),
        ("id,G1\nx,1e999\n", "p.csv", "no finite numbers"),
        ("id,G1\nx,0x10\n", "p.csv", "no finite numbers: '0x10'"),
        ("G1,G2\n1.5,2.5\n", "p.csv", "no sample ids"),
        ("gene,x,x\nG1,1,2\n", "p.csv", "ids given more than once: x"),
    ],
)
def test_damaged_text_is_refused(text: str | bytes, name: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        from_text(text, name)


def test_harmless_oddities_are_read(tmp_path: Path) -> None:
    for text in (
        b"\xef\xbb\xbfid,G1,G2\r\nx,1.5,+2\r\n",
        b'"id","G1","G2"\n"x","1.5","2"\n\n',
        b"# note\n\nid, G1 ,G2\nx, 1.5 ,2.0e0\n",
    ):
        np.testing.assert_array_equal(from_text(text).values, [[1.5, 2]])
    (tmp_path / "p.csv").write_bytes("id,G1,Größe\nMüller,1.5,3\n".encode("cp1252"))
    opened = open_profiles(tmp_path / "p.csv", FEATURES)
    assert list(opened.ids) == ["Müller"]
    assert "Windows-1252" in opened.report["notes"][0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.array([True, False]), "1 columns hold true and false: G1"),
        (pd.to_datetime(["2020-01-01", "2021-01-01"]), "holds timestamp"),
        (np.array([1 + 2j, 1]), "complex numbers"),
        (pd.Series([1.0, np.inf]), "no finite numbers: 'inf'"),
        (pd.Series([1, "high"], dtype=object), r"'high' \(row y, column G1\)"),
    ],
)
def test_columns_of_other_types_are_refused(values: object, message: str) -> None:
    frame = pd.DataFrame({"G2": [1.0, 2.0]}).assign(G1=values).set_axis(["x", "y"], axis=0)
    with pytest.raises(ProfileError, match=message):
        read_profiles(frame, FEATURES)


def test_states_may_be_true_and_false(tmp_path: Path) -> None:
    frame = pd.DataFrame({"G1": [1.0, 2.0], "mutation:G1": [True, False]}, index=["x", "y"])
    frame.to_parquet(tmp_path / "p.parquet")
    for source in (frame, tmp_path / "p.parquet"):
        np.testing.assert_array_equal(read_profiles(source, FEATURES).values, [[1, 1], [2, 0]])


def test_equal_columns_are_one_and_doubled_parquet_names_are_kept_apart(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert from_text("id,G1,G1 (5)\nx,1,1.0\ny,,\n").values.shape == (2, 1)
    with pytest.raises(ProfileError, match=r"G1 and G1 \(5\) differ in 1 samples, nan and 2 in y"):
        from_text("id,G1,G1 (5)\nx,1,1.0\ny,,2\n")
    columns = [pa.array(["x"]), pa.array([1.0]), pa.array([5.0]), pa.array([2.0])]
    pq.write_table(pa.Table.from_arrays(columns, names=["id", "G1", "G2", "G1"]), tmp_path / "p.parquet")
    with pytest.raises(ProfileError, match="G1 and G1 differ in 1 samples, 1 and 2 in x"):
        read_profiles(tmp_path / "p.parquet", FEATURES)


def test_the_report_is_json_and_complete(tmp_path: Path) -> None:
    import json

    table = profiles().assign(extra=1.0)
    table.iloc[4] = np.nan
    opened = open_profiles(saved(table, tmp_path, "samples csv"), FEATURES)
    for _ in range(2):
        list(opened.chunks(3))
        assert opened.report["samples_without_values"] == {"count": 1, "ids": ["s4"]}
    report = json.loads(json.dumps(opened.report, allow_nan=False))
    assert report["unmapped"] == {"count": 1, "names": ["extra"]}
    assert report["kinds_of_names"] == {"symbol": 40}


def test_only_wanted_columns_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    asked: list[list[str]] = []
    real = pq.ParquetFile.iter_batches

    def spy(self: object, rows: int, columns: list[str]) -> object:
        asked.append(columns)
        return real(self, rows, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    table = profiles().join(pd.DataFrame(0.5, index=profiles().index, columns=[f"z{i}" for i in range(99)]))
    read_profiles(saved(table, tmp_path, "samples parquet"), FEATURES)
    assert {c for columns in asked for c in columns} <= {*GENES, "__index_level_0__"}


@pytest.mark.parametrize(("size", "reads"), [(23, 1), (30, 1), (7, 3)])
def test_a_table_of_one_chunk_is_read_once(tmp_path: Path, size: int, reads: int) -> None:
    opened = open_profiles(saved(profiles(), tmp_path, "parquet"), FEATURES)
    counted: list[int] = []
    blocks = opened._side.blocks

    def count(*given: object) -> object:
        counted.append(1)
        return blocks(*given)  # type: ignore[arg-type]

    opened._side.blocks = count  # type: ignore[assignment,method-assign]
    whole = [pd.concat([p.values for p in opened.chunks(size)]) for _ in range(3)]
    assert len(counted) == reads
    for table in whole[1:]:
        pd.testing.assert_frame_equal(table, whole[0], check_exact=True)
    assert opened.report["samples_without_values"] == {"count": 0, "ids": []}
