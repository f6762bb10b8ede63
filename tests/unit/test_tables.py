"""Tables: schema errors that say where, the cache that is never trusted blindly, traps of the files."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
import rdata
from hypothesis import given
from hypothesis import strategies as st

from crossres_ml.errors import SchemaError, SourceError
from crossres_ml.sources import depmap, sanger, tables
from crossres_ml.sources.ccle import variant_class
from crossres_ml.sources.reading import gene_symbols, pick, pivot, read_text, to_numbers, unpivot
from crossres_ml.sources.registry import load_registry
from crossres_ml.sources.resolve import Found
from crossres_ml.sources.schema import MODEL_ID, Matrix, Table, flag, integer, long_schema, number, text
from crossres_ml.sources.tables import TABLES, load_tables

LONG = long_schema(
    {"line": text("L[0-9]", needed=True), "dose_gy": number(0, 10), "n": integer(1), "ok": flag()}, ["line"]
)
GOOD_LONG = pd.DataFrame({"line": ["L1", "L2"], "dose_gy": [0.5, None], "n": [1, None], "ok": [True, False]})
GOOD_WIDE = pd.DataFrame(
    [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], index=["ACH-000001", "ACH-000002"], columns=["TP53", "ATM", "RB1"]
)


def table(read: Callable[[Mapping[str, Path]], pd.DataFrame], schema: object, name: str = "made_up") -> Table:
    return Table(name, ("a",), read, schema, "unit", "about")  # type: ignore[arg-type]


def found(folder: Path, **contents: bytes | str) -> dict[str, Found]:
    """Write files and vouch for them."""
    out = {}
    for name, content in contents.items():
        raw = content.encode() if isinstance(content, str) else content
        path = folder / name
        path.write_bytes(raw)
        out[name] = Found(name, path, hashlib.sha256(raw).hexdigest(), "mirror")
    return out


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make these the only tables of the program (in this process)."""

    def use(*made: Table) -> None:
        monkeypatch.setattr(tables, "TABLES", {t.name: t for t in made})

    return use


class Reader:
    """A reader that counts; gives what the file holds."""

    __module__ = depmap.__name__  # the cache key holds the source of the reader's module

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, paths: Mapping[str, Path]) -> pd.DataFrame:
        self.calls += 1
        values = [float(p.read_text()) for p in paths.values()]
        return pd.DataFrame([values], index=["ACH-000001"], columns=list(paths))


# --- schemas -------------------------------------------------------------------------------------


def test_good_long_table():
    out = table(lambda _: GOOD_LONG, LONG).validate(GOOD_LONG)
    assert out.dtypes.astype(str).tolist() == ["str", "float64", "Int64", "bool"]
    assert out.n.isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dose_gy": [-1.0, 2.0]}, r"table made_up: column dose_gy: in_range\(0, 10\): -1"),
        ({"dose_gy": ["1", "two"]}, r"column dose_gy: coerce_dtype.*two"),
        ({"line": ["L1", "X7"]}, r"column line: str_matches.*X7"),
        ({"line": ["L1", None]}, "column line: not_nullable"),
        ({"line": ["L1", "L1"]}, "column line: .*unique.*L1"),
        ({"n": [0, 1]}, "column n: greater_than_or_equal_to"),
        ({"n": [1.5, 1]}, "column n: coerce_dtype"),
        ({"extra": [1, 2]}, "column columns: column_in_schema: extra"),
    ],
)
def test_bad_long_table(change: dict[str, list], message: str):
    with pytest.raises(SchemaError, match=message):
        table(lambda _: GOOD_LONG, LONG).validate(GOOD_LONG.assign(**change))


def test_missing_column():
    with pytest.raises(SchemaError, match="column columns: column_in_dataframe: dose_gy"):
        table(lambda _: GOOD_LONG, LONG).validate(GOOD_LONG.drop(columns="dose_gy"))


def test_all_problems_of_a_table_at_once():
    bad = GOOD_LONG.assign(line=["L1", "L1"], dose_gy=[-1.0, 99.0])
    with pytest.raises(SchemaError, match=r"(?s)line.*L1.*dose_gy.*-1\.0, 99\.0") as caught:
        table(lambda _: bad, LONG).validate(bad)
    assert caught.value.where == "a"


