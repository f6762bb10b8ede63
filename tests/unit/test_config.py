"""A configuration is right or refused, with every fault named."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from crossres_ml.config import AuditConfig, DrugPanel, load_panels, load_train_config, with_audit
from crossres_ml.config_names import config_path
from crossres_ml.errors import ConfigError


def write(folder: Path, name: str = "train.yaml", **changes: Any) -> Path:
    raw = yaml.safe_load(config_path(name).read_text(encoding="utf-8")) | changes
    path = folder / name
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def test_default_configuration_is_valid() -> None:
    config = load_train_config()
    assert config.data == "auto"
    assert set(config.named_genes) == {"TP53", "RAD51", "ERCC1", "BIRC5"}
    assert config.resistant_quantile == pytest.approx(2 / 3)


def test_default_panels_have_no_ctrp_platinum() -> None:
    panels = load_panels()
    assert len(panels.chemotherapy.drugs) == 14
    assert panels.chemotherapy.min_drugs == 8
    assert not [d for d in panels.chemotherapy.drugs if "plat" in d.lower()]
    assert panels.platinum.table == "gdsc_response"


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, seed=-1, colour="red", bootstrap=3, splits={"folds": 1, "shuffle": True})
    with pytest.raises(ConfigError, match="invalid configuration") as error:
        load_train_config(path)
    text = str(error.value)
    for fault in ("seed", "colour", "bootstrap", "splits.folds", "splits.shuffle", "got -1", "got 'red'"):
        assert fault in text
    assert str(path) in text
    assert "known keys: data, seed," in text


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"resistant_quantile": 1.0}, "resistant_quantile"),
        ({"resistant_quantile": float("nan")}, "resistant_quantile"),
        ({"data": "mixed"}, "data"),
        ({"models": []}, "models"),
        ({"features": {"blocks": []}}, "features.blocks"),
        ({"features": {"blocks": ["rna"], "min_coverage": 0}}, "features.min_coverage"),
        ({"simulated_lines": 20}, "simulated_lines"),
        ({"inner_folds": 1}, "inner_folds"),
        ({"named_genes": {"TP53": "rna:TP53"}}, "named_genes.TP53"),
    ],
)
def test_bad_value_is_named(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(fault)):
        load_train_config(write(tmp_path, **changes))


def test_bad_panel_is_named(tmp_path: Path) -> None:
    broken = {"table": "nci60", "value": "auc", "drugs": [], "min_drugs": 0, "reason": "none"}
    with pytest.raises(ConfigError, match=r"chemotherapy\.table") as error:
        load_panels(write(tmp_path, "panels.yaml", chemotherapy=broken))
    assert "chemotherapy.drugs" in str(error.value)
    assert "chemotherapy.min_drugs" in str(error.value)


@pytest.mark.parametrize(
    ("content", "fault"),
    [("", "got None"), ("- a\n- b\n", "valid dictionary"), ("seed: [1\n", "is not YAML")],
)
def test_file_that_is_no_configuration(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=fault):
        load_train_config(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_train_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_train_config(tmp_path)
    with pytest.raises(ConfigError, match=r"no configuration file 'none\.yaml'"):
        config_path("none.yaml")


def test_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"seed: 1 # caf\xe9\n")
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_train_config(path)


@pytest.mark.parametrize(
    "changes", [{"models": ["ridge", "lightgbn"]}, {"features": {"blocks": ["rna", "mutatoin"]}}]
)
def test_misspelt_model_or_block_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"lightgbn|mutatoin"):
        load_train_config(write(tmp_path, **changes))


def test_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_train_config().seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        load_panels().chemotherapy.min_drugs = 1


def test_digest_follows_content_alone(tmp_path: Path) -> None:
    default = load_train_config()
    reordered = tmp_path / "r.yaml"
    raw = yaml.safe_load(config_path("train.yaml").read_text(encoding="utf-8"))
    reordered.write_text(yaml.safe_dump(dict(reversed(raw.items())), sort_keys=False), encoding="utf-8")
    assert load_train_config(reordered).digest() == default.digest()
    assert load_train_config(write(tmp_path, seed=default.seed + 1)).digest() != default.digest()
    models = default.model_dump(mode="json")["models"]
    assert load_train_config(write(tmp_path, models=models[::-1])).digest() != default.digest()


def test_digest_is_the_same_in_another_process() -> None:
    code = "from crossres_ml.config import load_train_config as l; print(l().digest(), end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == load_train_config().digest()


def test_a_panel_needs_a_reason() -> None:
    with pytest.raises(ValidationError, match="reason"):
        DrugPanel.model_validate({"table": "ctrp_auc", "value": "auc", "drugs": ["a"], "min_drugs": 1})


def test_names_in_the_configuration_are_those_of_the_code() -> None:
    from typing import get_args

    from crossres_ml.cohort.blocks import BLOCKS
    from crossres_ml.config_names import Baseline, BlockName, Challenger, Combined, Have
    from crossres_ml.evaluation.folds import HAVE, NO_CAUTION
    from crossres_ml.models.fit import COMBINED
    from crossres_ml.models.registry import ESTIMATORS

    assert sorted(get_args(BlockName)) == sorted(b.name for b in BLOCKS)
    assert {n for n, e in ESTIMATORS.items() if e.baseline} == set(get_args(Baseline))
    assert {n for n, e in ESTIMATORS.items() if not e.baseline} == set(get_args(Challenger))
    assert set(COMBINED) == set(get_args(Combined))
    assert {*HAVE, NO_CAUTION} == set(get_args(Have))


@pytest.mark.parametrize("name", ["mean_of_two", "product_of_two", "joint_gp"])
def test_ways_to_both_need_the_process_that_they_are_made_of(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: made of gp, which is not among the models"):
        load_train_config(write(tmp_path, models=["lineage_mean", "ridge", name]))
    assert name in load_train_config(write(tmp_path, models=["lineage_mean", "ridge", "gp", name])).models
    alone = load_train_config(
        write(tmp_path, models=["lineage_mean", "ridge", "stack"], side_models=["ridge"])
    )  # a stack of what there is
    assert alone.models == ("lineage_mean", "ridge", "stack")


@pytest.mark.parametrize(
    "models",
    [
        ["ridge", "gp"],  # nothing naive to beat
        ["prevalence", "rsi"],  # nothing but naive
        ["prevalence", "stack"],  # nothing to stack
        ["prevalence", "ridge", "ridge"],
    ],
)
def test_models_stand_beside_others(tmp_path: Path, models: list[str]) -> None:
    with pytest.raises(ConfigError, match="needs at least one baseline and one other model, each once"):
        load_train_config(write(tmp_path, models=models))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"learning_curve": [0.5, 1.0]}, r"learning_curve\.1: Input should be less than 1"),
        ({"learning_curve": [0.0]}, r"learning_curve\.0: Input should be greater than 0"),
        ({"retrained": ["rna", "lineage"]}, r"retrained\.1: Input should be 'rna', 'mutations'"),
        ({"side_models": ["stack"]}, r"side_models\.0"),
        ({"tuning": "slow"}, "tuning: Input should be 'quick' or 'full'"),
        ({"splits": {"seed": -1}}, r"splits\.seed: Input should be greater than or equal to 0"),
        ({"permuted": "perhaps"}, "permuted: Input should be a valid boolean"),
        ({"audit": {"draws": 5}}, r"audit\.draws: Input should be greater than or equal to 19"),
        ({"audit": {"claims": "x"}}, r"audit\.claims: Extra inputs are not permitted"),
    ],
)
def test_bad_value_of_the_side_runs_is_named(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        load_train_config(write(tmp_path, **changes))


@pytest.mark.parametrize("name", ["train.yaml", "smoke.yaml", "publication.yaml"])
def test_configurations_of_the_project_are_valid(name: str) -> None:
    config = load_train_config(config_path(name))
    assert "lineage_mean" in config.models
    assert set(config.side_models) <= set(config.models)
    published = name == "publication.yaml"
    assert (config.tuning == "full") == published


def test_published_seeds_are_not_those_of_development() -> None:
    """Repeat r uses seed + r: no fold of the published table may be one on which a choice was made."""
    seeds = []
    for name in ("train.yaml", "publication.yaml"):
        splits = load_train_config(config_path(name)).splits
        seeds.append(set(range(splits.seed, splits.seed + splits.repeats)))
    assert not seeds[0] & seeds[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"tuning": "full"},
        {"learning_curve": [0.4]},
        {"side_models": ["ridge"]},
        {"permuted": False},
        {"audit": {"draws": 400}},
    ],
)
def test_every_key_of_the_side_runs_is_in_the_digest(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert load_train_config(write(tmp_path, **changes)).digest() != load_train_config().digest()


def test_draws_and_seed_of_an_audit_are_overruled() -> None:
    config = load_train_config()
    assert config.audit is not None
    same = with_audit(config)
    assert same == config
    other = with_audit(config, draws=99, seed=7)
    assert other.audit == config.audit.model_copy(update={"draws": 99})
    assert other.seed == 7
    assert with_audit(config.model_copy(update={"audit": None})).audit == AuditConfig()


def test_a_study_that_stands_in_for_missing_data_is_short() -> None:
    config = load_train_config(config_path("train.yaml"))
    short = config.stand_in()
    assert short.data == "simulated"
    assert short.splits.repeats == 1
    assert short.audit is not None
    assert config.audit is not None
    assert short.audit.draws == 99 < config.audit.draws
    assert short.models == config.models
    assert short.digest() != config.digest()
    few = config.model_copy(update={"audit": config.audit.model_copy(update={"draws": 19})})
    assert few.stand_in().audit.draws == 19  # type: ignore[union-attr]
    assert config.model_copy(update={"audit": None}).stand_in().audit is None


def test_side_runs_are_of_models_that_are_run_whole(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="side_models: Value error, gp: not among the models"):
        load_train_config(
            write(tmp_path, models=["lineage_mean", "ridge"], side_models=["lineage_mean", "gp"])
        )
