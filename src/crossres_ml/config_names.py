"""Names that the configuration gives to things, and where its files are.

Scoring a sample needs these and no configuration: they stand apart from what checks one, which is heavy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from crossres_ml.errors import ConfigError

TaskName = Literal["radiation", "chemotherapy", "cross"]
BlockName = Literal[
    "aneuploidy", "burden", "chromatin", "cn_arm", "cn_event", "copy_number", "driver", "gene_set", "growth",
    "hotspot", "lineage", "metabolomics", "methylation", "mutation", "progeny", "rna", "rna_array", "rppa",
    "signature", "slfn11", "subtype", "tf", "variant",
]  # fmt: skip
Baseline = Literal[
    "prevalence", "lineage_mean", "subtype_mean", "mutation_burden", "rsi", "general_sensitivity"
]
Challenger = Literal["logistic", "ridge", "elastic_net", "lightgbm_class", "lightgbm", "extra_trees", "gp"]
Combined = Literal["stack", "mean_of_two", "product_of_two", "joint_gp"]
Tuning = Literal["quick", "full"]
Have = Literal["rna", "mutations", "rna_mutations", "rna_rppa", "no_caution"]
TASKS: tuple[TaskName, ...] = ("radiation", "chemotherapy", "cross")


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
