"""The claims: each rule of the schema, the hash, and what the file of the project holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from crossres_ml.audit.claims import Claim, Claims, Measurement, load_claims
from crossres_ml.audit.measure import is_event
from crossres_ml.config_names import config_path
from crossres_ml.errors import ConfigError

LEVEL = {"id": "level", "label": "A mRNA", "features": ["rna:A"]}
EVENT = {
    "id": "event",
    "label": "A lost",
    "features": ["driver:A", "hotspot:A"],
    "how": "any",
    "threshold": 1,
}
CLAIM = {"id": "C01", "title": "A", "statement": "A goes with resistance.", "measurements": [LEVEL, EVENT]}


def a_file(**changes: Any) -> dict[str, Any]:
    """Write the smallest file of claims, with changes."""
    return {
        "smallest": 0.15, "min_lines": 20, "min_scope_lines": 15, "min_carriers": 3,
        "covariates": ["growth:ccle"], "scopes": {}, "claims": [CLAIM], **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"how": "any"}, "level: any needs threshold"),
        ({"how": "count"}, "level: count needs threshold"),
        ({"threshold": 1}, "level: value has no threshold"),
        ({"how": "mean", "threshold": 1}, "level: mean has no threshold"),
        ({"features": ["rna:A", "rna:B"]}, "level: value takes one feature, got 2"),
        ({"features": ["-rna:A"]}, "only a mean can reverse single features"),
        ({"features": ["-rna:A"], "how": "any", "threshold": 1}, "only a mean can reverse single features"),
        ({"valid": False}, "level: say in the note why it is not valid"),
        ({"features": []}, "at least 1 item"),
        ({"how": "sum"}, "Input should be 'value', 'mean', 'any' or 'count'"),
        ({"outcomes": ["survival"]}, "Input should be 'radiation', 'chemotherapy', 'both' or 'platinum'"),
        ({"weight": 2}, "Extra inputs are not permitted"),
    ],
)
def test_a_measurement_must_be_whole(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Measurement.model_validate({**LEVEL, **changes})


def test_a_threshold_of_zero_is_one() -> None:
    assert Measurement.model_validate({**EVENT, "threshold": 0}).threshold == 0


def test_signs_are_no_part_of_a_name() -> None:
    m = Measurement.model_validate({**LEVEL, "features": ["rna:A", "-rna:NKX2-1"], "how": "mean"})
    assert m.plain_features == ("rna:A", "rna:NKX2-1")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"measurements": []}, "C01: a claim of kind association lacks what it is tested with"),
        ({"kind": "mediation"}, "kind mediation lacks"),
        ({"kind": "single_against_pathways", "singles": ["driver"]}, "kind single_against_pathways lacks"),
        ({"kind": "single_against_pathways", "pathways": ["tf"]}, "kind single_against_pathways lacks"),
        ({"kind": "heterogeneity"}, "kind heterogeneity lacks"),
        ({"kind": "not_measurable"}, "kind not_measurable lacks"),
        ({"measurements": [LEVEL, LEVEL]}, r"C01: measurements with the same id: \['level', 'level'\]"),
        ({"kind": "mediation", "mediators": [LEVEL]}, "measurements with the same id"),
        ({"proxy": True}, "C01: say what the proxy stands for"),
        ({"smallest": 0}, "greater than 0"),
        ({"kind": "belief"}, "Input should be 'association'"),
        ({"claimed": ["platinum"]}, "Input should be 'radiation' or 'chemotherapy'"),
    ],
)
def test_a_claim_must_be_whole(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Claim.model_validate({**CLAIM, **changes})


def test_a_claim_about_classes_of_drugs_needs_nothing_more() -> None:
    assert Claim.model_validate({**CLAIM, "kind": "drug_classes", "measurements": []}).measurements == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"claims": [CLAIM, {**CLAIM, "title": "B"}]}, "C01 stands twice"),
        ({"claims": [{**CLAIM, "scopes": ["skin"]}]}, "C01: no scope 'skin'"),
        ({"claims": [{**CLAIM, "kind": "heterogeneity", "over": ["C09"]}]}, "C01: no claim 'C09'"),
        ({"claims": []}, "at least 1 item"),
        ({"smallest": 1.0}, "less than 1"),
        ({"min_lines": 19}, "greater than or equal to 20"),
        ({"min_scope_lines": 14}, "greater than or equal to 15"),
        ({"min_carriers": 2}, "greater than or equal to 3"),
    ],
)
def test_the_claims_must_fit_together(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Claims.model_validate(a_file(**changes))


def test_all_that_does_not_fit_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(a_file(claims=[CLAIM, {**CLAIM, "scopes": ["skin"]}])))
    with pytest.raises(ConfigError, match=r"C01 stands twice; C01: no scope 'skin'"):
        load_claims(path)


def _places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each plain value of nested lists and dictionaries stands."""
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*where, key))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _places(each, (*where, at))
    else:
        yield where


def _changed(raw: Any, where: tuple[Any, ...]) -> Any:
    key, *rest = where
    copy = raw.copy()
    if rest:
        copy[key] = _changed(raw[key], tuple(rest))
    elif isinstance(raw[key], bool):
        copy[key] = not raw[key]
    else:
        copy[key] = raw[key] + (" " if isinstance(raw[key], str) else 0.001)
    return copy