def test_good_matrix():
    out = table(lambda _: GOOD_WIDE, Matrix("model_id", 0, 10, pattern=MODEL_ID)).validate(GOOD_WIDE)
    assert (out.dtypes == np.float32).all()
    assert out.index.name == "model_id"


def _cell(value: object) -> pd.DataFrame:
    frame = GOOD_WIDE.astype(object)
    frame.loc["ACH-000002", "ATM"] = value
    return frame if isinstance(value, str) else frame.astype(float)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (_cell(99.0), r"table made_up: column ATM: outside 0\.\.10: 99\.0 \(ACH-000002\)"),
        (_cell(-0.1), r"column ATM: outside 0\.\.10: -0\.1"),
        (_cell(np.inf), r"column ATM: outside 0\.\.10: inf"),
        (_cell(np.nan), r"column ATM: missing: nan \(ACH-000002\)"),
        (_cell("high"), "column ATM: not a number: 'high'"),
        (GOOD_WIDE.set_axis(["ACH-000001"] * 2), "model_id: more than once: ACH-000001"),
        (GOOD_WIDE.set_axis(["ACH-000001", "HELA"]), "model_id: not like .*: HELA"),
        (GOOD_WIDE.set_axis(["ACH-000001", None]), "model_id: 1 missing"),
        (GOOD_WIDE.set_axis(["TP53", "TP53", "RB1"], axis=1), "column name: more than once: TP53"),
    ],
)
def test_bad_matrix(frame: pd.DataFrame, message: str):
    with pytest.raises(SchemaError, match=message):
        table(lambda _: frame, Matrix("model_id", 0, 10, pattern=MODEL_ID)).validate(frame)


def test_many_bad_columns_are_counted():
    wide = pd.DataFrame(np.full((2, 10), 11.0), columns=[f"c{i}" for i in range(10)])
    with pytest.raises(SchemaError, match=r"column c2: outside.*and 7 more columns outside"):
        table(lambda _: wide, Matrix(None, 0, 10)).validate(wide)


def test_text_numbers_are_numbers():
    frame = GOOD_WIDE.astype(str)
    out = table(lambda _: frame, Matrix("model_id", 0, 10)).validate(frame)
    assert out.loc["ACH-000002", "RB1"] == 6


def test_missing_where_allowed():
    out = table(lambda _: GOOD_WIDE, Matrix("model_id", 0, 10, missing=True)).validate(_cell(np.nan))
    assert out.isna().to_numpy().sum() == 1


# --- the cache -----------------------------------------------------------------------------------

MUTATIONS = pd.DataFrame(
    {"DepMap_ID": ["ACH-000001", "ACH-000001", "ACH-000002"], "gene": ["TP53", "TP53", "ATM"]}, dtype=object
)


@pytest.fixture
def r_file(tmp_path: Path) -> dict[str, Found]:
    path = tmp_path / "depmap_mutated_genes"
    frame = MUTATIONS.set_axis(pd.Index(["1", "2", "3"], dtype=object))
    rdata.write_rda(path, {"mynewmut": frame}, compression="xz")
    raw = path.read_bytes()
    return {path.name: Found(path.name, path, hashlib.sha256(raw).hexdigest(), "mirror")}


def explode(path: Path) -> None:
    raise AssertionError(f"read {path}")


