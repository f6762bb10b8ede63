"""The configuration: frozen, checked, and hashed into every result."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from crossres_ml.config_files import validate_file
from crossres_ml.config_names import (
    Baseline,
    BlockName,
    Challenger,
    Combined,
    Have,
    Tuning,
    config_path,
)  # fmt: skip


class Frozen(BaseModel):
    """What a configuration file holds: read-only, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DrugPanel(Frozen):
    """A response made from several drugs.

    Attributes
    ----------
    table : str
        ``ctrp_auc`` or ``gdsc_response``.
    value : str
        Column that is standardised: ``auc`` or ``ln_ic50``.
    datasets : tuple of str
        Datasets of a ``gdsc_response`` panel; each is standardised by itself, and a drug is the mean
        of its datasets. Empty for ``ctrp_auc``, which is one screen.
    drugs : tuple of str
        Drug names as the table spells them.
    unsound : dict of str to tuple of str
        Dataset -> drugs of the panel whose measurements in it are left out.
    min_drugs : int
        Fewest drugs that a line needs.
    reason : str
        Why these drugs.
    """

    table: Literal["ctrp_auc", "gdsc_response"]
    value: Literal["auc", "ln_ic50"]
    datasets: tuple[str, ...] = ()
    drugs: tuple[str, ...] = Field(min_length=1)
    unsound: dict[str, tuple[str, ...]] = {}
    min_drugs: int = Field(ge=1)
    reason: str

    @model_validator(mode="after")
    def _fits_its_table(self) -> DrugPanel:
        """CTRPv2 is one screen of areas; GDSC is several datasets of ln IC50, which must be named."""
        several = self.table == "gdsc_response"
        if self.value != ("ln_ic50" if several else "auc"):
            raise ValueError(f"{self.table} has no value {self.value}")
        if several != bool(self.datasets):
            raise ValueError(f"a panel of {self.table} {'must' if several else 'cannot'} name datasets")
        if len(set(self.drugs)) < len(self.drugs) or self.min_drugs > len(self.drugs):
            raise ValueError("drugs must be named once each, and be at least min_drugs")
        left_out = {d for drugs in self.unsound.values() for d in drugs}
        if set(self.unsound) - set(self.datasets) or left_out - set(self.drugs):
            raise ValueError("unsound may only name datasets and drugs of the panel")
        return self


class GenotoxicRule(Frozen):
    """Which drug measurements count as genotoxic: any of the first three, but ``never``.

    Attributes
    ----------
    mechanisms : tuple of str
        Parts of the mechanism that CTRPv2 states for a drug, lower case.
    targets : tuple of str
        Targets as the GDSC drug sheet spells them.
    drugs : tuple of str
        Drug names, for those that neither table describes.
    never : tuple of str
        Single measurements that are left out (``dataset:drug``).
    reason : str
        Why.
    """

    mechanisms: tuple[str, ...]
    targets: tuple[str, ...]
    drugs: tuple[str, ...]
    never: tuple[str, ...]
    reason: str


class Panels(Frozen):
    """Drug panels, by name, and the rule that marks genotoxic drugs."""

    chemotherapy: DrugPanel
    chemotherapy_gdsc: DrugPanel
    platinum: DrugPanel
    genotoxic: GenotoxicRule


class SplitConfig(Frozen):
    """How lines are held out.

    Attributes
    ----------
    seed : int
        Repeat r of cell line out uses ``seed + r``. One seed serves development, another, on which
        no choice was made, the published table.
    folds, repeats : int
        Of cell line out.
    lineage_min_lines : int
        Fewest radiation lines of a lineage that is held out.
    """

    seed: int = Field(0, ge=0)
    folds: int = Field(5, ge=2)
    repeats: int = Field(2, ge=1)
    lineage_min_lines: int = Field(15, ge=2)


class FeatureConfig(Frozen):
    """Which features a model may use; applied inside the training fold."""

    blocks: tuple[BlockName, ...] = Field(min_length=1)
    min_coverage: float = Field(0.5, gt=0, le=1)
    min_events: int = Field(10, ge=1)
    always: tuple[str, ...] = ()


class AuditConfig(Frozen):
    """How the claims are audited.

    Attributes
    ----------
    draws : int
        Permutations behind the calibrated SHAP of the trees; over m claims, m / .05 or more of them.
    background : int
        Other features that compete with those of the claims in these trees.
    simulations : int
        Simulated outcomes behind the negative controls.
    bootstrap : int
        Draws of lines behind mediation, drug classes, heterogeneity and pathways.
    stability : int
        Refits with other seeds, and as many on drawn lines, that show how far ranks move.
    """

    draws: int = Field(399, ge=19)
    background: int = Field(300, ge=0)
    simulations: int = Field(100, ge=20)
    bootstrap: int = Field(999, ge=99)
    stability: int = Field(10, ge=2)


class ScanConfig(Frozen):
    """How everything that was measured is scanned for events of cross-resistance.

    Attributes
    ----------
    permutations : int
        Of the two responses of a line together, inside lineages, behind the empirical false discovery rate.
    level : float
        False discovery rate of the lists.
    min_carriers : int
        Fewest lines with, and without, an event; and fewest that differ from the commonest value of a level.
    min_lines : int
        Fewest measured lines of a level.
    top : int
        Events of a list that are looked at lineage by lineage, and written down even if none is called.
    """

    permutations: int = Field(1000, ge=19)
    level: float = Field(0.05, gt=0, lt=0.5)
    min_carriers: int = Field(10, ge=5)
    min_lines: int = Field(100, ge=30)
    top: int = Field(20, ge=1)


