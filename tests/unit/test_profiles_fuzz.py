"""Thousands of damaged tables: an error in words or true numbers, never anything else."""

from __future__ import annotations

import csv
import gzip
import io
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossres_ml.errors import ProfileError
from crossres_ml.predict.names import recognise
from crossres_ml.predict.profiles import Opened, open_profiles

GENES = ["G0", "G1", "G2", "G3", "G4"]
FEATURES = pd.DataFrame(
    {"block": "rna", "unit": "log2_tpm", "median": 3.0, "low": 0.0, "high": 12.0},
    index=[f"rna:{g}" for g in GENES],
)
ODD = (
    *("", " ", "NA", "nan", "-1", "25", "1e3", "+2.5", " 3 ", "1,5", "1.5.2", "high", "inf", "-inf", "1e999"),
    *("0x1p3", "1_0", "True", "2020-01-01", '"', '"4', "4\n5", "\u00fc", "\u0661", "1-2", "1e-400", "5%"),
    *("\t", "3;4", "None", "4.0 "),
)
PER_SEED = 100


def plain(rng: random.Random) -> list[list[str]]:
    columns = rng.sample(GENES, rng.randint(1, 5)) + ["other"] * rng.randint(0, 2)
    rng.shuffle(columns)
    rows = [["id", *columns]]
    rows += [[f"s{i}", *(f"{rng.uniform(0, 12):.4g}" for _ in columns)] for i in range(rng.randint(0, 5))]
    return rows if rng.random() < 0.7 else [list(r) for r in zip(*rows, strict=True)]


def damage_cells(rows: list[list[str]], rng: random.Random) -> None:
    for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
        row = rng.choice(rows)
        if not row:
            continue
        at = rng.randrange(len(row))
        kind = rng.random()
        if kind < 0.7:
            row[at] = rng.choice(ODD)
        elif kind < 0.8:
            row.insert(at, rng.choice(ODD))
        elif kind < 0.9:
            del row[at]
        else:
            row[at] = rng.choice(rng.choice(rows) or [""])
    if rng.random() < 0.1:
        rows.insert(rng.randrange(len(rows) + 1), list(rng.choice(rows)))
    if rng.random() < 0.05:
        rows.insert(rng.randrange(len(rows) + 1), [])


def damage_bytes(raw: bytes, rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.1:
        return raw[: rng.randrange(len(raw) + 1)]
    if kind < 0.2 and raw:
        at = rng.randrange(len(raw))
        return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
    if kind < 0.25:
        return raw.decode("utf-8", "replace").encode(rng.choice(["utf-16", "cp1252", "utf-8-sig"]), "replace")
    return raw.replace(b"\n", b"\r\n") if kind < 0.3 else raw


def made(rng: random.Random, folder: Path) -> tuple[Path, bytes, str]:
    """A damaged file, its text, and its separator."""
    rows = plain(rng)
    damage_cells(rows, rng)
    separator = rng.choice([",", ",", ",", "\t", ";"])
    if rng.random() < 0.5:
        text = "\n".join(separator.join(r) for r in rows) + "\n"
    else:
        out = io.StringIO()
        csv.writer(out, delimiter=separator, lineterminator="\n").writerows(rows)
        text = out.getvalue()
    raw = damage_bytes(text.encode(), rng)
    suffix = rng.choice([".csv", ".csv", ".tsv"])
    path = folder / f"p{suffix}"
    if rng.random() < 0.15:
        path = folder / f"p{suffix}.gz"
        packed = gzip.compress(raw)
        path.write_bytes(packed if rng.random() < 0.5 else packed[: rng.randrange(len(packed))])
    else:
        path.write_bytes(raw)
    return path, raw, "," if suffix == ".csv" else "\t"


def check_numbers(opened: Opened, raw: bytes, separator: str) -> int:
    """Every number that is returned stands in its own cell, read here by another reader."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = raw.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        text = raw.decode("cp1252", "replace")
    lines = [r for r in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(r)]
    lines = [r for r in lines if r and not r[0].startswith("#")]
    table = [[c.strip() for c in r] for r in lines]
    physical = [x for x in re.split("\r\n|\r|\n", text) if x and not x.startswith("#")]
    rows = len(opened.ids if opened.report["orientation"] == "samples in rows" else table[1:])
    assert rows == len(table) - 1 == len(physical) - 1
    if opened.report["orientation"] == "genes in rows":
        table = [list(r) for r in zip(*table, strict=True)]
    header, body = table[0], table[1:]
    by_id = {r[0]: r for r in body}
    found = recognise(header[1:], FEATURES, None).columns
    numbers = 0
    for chunk in opened.chunks(2):
        for feature, values in chunk.values.items():
            for sample, value in values.items():
                cells = {by_id[str(sample)][p + 1] for p in found[str(feature)]}
                if np.isfinite(value):
                    numbers += 1
                    assert {np.float32(float(c)) for c in cells} == {value}, (feature, sample, cells)
                else:
                    assert not any(c.replace(".", "").isdigit() and c.isascii() for c in cells)
    return numbers


@pytest.mark.parametrize("seed", range(24))
def test_damaged_text_gives_an_error_or_true_numbers(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    refused = read = 0
    told: list[str] = []
    for _ in range(PER_SEED):
        path, raw, separator = made(rng, tmp_path)
        try:
            numbers = check_numbers(open_profiles(path, FEATURES, unit="log2_tpm"), raw, separator)
        except ProfileError as e:
            refused += 1
            told.append(str(e))
        else:
            read += numbers
    assert all(f"where: {tmp_path}" in t and "do:" in t for t in told)
    assert refused > 10
    assert read > 50


@pytest.mark.parametrize("suffix", ["parquet", "h5ad"])
def test_damaged_binary_files_give_an_error_or_the_same_numbers(tmp_path: Path, suffix: str) -> None:
    from test_profiles_reading import saved

    rng = random.Random(7)
    frame = pd.DataFrame(np.arange(20.0).reshape(4, 5) / 2, index=list("wxyz"), columns=GENES)
    form = "samples parquet" if suffix == "parquet" else "samples csr h5ad"
    good = saved(frame, tmp_path, form).read_bytes()
    refused = 0
    for _ in range(100):
        path = tmp_path / f"cut.{suffix}"
        path.write_bytes(good[: rng.randrange(len(good))])
        try:
            got = pd.concat([c.values for c in open_profiles(path, FEATURES).chunks(3)])
        except ProfileError:
            refused += 1
        else:
            np.testing.assert_array_equal(got, frame)
    assert refused > 90