def test_second_time_reads_no_r_file(r_file, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cold = load_tables(r_file, tmp_path / "cache", jobs=1)
    assert cold["mutation_any"].to_numpy().tolist() == [["ACH-000001", "TP53"], ["ACH-000002", "ATM"]]
    monkeypatch.setattr(depmap, "read_r", explode)
    warm = load_tables(r_file, tmp_path / "cache", jobs=1)
    pdt.assert_frame_equal(warm["mutation_any"], cold["mutation_any"])
    other = {i: replace(f, sha256="0" * 64) for i, f in r_file.items()}
    with pytest.raises(AssertionError, match=r"read .*depmap_mutated_genes"):
        load_tables(other, tmp_path / "cache", jobs=1)


def test_changed_file_is_read_and_replaces_the_old(tmp_path: Path, only):
    reader, cache = Reader(), tmp_path / "cache"
    only(table(reader, Matrix("model_id", 0, 10)))
    for content, calls in (("1", 1), ("1", 1), ("2", 2), ("2", 2)):
        out = load_tables(found(tmp_path, a=content), cache, jobs=1)
        assert out["made_up"].iloc[0, 0] == float(content)
        assert reader.calls == calls
    assert len(list(cache.iterdir())) == 1


def test_changed_code_is_read_again(tmp_path: Path, only, monkeypatch: pytest.MonkeyPatch):
    reader = Reader()
    only(table(reader, Matrix("model_id", 0, 10)))
    load_tables(found(tmp_path, a="1"), tmp_path / "cache", jobs=1)
    monkeypatch.setattr(tables, "_code_hash", lambda module: "changed")
    load_tables(found(tmp_path, a="1"), tmp_path / "cache", jobs=1)
    assert reader.calls == 2


def flip(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: b"",
        lambda r: r[:-9],
        lambda r: flip(r, 5),
        lambda r: flip(r, len(r) // 2),
        lambda r: r + b"\0",
    ],
    ids=["empty", "truncated", "first page", "middle", "longer"],
)
def test_damaged_cache_is_not_trusted(tmp_path: Path, only, caplog, damage: Callable[[bytes], bytes]):
    reader, cache = Reader(), tmp_path / "cache"
    only(table(reader, Matrix("model_id", 0, 10)))
    files = found(tmp_path, a="3")
    load_tables(files, cache, jobs=1)
    (stored,) = cache.iterdir()
    stored.write_bytes(damage(stored.read_bytes()))
    with caplog.at_level(logging.WARNING):
        out = load_tables(files, cache, jobs=1)
    assert out["made_up"].iloc[0, 0] == 3
    assert reader.calls == 2
    assert "damaged and is read again" in caplog.text
    load_tables(files, cache, jobs=1)
    assert reader.calls == 2


@pytest.mark.parametrize("shape", [(3, 2000), (2000, 3), (1, 1)])
@pytest.mark.parametrize("name", ["model_id", None])
def test_matrices_come_back_as_they_were(tmp_path: Path, only, shape: tuple[int, int], name: str | None):
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    values[0, 0] = np.nan
    rows = [f"L{i}" for i in range(shape[0])] if name else None
    wide = pd.DataFrame(values, index=rows, columns=[f"G{i}" for i in range(shape[1])])
    only(table(_Fixed(wide), Matrix(name, 0, 1, missing=True)))
    files = found(tmp_path, a="")
    cold, warm = (load_tables(files, tmp_path / "cache", jobs=1)["made_up"] for _ in range(2))
    pdt.assert_frame_equal(cold, wide.rename_axis(index=name))
    pdt.assert_frame_equal(warm, cold)
    assert isinstance(warm.index, pd.RangeIndex) == (name is None)


class _Fixed:
    __module__ = depmap.__name__

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def __call__(self, paths: Mapping[str, Path]) -> pd.DataFrame:
        return self.frame


# --- which tables ----------------------------------------------------------------------------------


def test_unknown_name(tmp_path: Path):
    with pytest.raises(SourceError, match="no table rna_999"):
        load_tables({}, tmp_path, names=["rna_999"])


def test_nothing_at_hand(tmp_path: Path):
    assert load_tables({}, tmp_path / "cache") == {}
    assert not (tmp_path / "cache").exists()


def test_table_without_one_of_its_files_is_left_out(tmp_path: Path, only, caplog):
    only(replace(table(Reader(), Matrix("model_id", 0, 10)), sources=("a", "b")))
    with caplog.at_level(logging.INFO):
        assert load_tables(found(tmp_path, a="1"), tmp_path / "cache", jobs=1) == {}
    assert "made_up left out: no file b" in caplog.text


def test_partial_table_grows_with_its_files(tmp_path: Path, only):
    made = replace(table(Reader(), Matrix("model_id", 0, 10)), sources=("a", "b"), partial=True, also=("c",))
    only(made)
    cache = tmp_path / "cache"
    out = load_tables(found(tmp_path, b="2"), cache, jobs=1)["made_up"]
    assert list(out) == ["b"]
    out = load_tables(found(tmp_path, a="1", b="2", c="3"), cache, jobs=1)["made_up"]
    assert list(out) == ["a", "b", "c"]
    assert load_tables(found(tmp_path, c="3"), cache, jobs=1) == {}


def test_two_processes_give_the_same_and_tell_all_errors(tmp_path: Path):
    model, sets = "source,target,weight,p_value\nWNT,AXIN2,3.5,0.001\n", json.dumps({"S": ["TP53", "ATM"]})
    files = found(tmp_path, progeny_model=model, msigdb_hallmark=sets)
    two = load_tables(files, tmp_path / "two", jobs=2)
    one = load_tables(files, tmp_path / "one", jobs=1)
    assert list(two) == list(one) == ["gene_sets", "progeny_model"]
    for name, frame in one.items():
        pdt.assert_frame_equal(two[name], frame)
    bad = found(tmp_path, progeny_model=model.replace("3.5", "much"), msigdb_hallmark=sets[:-3])
    with pytest.raises(
        SourceError, match=r"(?s)2 tables.*gene_sets cannot be read.*weight: not a number: 'much'"
    ):
        load_tables(bad, tmp_path / "three", jobs=2)
    assert not list((tmp_path / "three").glob("*"))


def test_only_schema_errors_stay_schema_errors(tmp_path: Path):
    files = found(
        tmp_path,
        progeny_model="source,target,weight,p_value\nWNT,AXIN2,3.5,7\n",
        collectri="source,target,mor\nMYC,TERT,1\nMYC,TERT,1\n",
    )
    with pytest.raises(SchemaError, match=r"(?s)2 tables.*collectri: .*TERT.*p_value: in_range\(0, 1\): 7"):
        load_tables(files, tmp_path / "cache", jobs=1)


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ("collectri", "source,target\nMYC,TERT\n"),
        ("collectri", 'source,target,mor\n"MYC,TERT,1\n'),
        ("collectri", ""),
        ("collectri", b"\xff\xfe\x00source"),
        ("depmap25q3_clinical_cn", '{"byCellLine": {"ACH-000001": {"deletions": [{"gene": "ATM"}]}}}'),
        ("depmap25q3_clinical_cn", "[]"),
        ("ccle_driver_status", b"PK\x03\x04 not a zip"),
        ("yard2016_clonogenic", b"PK\x03\x04 not a workbook"),
        ("ctrpv2_auc", b"RDX2\nX\n\0\0\0\2"),
        ("depmap19q1_copy_number", b"PAR1 not parquet"),
        ("gdsc_v17_ic50", "COSMIC_ID,Drug_x_IC50\n1,2\n"),
    ],
)
def test_unreadable_file(tmp_path: Path, source: str, content: bytes | str):
    files = found(tmp_path, **{source: content})
    with pytest.raises((SourceError, SchemaError), match=r".") as caught:
        load_tables(files, tmp_path / "cache", jobs=1)
    assert source in caught.value.where
    assert not list((tmp_path / "cache").glob("*"))