class TrainConfig(Frozen):
    """Everything that decides a training run.

    Attributes
    ----------
    data : {'auto', 'real', 'simulated'}
        ``auto`` uses the real data and falls back to the simulated study when none can be had.
    seed : int
        Seeds folds, models, bootstrap and simulation, each through its own stream.
    resistant_quantile : float
        Lines at or above this quantile of the training lines count as resistant.
    bootstrap : int
        Group-bootstrap draws behind every interval.
    inner_folds : int
        Folds of the tuning inside a training fold.
    tuning : {'quick', 'full'}
        Whether the inner folds try the first settings of each grid, or all.
    side_models : tuple of str
        Models of the side runs: permuted labels, learning curve, features left out.
    permuted : bool
        Whether to run on permuted responses, where every score must be at chance.
    learning_curve : tuple of float
        Shares of the training lines.
    retrained : tuple of str
        What a user may have measured: models fitted anew on that alone.
    named_genes : dict
        Gene -> measurements in order of preference; each is reported, the first with
        ``named_min_lines`` lines is the headline.
    audit : AuditConfig, optional
        How the review's claims are audited at the end of the run; without it they are not.
    scan : ScanConfig, optional
        How `crossres scan` searches; without it by the defaults.
    simulated_lines : int
        Size of the simulated study.
    """

    data: Literal["auto", "real", "simulated"] = "auto"
    seed: int = Field(ge=0)
    resistant_quantile: float = Field(2 / 3, gt=0, lt=1)
    splits: SplitConfig = SplitConfig()
    features: FeatureConfig
    models: tuple[Baseline | Challenger | Combined, ...] = Field(min_length=1)
    inner_folds: int = Field(3, ge=2)
    tuning: Tuning = "full"
    side_models: tuple[Baseline | Challenger, ...] = ("lineage_mean", "ridge")
    permuted: bool = False
    learning_curve: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    retrained: tuple[Have, ...] = ()
    bootstrap: int = Field(1000, ge=100)
    named_genes: dict[str, tuple[str, ...]]
    named_min_lines: int = Field(150, ge=1)
    audit: AuditConfig | None = None
    scan: ScanConfig | None = None
    simulated_lines: int = Field(500, ge=100)

    @field_validator("models")
    @classmethod
    def _compare(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        """Every score stands beside a naive one: both kinds of model are needed."""
        naive, single = (set(models) & set(get_args(kind)) for kind in (Baseline, Challenger))
        if not naive or not single or len(set(models)) < len(models):
            raise ValueError("needs at least one baseline and one other model, each once")
        if "gp" not in models and (both := set(models) & {"mean_of_two", "product_of_two", "joint_gp"}):
            raise ValueError(f"{', '.join(sorted(both))}: made of gp, which is not among the models")
        return models

    @field_validator("side_models")
    @classmethod
    def _run_whole(cls, side: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Refuse side runs that have no whole run of their model to be held against."""
        if strange := [n for n in side if n not in info.data.get("models", side)]:
            raise ValueError(f"{', '.join(strange)}: not among the models")
        return side

    def stand_in(self) -> TrainConfig:
        """Shorten the run for a simulated study that stands in for missing data.

        It shows what a run looks like and must be over within minutes: one repeat, few draws.

        Returns
        -------
        TrainConfig
            With data ``simulated``.
        """
        audit = self.audit and self.audit.model_copy(update={"draws": min(self.audit.draws, 99)})
        splits = self.splits.model_copy(update={"repeats": 1})
        return self.model_copy(update={"data": "simulated", "audit": audit, "splits": splits})

    def digest(self) -> str:
        """Hex sha256 of the canonical JSON of the configuration."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def load_train_config(path: Path | None = None, *, data: str | None = None) -> TrainConfig:
    """Read and check a training configuration.

    Parameters
    ----------
    path : Path, optional
        YAML file; by default ``configs/train.yaml``.
    data : str, optional
        Overrules the file's ``data``.

    Returns
    -------
    TrainConfig
        Frozen configuration.

    Raises
    ------
    ConfigError
        If the file cannot be read or has an unknown key or bad value; all are named at once.
    """
    return validate_file(TrainConfig, path or config_path("train.yaml"), **({"data": data} if data else {}))


def with_audit(config: TrainConfig, *, draws: int | None = None, seed: int | None = None) -> TrainConfig:
    """Give a configuration an audit, and overrule its draws and its seed.

    Parameters
    ----------
    config : TrainConfig
        With or without an audit.
    draws, seed : int, optional
        Take the place of the configuration's.

    Returns
    -------
    TrainConfig
        With an audit.
    """
    audit = config.audit or AuditConfig()
    changes: dict[str, Any] = {"audit": audit if draws is None else audit.model_copy(update={"draws": draws})}
    return config.model_copy(update=changes if seed is None else {**changes, "seed": seed})


def load_panels(path: Path | None = None) -> Panels:
    """Read and check the drug panels.

    Parameters
    ----------
    path : Path, optional
        YAML file; by default ``configs/panels.yaml``.

    Returns
    -------
    Panels
        Frozen panels.

    Raises
    ------
    ConfigError
        As `load_train_config`.
    """
    return validate_file(Panels, path or config_path("panels.yaml"))
