"""The claims under audit, as data: what is claimed, what measures it, in which lines; and the controls."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from crossres_ml.config import Frozen
from crossres_ml.config_files import validate_file
from crossres_ml.config_names import config_path

Modality = Literal["radiation", "chemotherapy"]
Outcome = Literal["radiation", "chemotherapy", "both", "platinum"]
OUTCOMES: tuple[Outcome, ...] = ("radiation", "chemotherapy", "both")
Kind = Literal[
    "association", "mediation", "single_against_pathways", "heterogeneity", "drug_classes", "not_measurable"
]
How = Literal["value", "mean", "any", "count"]
ALL_LINES = "all"


class Measurement(Frozen):
    """One number a line that stands for what a claim speaks of; oriented, so that the claim says "+".

    Attributes
    ----------
    id : str
        Unique inside its claim.
    label : str
        As a sentence names it: ``RAD51 mRNA``.
    features : tuple of str
        Features of the cohort (``block:name``), or ``response:<name>`` for a response; a leading ``-``
        reverses one in a mean.
    how : {'value', 'mean', 'any', 'count'}
        ``value``: the feature as it is. ``mean``: of the standardised features, where at least half of
        them are measured. ``any``: 1 when any feature reaches ``threshold``, 0 when none does and at least
        half are measured. ``count``: log2(1 + number that reach it), of those measured at least half.
    threshold : float, optional
        For ``any`` and ``count``.
    below : bool
        Whether reaching means at or below the threshold.
    reverse : bool
        The claim is about low values (or the lack of the event).
    beside : tuple of str
        Features that the fully adjusted effect is adjusted for too: the arm of a copy number.
    outcomes : tuple of str
        Outcomes that it may be held against; all by default.
    valid : bool
        Whether it may decide a verdict; an invalid one is shown with its note.
    note : str
        On validity: the assay, the antibody, what is known of its agreement with others.
    """

    id: str
    label: str
    features: tuple[str, ...] = Field(min_length=1)
    how: How = "value"
    threshold: float | None = None
    below: bool = False
    reverse: bool = False
    beside: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ("radiation", "chemotherapy", "platinum")
    valid: bool = True
    note: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Measurement:
        """Events need a threshold, values cannot have one, and a value is a single feature."""
        if (self.how in ("any", "count")) != (self.threshold is not None):
            raise ValueError(
                f"{self.id}: {self.how} {'needs' if self.threshold is None else 'has no'} threshold"
            )
        if self.how == "value" and len(self.features) > 1:
            raise ValueError(f"{self.id}: value takes one feature, got {len(self.features)}")
        if self.how != "mean" and any(f.startswith("-") for f in self.features):
            raise ValueError(f"{self.id}: only a mean can reverse single features")
        if not self.valid and not self.note:
            raise ValueError(f"{self.id}: say in the note why it is not valid")
        return self

    @property
    def plain_features(self) -> tuple[str, ...]:
        """Features without their signs."""
        return tuple(f.removeprefix("-") for f in self.features)


class Scope(Frozen):
    """Lines that a claim speaks of; every condition that is given must hold.

    Attributes
    ----------
    label : str
        As a sentence names it: ``TP53 wild-type lines``.
    lineages, subtypes : tuple of str
        Lineages and subtypes as DepMap names them.
    feature : str
        Feature that decides, with ``low`` and ``high``, its inclusive bounds; where it is not measured a
        line is out.
    """

    label: str
    lineages: tuple[str, ...] = ()
    subtypes: tuple[str, ...] = ()
    feature: str = ""
    low: float = float("-inf")
    high: float = float("inf")


class Claim(Frozen):
    """One claim.

    Attributes
    ----------
    id : str
        For example ``C01``.
    title : str
        A few words for figures.
    statement : str
        In our words.
    kind : str
        How it is tested.
    claimed : tuple of str
        Modalities that the claim speaks of; it is held against the other one too, which is then said.
    weak : tuple of str
        Modalities for which the claim itself says "weak".
    scopes : tuple of str
        Names of scopes; the first decides, the others are shown.
    measurements : tuple of Measurement
        In order of preference; the first valid one with enough lines decides.
    mediators : tuple of Measurement
        For a mediation, from the first measurement that is enough through each of these.
    singles, pathways : tuple of str
        Blocks that ``single_against_pathways`` compares.
    over : tuple of str
        Claims whose effects ``heterogeneity`` compares between lineages.
    proxy : bool
        What is measured is not what the claim says, only related to it; the note says how.
    platinum : bool
        Whether platinum response is looked at apart.
    smallest : float, optional
        Smallest effect of interest, if not that of the file.
    reason : str
        Why it cannot be measured, or what a proxy stands for.
    references : tuple of str
        Sources that the review gives.
    """

    id: str
    title: str
    statement: str
    kind: Kind = "association"
    claimed: tuple[Modality, ...] = ("radiation", "chemotherapy")
    weak: tuple[Modality, ...] = ()
    scopes: tuple[str, ...] = (ALL_LINES,)
    measurements: tuple[Measurement, ...] = ()
    mediators: tuple[Measurement, ...] = ()
    singles: tuple[str, ...] = ()
    pathways: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    proxy: bool = False
    platinum: bool = False
    smallest: float | None = Field(None, gt=0)
    reason: str = ""
    references: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Claim:
        """Each kind has what it needs, and ids are not doubled."""
        ids = [m.id for m in (*self.measurements, *self.mediators)]
        needs = {
            "association": self.measurements, "mediation": self.measurements and self.mediators,
            "single_against_pathways": self.singles and self.pathways, "heterogeneity": self.over,
            "drug_classes": True, "not_measurable": self.reason,
        }  # fmt: skip
        if not needs[self.kind]:
            raise ValueError(f"{self.id}: a claim of kind {self.kind} lacks what it is tested with")
        if len(set(ids)) < len(ids):
            raise ValueError(f"{self.id}: measurements with the same id: {sorted(ids)}")
        if self.proxy and not self.reason:
            raise ValueError(f"{self.id}: say what the proxy stands for")
        return self


class Control(Frozen):
    """An association that is known: drug against measurement.

    Attributes
    ----------
    id, label : str
        Name, and words.
    drugs : tuple of str
        Drug measurements (``ctrp:<drug>``, ``gdsc1:<drug>``, ``gdsc2:<drug>``) or ``response:<name>``; each
        is one row.
    measurement : Measurement
        Oriented: higher must go with ``sign``.
    sign : {-1, 1}
        -1: a higher value goes with sensitivity.
    folds_with : tuple of str
        Features that code the same event: their ranks count as this one's.
    gate : bool
        Whether the audit is withheld when it fails; else it is only reported.
    expectation : str
        In words, with the source.
    """

    id: str
    label: str
    drugs: tuple[str, ...] = Field(min_length=1)
    measurement: Measurement
    sign: Literal[-1, 1]
    folds_with: tuple[str, ...] = ()
    gate: bool = True
    expectation: str


class NullControl(Frozen):
    """A measurement that must show nothing: Y-linked genes for radiation."""

    id: str
    label: str
    outcome: Modality
    measurement: Measurement
    expectation: str


class Claims(Frozen):
    """The file of claims.

    Attributes
    ----------
    smallest : float
        Smallest effect of interest: a partial correlation.
    min_lines, min_scope_lines, min_carriers : int
        Fewest lines of a measurement that decides, the same inside a scope, and fewest lines with
        and without an event.
    covariates : tuple of str
        What the full adjustment takes beside lineage: ``response:<name>`` or features.
    """

    smallest: float = Field(gt=0, lt=1)
    min_lines: int = Field(ge=20)
    min_scope_lines: int = Field(ge=15)
    min_carriers: int = Field(ge=3)
    covariates: tuple[str, ...]
    scopes: dict[str, Scope]
    claims: tuple[Claim, ...] = Field(min_length=1)
    positive_controls: tuple[Control, ...] = ()
    null_controls: tuple[NullControl, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Claims:
        """Ids are unique; scopes and other claims that are named exist."""
        ids = [c.id for c in self.claims]
        problems = [f"{i} stands twice" for i in sorted({i for i in ids if ids.count(i) > 1})]
        for claim in self.claims:
            problems += [
                f"{claim.id}: no scope {s!r}" for s in claim.scopes if s not in (ALL_LINES, *self.scopes)
            ]
            problems += [f"{claim.id}: no claim {o!r}" for o in claim.over if o not in ids]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def digest(self) -> str:
        """Hex sha256 of the canonical JSON: another claim set is another audit."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def of_kind(self, *kinds: Kind) -> Iterable[Claim]:
        """Claims that are tested in one of these ways."""
        return (c for c in self.claims if c.kind in kinds)


def load_claims(path: Path | None = None) -> Claims:
    """Read and check the claims.

    Parameters
    ----------
    path : Path, optional
        YAML file; by default ``configs/claims.yaml``.

    Returns
    -------
    Claims
        Frozen claims.

    Raises
    ------
    ConfigError
        If the file cannot be read or is not as it should be; all is named at once.
    """
    return validate_file(Claims, path or config_path("claims.yaml"))