def test_every_table_is_described():
    registry = load_registry()
    used = {i for t in TABLES.values() for i in (*t.sources, *t.also)}
    assert used == set(registry)
    assert all(t.unit and t.about and t.sources for t in TABLES.values())


# --- helpers ---------------------------------------------------------------------------------------


def test_words_that_are_values(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text(" gene ,coating\nNAN,None\n nan ,NA\n,\n")
    out = read_text(path)
    assert out.columns.tolist() == ["gene", "coating"]
    assert out.gene.tolist()[:2] == ["NAN", "nan"]
    assert out.coating.tolist()[0] == "None"
    assert out.isna().to_numpy().tolist() == [[False, False], [False, True], [True, True]]


def test_pick_names_all_missing_columns(tmp_path: Path):
    with pytest.raises(SchemaError, match="no column b, c; there are a, d"):
        pick(pd.DataFrame({"a": [1], "d": [2]}), {"a": "x", "b": "y", "c": "z"}, tmp_path)


def test_to_numbers_names_all_text(tmp_path: Path):
    frame = pd.DataFrame({"x": ["1", "~ 30 hrs", None], "y": ["a", "b", "2"]}, dtype="str")
    with pytest.raises(SchemaError, match=r"column x: .*'~ 30 hrs'; column y: .*'a', 'b'"):
        to_numbers(frame, ["x", "y"], tmp_path)


def test_pivot_takes_equal_repeats_once(tmp_path: Path):
    rows, columns = np.array(["a", "a", "b"], object), np.array(["x", "x", "y"], object)
    out = pivot(rows, columns, np.array([1.0, 1.0, 2.0]), tmp_path)
    assert out.to_numpy().tolist()[0][0] == 1
    assert np.isnan(out.loc["a", "y"])
    with pytest.raises(SchemaError, match="two values for a x"):
        pivot(rows, columns, np.array([1.0, 1.5, 2.0]), tmp_path)


@given(st.lists(st.lists(st.one_of(st.none(), st.integers(0, 99)), min_size=3, max_size=3), min_size=1))
def test_unpivot_and_pivot_are_inverse(cells: list[list[int | None]]):
    wide = pd.DataFrame(cells, columns=list("xyz"), dtype="float32").rename_axis(index="row")
    long = unpivot(wide, "column", "value")
    assert len(long) == wide.notna().to_numpy().sum()
    back = pivot(long.row.to_numpy(), long.column.to_numpy(), long.value.to_numpy(), Path())
    kept = wide.dropna(how="all").dropna(how="all", axis=1)
    pdt.assert_frame_equal(
        back.sort_index(axis=0).sort_index(axis=1),
        kept,
        check_names=False,
        check_index_type=False,
        check_column_type=False,
    )


def test_gene_symbols():
    assert gene_symbols(["PAK1 (5058)", "MSANTD3-TMEFF1 (100526694)", "TP53"]) == [
        "PAK1",
        "MSANTD3-TMEFF1",
        "TP53",
    ]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("p.A59T", "missense"),
        ("p.A264A", "silent"),
        ("p.*12*", "silent"),
        ("p.R446*", "nonsense"),
        ("p.*100W", "stop_loss"),
        ("p.L883fs", "frameshift"),
        ("p.E749_splice", "splice"),
        ("p.F276del", "inframe_deletion"),
        ("p.176_177insQ", "inframe_insertion"),
        ("p.541_542QQ>Q", "inframe_indel"),
        ("p.?", "other"),
    ],
)
def test_variant_class(change: str, kind: str):
    assert variant_class(pd.Series([change])).tolist() == [kind]


