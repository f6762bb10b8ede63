"""The reader of R files: equal to ``rdata`` on real and made-up objects, and an error on damage."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdata
from hypothesis import given, settings
from hypothesis import strategies as st
from rdata.parser import RObjectType

from crossres_ml.errors import SourceError
from crossres_ml.sources.rfile import RObject, read_r, to_frame

# --- comparison with rdata -----------------------------------------------------------------------


def text(char: Any) -> str | None:
    return None if char.value is None else char.value.decode()


def pairs(chain: Any) -> list[tuple[str, Any]]:
    """Items of a pairlist as rdata keeps it: (value, rest) all the way down."""
    out = []
    while chain.info.type in (RObjectType.LIST, RObjectType.LANG):
        tag = "" if chain.tag is None else text(resolve(chain.tag).value)
        out.append((tag or f"[[{len(out) + 1}]]", chain.value[0]))
        chain = chain.value[1]
    return out


def resolve(obj: Any) -> Any:
    return obj.referenced_object if obj.info.type is RObjectType.REF else obj


def same(ours: RObject, theirs: Any) -> int:
    """Compare two trees; returns how many vectors were compared."""
    theirs = resolve(theirs)
    kind, count = theirs.info.type, 1
    if kind in (RObjectType.LIST, RObjectType.LANG):
        expected = pairs(theirs)
        assert list(ours.value) == [name for name, _ in expected]
        return sum(same(ours.value[name], item) for name, item in expected)
    if kind is RObjectType.SYM:
        assert ours.value == text(theirs.value)
    elif kind is RObjectType.STR:
        assert list(ours.value) == [text(c) for c in theirs.value]
    elif kind in (RObjectType.LGL, RObjectType.INT):
        expected = np.ma.asarray(theirs.value).astype(float).filled(np.nan)
        np.testing.assert_array_equal(ours.value, expected)
    elif kind in (RObjectType.REAL, RObjectType.CPLX):
        np.testing.assert_array_equal(ours.value, theirs.value)
    elif kind in (RObjectType.VEC, RObjectType.EXPR):
        assert len(ours.value) == len(theirs.value)
        count += sum(same(a, b) for a, b in zip(ours.value, theirs.value, strict=True))
    else:
        assert kind in (RObjectType.NILVALUE, RObjectType.NIL, RObjectType.EXTPTR, RObjectType.GLOBALENV)
        assert ours.value is None
    if theirs.attributes is not None:
        expected = pairs(theirs.attributes)
        assert list(ours.attributes) == [name for name, _ in expected]
        count += sum(same(ours.attributes[name], item) for name, item in expected)
    return count


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:Unknown file type", "ignore:Wrong extension")
@pytest.mark.parametrize(
    "name",
    [
        "yard2016_dose_response.RData",
        "yard2016_histology.RData",
        "yard2016_lq_fits.RData",
        "ctrpv2_auc.RData",
        "gdsc1_fitted.rda",
        "depmap22q2_sample_info.rda",
        "ccle2012_rma_1000.rda",
        "depmap23q2_expression_535.RData",
        "depmap_expression_100.rda",
        "depmap19q2_expression_testis.tib",  # one line; rdata needs minutes for the others
    ],
)
def test_equals_rdata_on_public_files(mirror: Path, name: str):
    theirs = rdata.parser.parse_file(mirror / name).object
    assert same(read_r(mirror / name), theirs) >= 3


@pytest.mark.data
def test_s4_object(mirror: Path):
    """rdata cannot convert this S4 PharmacoSet; the shape and cells known from its makers are there."""
    assay = read_r(mirror / "ccle_hybrid_capture.rda")["CCLEsmall"]["molecularProfiles"]["mutation"]
    calls = to_frame(assay["assays"]["data"]["listData"]["exprs"])
    assert calls.shape == (1667, 1052)
    assert calls.loc["KRAS", "143B"] == "p.A59T"


def plain(values: list) -> pd.Index:
    """Text as Python objects: rdata cannot write pandas' own text type."""
    return pd.Index(values, dtype=object)


