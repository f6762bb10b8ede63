"""The configuration: frozen, checked, and hashed into every result."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from crossres_ml.errors import ConfigError

_T = TypeVar("_T", bound=BaseModel)
TaskName = Literal["radiation", "chemotherapy", "cross"]
BlockName = Literal[
    "burden", "copy_number", "driver", "lineage", "mutation", "rna", "rna_array", "rppa", "slfn11", "variant"
]
Baseline = Literal["prevalence", "lineage_mean", "mutation_burden"]
Challenger = Literal["logistic", "ridge", "lightgbm"]
TASKS: tuple[TaskName, ...] = ("radiation", "chemotherapy", "cross")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DrugPanel(_Frozen):
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
    min_drugs : int
        Fewest drugs that a line needs.
    reason : str
        Why these drugs.
    """

    table: Literal["ctrp_auc", "gdsc_response"]
    value: Literal["auc", "ln_ic50"]
    datasets: tuple[str, ...] = ()
    drugs: tuple[str, ...] = Field(min_length=1)
    min_drugs: int = Field(ge=1)
    reason: str


class Panels(_Frozen):
    """Drug panels, by name."""

    chemotherapy: DrugPanel
    platinum: DrugPanel


class SplitConfig(_Frozen):
    """How lines are held out."""

    folds: int = Field(5, ge=2)
    repeats: int = Field(2, ge=1)
    lineage_min_lines: int = Field(15, ge=2)


class FeatureConfig(_Frozen):
    """Which features a model may use; applied inside the training fold."""

    blocks: tuple[BlockName, ...] = Field(min_length=1)
    min_coverage: float = Field(0.5, gt=0, le=1)
    min_events: int = Field(10, ge=1)
    always: tuple[str, ...] = ()


class TrainConfig(_Frozen):
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
    named_genes : dict
        Gene -> measurements in order of preference; each is reported, the first with
        ``named_min_lines`` lines is the headline.
    """

    data: Literal["auto", "real", "simulated"] = "auto"
    seed: int = Field(ge=0)
    resistant_quantile: float = Field(2 / 3, gt=0, lt=1)
    splits: SplitConfig = SplitConfig()
    features: FeatureConfig
    models: tuple[Baseline | Challenger, ...] = Field(min_length=1)
    inner_folds: int = Field(3, ge=2)
    bootstrap: int = Field(1000, ge=100)
    named_genes: dict[str, tuple[str, ...]]
    named_min_lines: int = Field(150, ge=1)
    simulated_lines: int = Field(800, ge=100)

    @field_validator("models")
    @classmethod
    def _compare(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        """Every score stands beside a naive one: both kinds of model are needed."""
        naive = set(models) & set(get_args(Baseline))
        if not naive or naive == set(models) or len(set(models)) < len(models):
            raise ValueError("needs at least one baseline and one other model, each once")
        return models

    def digest(self) -> str:
        """Hex sha256 of the canonical JSON of the configuration."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def config_path(name: str) -> Path:
    """Find a file of ``configs/``: in the installed package, or in the source tree.

    Parameters
    ----------
    name : str
        For example ``train.yaml``.

    Returns
    -------
    Path
        The existing file.

    Raises
    ------
    ConfigError
        If neither place has it.
    """
    here = Path(__file__).resolve()
    places = (here.parent / "configs" / name, here.parents[2] / "configs" / name)
    for place in places:
        if place.is_file():
            return place
    raise ConfigError(f"no configuration file {name!r}", where=" or ".join(map(str, places)), do="reinstall")


def _load(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as e:
        raise ConfigError(f"is not UTF-8 text: {e}", where=str(path), do="save it as UTF-8") from e
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", where=str(path), do="check the path") from e
    except yaml.YAMLError as e:
        raise ConfigError(f"is not YAML: {e}", where=str(path), do="mend the syntax") from e


def _validate(kind: type[_T], path: Path, **overrules: Any) -> _T:
    raw = _load(path)
    if isinstance(raw, dict):
        raw |= overrules
    try:
        return kind.model_validate(raw)
    except ValidationError as e:
        lines = [
            f"{'.'.join(map(str, x['loc'])) or '(top)'}: {x['msg']} (got {x['input']!r:.60})"
            for x in e.errors()
        ]
        known = ", ".join(kind.model_fields)
        raise ConfigError(
            "invalid configuration:\n    " + "\n    ".join(lines), where=str(path), do=f"known keys: {known}"
        ) from e


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
    return _validate(TrainConfig, path or config_path("train.yaml"), **({"data": data} if data else {}))


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
    return _validate(Panels, path or config_path("panels.yaml"))