# --- traps of the files, on small copies of their form ------------------------------------------


def read(folder: Path, name: str, files: Mapping[str, bytes | str]) -> pd.DataFrame:
    made = found(folder, **files)
    return load_tables(made, folder / "cache", names=[name], jobs=1)[name]


def test_second_array_of_a_line_is_left_out(tmp_path: Path):
    rows = ["Cosmic id\tSanger_ID\tSLFN11", "905954\tx\t3.6849", "905954.1\tx\t3.3179", "907323\ty\t8.2"]
    out = read(tmp_path, "slfn11_array", {"slfn11_gdsc": "\r".join(rows)})
    assert out.index.tolist() == [905954, 907323]
    assert out.SLFN11[905954] == pytest.approx(3.6849)


def test_growth_of_one_model_at_several_densities(tmp_path: Path):
    head = "COSMIC_ID,model_id,SEEDING_DENSITY,GROWTH_RATE,DOUBLING_TIME,DAY4DAY1RATIO,growth_properties"
    rows = ["905945,SIDM00097,300,0.7,68.4,2.2,Adherent", "905945,SIDM00097,500,0.5,139.9,1.7,Adherent"]
    rows += ["1240131,SIDM00101,625,0.3,-108.9,1.5,Unknown"]
    out = read(tmp_path, "sanger_growth", {"sanger_growth_2019": "\n".join([head, *rows])})
    assert out.sanger_model_id.tolist() == ["SIDM00097", "SIDM00101"]
    assert out.doubling_time_hours.iloc[0] == 68.4
    assert out.doubling_time_hours.isna().tolist() == [False, True]
    assert out.densities_tried.tolist() == [2, 1]