FRAME = pd.DataFrame(
    {
        "name": plain(["A", None, "C", "ü", ""]),
        "whole": np.array([1, 2, 3, -4, 2**31 - 1], dtype=np.int32),
        "real": [1.5, np.nan, -np.inf, 0.0, 1e300],
        "yes": [True, False, True, False, True],
        "kind": pd.Categorical(["x", "y", None, "x", "y"], categories=plain(["x", "y"])),
        "count": pd.array([1, None, 3, None, 5], dtype="Int32"),
        "known": pd.array([True, None, False, True, None], dtype="boolean"),
    },
    index=plain(["r1", "r2", "r3", "r4", "r5"]),
)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", None])
def test_every_compression_and_version(tmp_path: Path, compression: str | None, version: int):
    path = tmp_path / "x.rda"
    rdata.write_rda(path, {"t": FRAME, "n": [1, "a"]}, compression=compression, format_version=version)
    ours = read_r(path)
    assert same(ours, rdata.parser.parse_file(path).object) >= 10
    table = to_frame(ours["t"])
    assert table.index.tolist() == FRAME.index.tolist()
    assert table.name.tolist()[3] == "ü"
    assert table.kind.isna().tolist() == [False, False, True, False, False]
    assert table.kind.tolist()[3:] == ["x", "y"]
    np.testing.assert_array_equal(table.real, FRAME.real)
    assert table.whole.tolist() == FRAME.whole.tolist()
    np.testing.assert_array_equal(table["count"], [1, np.nan, 3, np.nan, 5])
    np.testing.assert_array_equal(table.known, [1, np.nan, 0, 1, np.nan])
    assert table.name.isna().tolist() == [False, True, False, False, False]


def test_matrix_with_names(tmp_path: Path):
    made = serialise(
        vector("real", [1, 2, 3, 4, 5, 6]),
        {"dim": vector("int", [2, 3]), "dimnames": strings_list(["a", "b"], ["x", "y", "z"])},
    )
    table = to_frame(read_bytes(tmp_path, made))
    assert table.loc["b", "x"] == 2
    assert table.loc["a"].tolist() == [1, 3, 5]


def test_not_a_table(tmp_path: Path):
    with pytest.raises(SourceError, match="not a table"):
        to_frame(read_bytes(tmp_path, serialise(vector("real", [1.0]))))


# --- a small writer, for what rdata cannot write -------------------------------------------------


def vector(kind: str, values: list[float]) -> tuple[int, bytes]:
    code, form = {"real": (14, "d"), "int": (13, "i")}[kind]
    return code, struct.pack(f">i{len(values)}{form}", len(values), *values)


def char(value: str | None, coding: str = "utf-8") -> bytes:
    raw = b"" if value is None else value.encode(coding)
    return struct.pack(">ii", 9, -1 if value is None else len(raw)) + raw


def strings(values: list[str | None], coding: str = "utf-8") -> tuple[int, bytes]:
    return 16, struct.pack(">i", len(values)) + b"".join(char(v, coding) for v in values)


def strings_list(*parts: list[str | None]) -> tuple[int, bytes]:
    items = b"".join(struct.pack(">i", 16) + strings(p)[1] for p in parts)
    return 19, struct.pack(">i", len(parts)) + items


def serialise(body: tuple[int, bytes], attributes: dict[str, tuple[int, bytes]] | None = None) -> bytes:
    out = b"X\n" + struct.pack(">iii", 2, 0x00030500, 0x00020300)
    out += struct.pack(">i", body[0] | (0x200 if attributes else 0)) + body[1]
    for name, (code, content) in (attributes or {}).items():
        out += struct.pack(">i", 2 | 0x400) + struct.pack(">i", 1) + char(name)
        out += struct.pack(">i", code) + content
    return out + (struct.pack(">i", 254) if attributes else b"")


