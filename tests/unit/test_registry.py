"""The registry: the one that comes with the programme, and what a wrong one is told."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pydantic import ValidationError

from crossres_ml.errors import ConfigError
from crossres_ml.sources.registry import Source, load_registry

GOOD = """
collections:
  - publisher: A lab
    release: "2020"
    citation: A paper
    licence: MIT
    base: http://127.0.0.1/
    files:
      - {id: one, file: one.csv, path: a%20b.csv, bytes: 3, sha256: SHA}
      - {id: two, file: two.csv, path: two.csv, status: remote_only, git_blob_sha1: BLOB}
      - {id: three, file: three.csv, status: local_only, sha256: SHA}
""".replace("SHA", "a" * 64).replace("BLOB", "b" * 40)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sources.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_packaged_registry_is_complete_and_pinned() -> None:
    registry = load_registry()
    assert len(registry) == 85
    by_status = {status: [s for s in registry.values() if s.status == status] for status in
                 ("mirrored", "remote_only", "local_only")}  # fmt: skip
    assert {status: len(group) for status, group in by_status.items()} == {
        "mirrored": 75,
        "remote_only": 9,
        "local_only": 1,
    }
    assert all(s.sha256 and s.git_blob_sha1 and s.bytes for s in by_status["mirrored"])
    for source in registry.values():
        if source.url:
            commit = source.url.split("/")[5]
            assert len(commit) == 40, f"{source.id} is not pinned at a commit: {source.url}"


@pytest.mark.data
def test_packaged_registry_agrees_with_the_mirror_s_own_list(mirror: Path) -> None:
    registry = load_registry()
    with (mirror / "registry.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert {row["id"] for row in rows} == set(registry)
    for row in rows:
        ours = registry[row["id"]].model_dump(include=set(row))
        assert {k: str(v or "") for k, v in ours.items()} == row


def test_collection_gives_its_fields_to_its_files(tmp_path: Path) -> None:
    registry = load_registry(write(tmp_path, GOOD))
    assert list(registry) == ["one", "two", "three"]
    assert registry["one"].url == "http://127.0.0.1/a%20b.csv"
    assert registry["three"].url is None
    assert {s.publisher for s in registry.values()} == {"A lab"}
    assert [s.required for s in registry.values()] == [True, False, False]


def test_sources_are_frozen() -> None:
    source = load_registry()["yard2016_dose_response"]
    with pytest.raises(ValidationError, match="frozen"):
        source.file = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a" * 64, "a" * 63, "one: sha256"),
        ("b" * 40, "B" * 40, "two: git_blob_sha1"),
        (", git_blob_sha1: " + "b" * 40, "", "two: Value error, needs sha256 or git_blob_sha1"),
        ("path: two.csv, ", "", "two: Value error, needs an address"),
        ("status: local_only, ", "", "three: Value error, needs an address"),
        ("file: one.csv", "file: ../one.csv", "one: file"),
        ("file: one.csv", "file: two.csv", "file 'two.csv' is there 2 times"),
        ("id: one", "id: two", "id 'two' is there 2 times"),
        ("licence: MIT", "license: MIT", "licence: Field required"),
        ("status: remote_only", "status: remote", "two: status"),
        ("bytes: 3", "bytes: -3", "one: bytes"),
        ("http://127.0.0.1/", "file:///etc/", "one: url"),
    ],
)
def test_wrong_entries_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=message):
        load_registry(write(tmp_path, GOOD.replace(old, new)))


def test_all_wrong_entries_are_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("a" * 64, "xyz").replace("b" * 40, "xyz")
    with pytest.raises(ConfigError, match=r"3 wrong entries: one: sha256.*two: git_blob_sha1.*three: sha256"):
        load_registry(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("collections: [", "not YAML"),
        ("sources: []", "not a list of collections.*collections"),
        ("[]", "not a list of collections"),
        ("", "not a list of collections"),
        ("collections: []", "no source in it"),
        ("collections: [{publisher: A}]", "not a list of collections.*files"),
    ],
)
def test_wrong_documents_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_registry(write(tmp_path, text))


def test_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_registry(tmp_path / "none.yaml")


def test_entry_without_any_hash_is_no_source() -> None:
    with pytest.raises(ValidationError, match="needs sha256 or git_blob_sha1"):
        Source(id="a", file="a", publisher="a", release="a", citation="a", licence="a", url="http://a/")