def driver_zip(folder: Path, rows: Iterable[tuple[str, str, str]]) -> bytes:
    path = folder / "driver.zip"
    lines = ["SampleName\tvariable\tvalue", *("\t".join(r) for r in rows)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("status.tsv", "\n".join(lines))
    return path.read_bytes()


def test_driver_status_drops_constant_variants(tmp_path: Path):
    rows = [("ACH.000001.A", "sex", "Female"), ("ACH.000002.B", "sex", "Male")]
    for gene, calls in {
        "TP53": ("WT_TP53", "DamagingVariant_TP53"),
        "HRAS": ("NonDamagingVariant_HRAS", "NonDamagingVariant_HRAS"),
        "RHEB": ("WT_RHEB", "WT_RHEB"),
        "ATM": ("NonDamagingVariant_ATM", "NA"),
    }.items():
        lines = ("ACH.000001.A", "ACH.000002.B")
        rows += [(n, f"{gene}_Variant_Status", c) for n, c in zip(lines, calls, strict=True)]
    out = read(tmp_path, "driver_status", {"ccle_driver_status": driver_zip(tmp_path, rows)})
    assert out.index.tolist() == ["ACH-000001", "ACH-000002"]
    assert sorted(out) == ["ATM", "RHEB", "TP53"]
    assert out.TP53.tolist() == [0, 2]
    assert out.ATM.isna().tolist() == [False, True]


def test_driver_status_of_an_unknown_word(tmp_path: Path):
    rows = [
        ("ACH.000001.A", "ATM_Variant_Status", "Odd_ATM"),
        ("ACH.000002.B", "ATM_Variant_Status", "WT_ATM"),
    ]
    with pytest.raises(SchemaError, match="column ATM: not a number: 'Odd'"):
        read(tmp_path, "driver_status", {"ccle_driver_status": driver_zip(tmp_path, rows)})


def test_panel_795_needs_equal_shared_columns(tmp_path: Path):
    left, right = "A (1),B (2)\n1,2\n3,4\n", "B (2),C (3)\n2,5\n4,6\n"
    names = ("depmap22q2_expression_795a", "depmap22q2_expression_795b")
    out = read(tmp_path, "rna_795", dict(zip(names, (left, right), strict=True)))
    assert out.to_dict("list") == {"A": [1, 3], "B": [2, 4], "C": [5, 6]}
    swapped = "B (2),C (3)\n4,6\n2,5\n"
    with pytest.raises(SchemaError, match=r"not the same lines: B \(2\)"):
        read(tmp_path, "rna_795", dict(zip(names, (left, swapped), strict=True)))


def test_hotspots_know_the_lines_without_any(tmp_path: Path):
    hot = json.dumps({"geneData": {"TP53": {"mutations": {"ACH-000002": 2}}, "KRAS": {"mutations": {}}}})
    lines = {"ACH-000001": {"msi": False}, "ACH-000002": {"lof": ["TP53"], "msi": True}}
    subtypes = json.dumps({"hotspots": [], "fusions": ["A-B"], "lofGenes": ["TP53"], "byCellLine": lines})
    files = {"depmap25q3_hotspots": hot, "depmap25q3_inferred_subtypes": subtypes}
    out = read(tmp_path, "hotspots", files)
    assert out.to_dict("index") == {
        "ACH-000001": {"TP53": 0, "KRAS": 0},
        "ACH-000002": {"TP53": 2, "KRAS": 0},
    }
    subtypes_table = read(tmp_path, "inferred_subtypes", files)
    assert subtypes_table.loc["ACH-000002"].to_dict() == {"fusion A-B": 0, "LoF TP53": 1, "MSI": 1}


def test_copy_number_has_a_floor(tmp_path: Path):
    path = tmp_path / "cn.parquet"
    pd.DataFrame({"CDKN2A": [-33.0, 0.5]}, index=["ACH-000001", "ACH-000002"]).to_parquet(path)
    out = read(tmp_path, "copy_number", {"depmap19q1_copy_number": path.read_bytes()})
    assert out.CDKN2A.tolist() == [-3.0, 0.5]


def test_sanger_model_with_several_ids(tmp_path: Path):
    rows = {
        "SIDM00001": ("ACH-000001;ACH-000002", "11"),
        "SIDM00002": ("ACH-000003;ACH-000003", "12;13"),
        "SIDM00003": ("", ""),
    }
    frame = pd.DataFrame("x", index=range(3), columns=list(sanger._MODELS)).assign(
        model_id=list(rows), BROAD_ID=[b for b, _ in rows.values()], COSMIC_ID=[c for _, c in rows.values()]
    )
    for column in ("age_at_sampling", "mutational_burden", "ploidy"):
        frame[column] = ""
    out = read(tmp_path, "sanger_models", {"sanger_models_2019": frame.to_csv(index=False)})
    assert out.model_id.fillna("-").tolist() == ["-", "ACH-000003", "-"]
    assert out.cosmic_id.fillna(0).tolist() == [11, 0, 0]
    assert out.broad_ids[0] == "ACH-000001;ACH-000002"