def read_bytes(folder: Path, raw: bytes) -> RObject:
    path = folder / "x.rds"
    path.write_bytes(raw)
    return read_r(path)


def test_latin1_text(tmp_path: Path):
    ours = read_bytes(tmp_path, serialise(strings(["caf\u00e9", "plain"], "latin-1")))
    assert ours.value.tolist() == ["caf\u00e9", "plain"]


# --- runs of repeated strings --------------------------------------------------------------------


def nested(outer: int, inner: list[str | None], copies: int) -> list[str | None]:
    return [f"line{i}" for i in range(outer) for _ in inner] + inner * copies


PATTERNS: dict[str, list[str | None]] = {
    "empty": [],
    "one": ["a"],
    "constant": ["a"] * 5000,
    "missing": [None] * 5000,
    "two in turn": ["a", None] * 3001,
    "broken period": ["a", "b", "c"] * 500 + ["a", "b", "d"] + ["a", "b", "c"] * 500,
    "cut period": (["a", "b", "c", "d"] * 700)[:-1],
    "period inside period": (["x", "x", "y"] * 40 + ["z"]) * 60,
    "runs": [f"line{i // 37}" for i in range(5000)],
    "long block": [f"gene{i}" for i in range(4000)] * 3,
    "empty strings": ["", "", "a"] * 900,
    "prefix of the next": ["a", "ab", "a", "abc"] * 800,
    "starts anew": ["a", "b"] * 300 + ["a", "c"] * 300 + ["a"] * 300,
    "nested": nested(30, ["u", "v", "w"], 500),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_string_patterns(tmp_path: Path, name: str):
    values = PATTERNS[name]
    assert read_bytes(tmp_path, serialise(strings(values))).value.tolist() == values


@pytest.mark.parametrize("periods", [1, 2, 3, 7, 10])
def test_run_stops_at_the_end_of_the_vector(tmp_path: Path, periods: int):
    """What follows may look like one more period: here a single string after a cut pattern."""
    values = ["a", "b"] * periods + ["a"]
    items = struct.pack(">ii", 2, 16) + strings(values)[1] + char("b")
    ours = read_bytes(tmp_path, serialise((19, items)))
    assert ours.value[0].value.tolist() == values
    assert ours.value[1].value == "b"


words = st.sampled_from(["", "a", "b", "aa", "ab", "gene", None, "\u00e9"])
blocks = st.tuples(st.lists(words, max_size=6), st.integers(1, 400))


@settings(max_examples=200, deadline=None)
@given(st.lists(blocks, max_size=8), st.lists(words, max_size=5))
def test_any_string_pattern(tmp_path_factory: pytest.TempPathFactory, parts: list, tail: list):
    values = [v for block, times in parts for v in block * times] + tail
    folder = tmp_path_factory.mktemp("strings")
    assert read_bytes(folder, serialise(strings(values))).value.tolist() == values


def test_repeats_are_fast(tmp_path: Path):
    """3 million strings; one by one they take several seconds."""
    raw = serialise((16, struct.pack(">i", 3_000_000) + char("ACH-000001") * 3_000_000))
    began = time.perf_counter()
    assert len(read_bytes(tmp_path, raw).value) == 3_000_000
    assert time.perf_counter() - began < 3


# --- damage --------------------------------------------------------------------------------------


def sample(folder: Path) -> bytes:
    """An uncompressed file with every kind of thing in it."""
    path = folder / "sample.rda"
    data = {"t": FRAME, "l": ["a", 1, [2.5, None]], "m": np.arange(6.0).reshape(2, 3), "s": ["a"] * 50}
    rdata.write_rda(path, data, compression=None)
    return path.read_bytes()


def read_or_error(folder: Path, raw: bytes) -> str:
    """What came of reading; any error but SourceError goes through and fails the test."""
    path = folder / "damaged.rda"
    path.write_bytes(raw)
    try:
        read_r(path)
    except SourceError as error:
        said = error
    else:
        return "read"
    assert "cannot be read as R data" in said.what
    assert said.where == str(path)
    return "error"


def test_truncated_anywhere(tmp_path: Path):
    raw = sample(tmp_path)
    assert read_or_error(tmp_path, raw) == "read"
    cuts = range(0, len(raw), max(1, len(raw) // 300))
    assert {read_or_error(tmp_path, raw[:cut]) for cut in cuts} == {"error"}


def test_bytes_left_over(tmp_path: Path):
    path = tmp_path / "x.rda"
    path.write_bytes(sample(tmp_path) + b"\0\0")
    with pytest.raises(SourceError, match="2 bytes left over"):
        read_r(path)


def test_flipped_bytes(tmp_path: Path):
    """Some damage changes a value and cannot be seen here (hashes see it); none may do worse."""
    raw, chance = sample(tmp_path), random.Random(0)
    began = time.perf_counter()
    results = []
    for _ in range(600):
        damaged = bytearray(raw)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        results.append(read_or_error(tmp_path, bytes(damaged)))
    assert results.count("error") > 100
    assert time.perf_counter() - began < 30


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_damaged_compression(tmp_path: Path, compress: Callable[[bytes], bytes]):
    raw, chance = compress(sample(tmp_path)), random.Random(1)
    assert read_or_error(tmp_path, raw) == "read"
    for _ in range(60):
        damaged = bytearray(raw)
        damaged[chance.randrange(2, len(damaged))] ^= 1 << chance.randrange(8)
        read_or_error(tmp_path, bytes(damaged))
        assert read_or_error(tmp_path, raw[: chance.randrange(len(raw) - 1)]) == "error"


@pytest.mark.parametrize("code", [10, 13, 14, 15, 16, 19, 20, 24])
@pytest.mark.parametrize("length", [2**31 - 1, 2**28, -1, -(2**31)])
def test_absurd_length_costs_no_memory(tmp_path: Path, code: int, length: int):
    raw = serialise((code, struct.pack(">i", length) + b"\0" * 64))
    tracemalloc.start()
    assert read_or_error(tmp_path, raw) == "error"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ((16, struct.pack(">iii", 1, 9, -7)), "vector of length 1|no string"),
        ((16, struct.pack(">iiiii", 2, 9, -7, 9, 0)), "no string"),
        ((16, struct.pack(">iiiii", 2, 13, 0, 9, 0)), "no string"),
        ((19, struct.pack(">ii", 1, 255 | 5 << 8)), "reference 5 of 0"),
        ((8, struct.pack(">i", -4)), "bytes wanted"),
        ((99, b""), "object type 99"),
        ((19, struct.pack(">ii", 1, 19) * 5000), "RecursionError"),
    ],
)
def test_impossible_content(tmp_path: Path, body: tuple[int, bytes], message: str):
    with pytest.raises(SourceError, match=message):
        read_bytes(tmp_path, serialise(body))


def test_sequence_too_long(tmp_path: Path):
    """A compact sequence takes 40 bytes whatever its length."""
    info = struct.pack(">ii", 2, 1) + char("compact_intseq") + struct.pack(">i", 254)
    for length, fine in ((1000.0, True), (1e12, False), (float("nan"), False), (-1.0, False)):
        state = struct.pack(">i", 14) + vector("real", [length, 1.0, 1.0])[1]
        raw = serialise((238, info + state + struct.pack(">i", 254)))
        assert read_or_error(tmp_path, raw) == ("read" if fine else "error")


@pytest.mark.parametrize(
    "raw", [b"", b"X", b"RDA2\nA\n2\n", b"a,b\n1,2\n", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0"]
)
def test_not_r_data(tmp_path: Path, raw: bytes):
    assert read_or_error(tmp_path, raw) == "error"


def test_unknown_version(tmp_path: Path):
    raw = b"X\n" + struct.pack(">iii", 4, 0, 0)
    with pytest.raises(SourceError, match="serialisation version 4"):
        read_bytes(tmp_path, raw)