def test_every_word_changes_the_hash() -> None:
    control = {
        "id": "p", "label": "drug and A", "drugs": ["ctrp:X"], "measurement": {**LEVEL, "note": "assay"},
        "sign": -1, "folds_with": ["rna:B"], "gate": True, "expectation": "known",
    }  # fmt: skip
    scope = {
        "label": "skin",
        "lineages": ["Skin"],
        "subtypes": ["Melanoma"],
        "feature": "rna:A",
        "low": 0.5,
        "high": 1.5,
    }
    claim = {
        **CLAIM,
        "smallest": 0.2,
        "reason": "why",
        "references": ["PMC1"],
        "platinum": False,
        "proxy": False,
    }
    raw = a_file(claims=[claim], scopes={"skin": scope}, positive_controls=[control])
    whole = Claims.model_validate(raw).digest()
    fixed = {"how", "sign"}  # one of few words
    places = [
        p
        for p in _places(raw)
        if p[-1] not in fixed and p[-1] != "proxy" and not str(p[-1]).startswith("min_")
    ]
    assert len(places) > 30
    digests = {Claims.model_validate(_changed(raw, p)).digest() for p in places}
    assert len(digests | {whole}) == len(places) + 1
    assert Claims.model_validate({**raw, "min_lines": 21}).digest() != whole
    control["sign"] = 1
    assert Claims.model_validate(raw).digest() != whole


def test_the_hash_says_nothing_of_layout(tmp_path: Path) -> None:
    a, b = tmp_path / "a.yaml", tmp_path / "b.yaml"
    a.write_text(yaml.safe_dump(a_file(), sort_keys=True))
    b.write_text("# another comment\n" + yaml.safe_dump(a_file(), sort_keys=False, width=20))
    assert load_claims(a).digest() == load_claims(b).digest()
    assert len(load_claims(a).digest()) == 64


# --- the file of the project ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def claims() -> Claims:
    """The claims of the project."""
    return load_claims()


def test_no_claim_is_dropped(claims: Claims) -> None:
    assert [c.id for c in claims.claims] == [f"C{i:02d}" for i in range(1, 23)]
    assert [c.id for c in claims.of_kind("not_measurable")] == ["C11", "C15"]
    for claim in claims.claims:
        assert (
            claim.measurements or claim.reason or claim.singles or claim.over or claim.kind == "drug_classes"
        )
        assert claim.statement.endswith(".")
        assert claim.references
        if claim.measurements:
            assert any(m.valid for m in claim.measurements), claim.id


def test_what_the_claims_say(claims: Claims) -> None:
    by_id = {c.id: c for c in claims.claims}
    assert by_id["C02"].claimed == ("radiation",)
    assert {c.id for c in claims.claims if c.weak} == {"C03", "C04"}
    assert {c.id for c in claims.claims if c.platinum} == {"C07", "C09", "C11", "C18"}
    assert {c.id for c in claims.claims if c.proxy} == {"C18"}
    assert by_id["C03"].scopes[0] == "tp53_wild_type"
    assert set(by_id["C20"].over) <= {c.id for c in claims.of_kind("association")}
    kinds = {c.id: c.kind for c in claims.claims if c.kind not in ("association", "not_measurable")}
    assert kinds == {
        "C14": "mediation", "C19": "single_against_pathways", "C20": "heterogeneity", "C21": "drug_classes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "gene"),
    [("C01", "driver:TP53"), ("C08", "rna:RAD51"), ("C09", "rna:ERCC1"), ("C13", "rna:BIRC5")],
)
def test_the_four_genes_are_measured(claims: Claims, claim: str, gene: str) -> None:
    first = next(c for c in claims.claims if c.id == claim).measurements[0]
    assert first.valid
    assert gene in first.features


def test_measurements_that_cannot_be_trusted_do_not_decide(claims: Claims) -> None:
    measurements = [m for c in claims.claims for m in (*c.measurements, *c.mediators)]
    assert not any("PI3K" in f for m in measurements for f in m.features if f.startswith("progeny:"))
    for m in measurements:
        if "rppa:ERCC1_Caution" in m.features:
            assert not m.valid
        if any(f.endswith("_Caution") for f in m.features):
            assert "_Caution" in m.note, m.id
        if is_event(m):
            assert not m.below or m.threshold == -2
        if any(f.startswith("copy_number:") for f in m.features):
            assert any(b.startswith("cn_arm:") for b in m.beside), m.id


def test_what_is_tested_against_itself(claims: Claims) -> None:
    for claim in claims.claims:
        for m in claim.measurements:
            responses = {f.removeprefix("response:") for f in m.features if f.startswith("response:")}
            assert not responses & set(m.outcomes), m.id
            if "drug:paclitaxel" in responses:
                assert "chemotherapy" not in m.outcomes


def test_controls(claims: Claims) -> None:
    reported = {c.id for c in claims.positive_controls if not c.gate}
    assert reported == {"vincristine_abcb1", "radiation_nrf2_mutation", "radiation_nrf2_activity"}
    assert len(claims.positive_controls) == 14
    assert [c.id for c in claims.null_controls] == ["y_linked"]
    signs = {c.id: c.sign for c in claims.positive_controls}
    assert {i for i, sign in signs.items() if sign > 0} == {
        "nutlin_tp53", "paclitaxel_abcb1", "vincristine_abcb1", "radiation_nrf2_mutation",
        "radiation_nrf2_activity",
    }  # fmt: skip


def test_the_file_can_be_read_by_people() -> None:
    lines = config_path("claims.yaml").read_text(encoding="utf-8").splitlines()
    assert max(map(len, lines)) <= 110
    assert not any(line.lstrip().startswith("#") for line in lines[4:])
