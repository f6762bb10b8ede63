"""A simulated study: the publishers' tables made by code, with known truth.

It has the shape of the real data (lineages, relatives, correlated genes, panels that cover
different lines, drugs outside the panels, lines that only one screen
has, values missing by block) and goes through the same identity and cohort code.
Planted: drivers of both responses, of one only, one whose effect differs between lineages, a twin of a
driver that does nothing itself, confounded genes that follow lineage alone, and drugs that follow one
gene each, as is known of them. The four genes that the review names carry their real names so that every
table has its rows; what is said of them here is no biology.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crossres_ml.config import Panels

LINEAGES = ("Lung", "Bowel", "Skin", "Breast", "CNS/Brain", "Ovary", "Pancreas", "Kidney", "Bone", "Liver")
BLOOD = "Lymphoid"
_BLOOD_SHARE = 0.2
_RELATED_SHARE = 0.05
_FACTORS = 15
_WIDE_GENES, _NARROW_GENES, _MUTATED, _PROTEINS, _COPIES = 1500, 500, 250, 120, 150
_MIXED_SEED = 0x5EED
_ONLY_GDSC_SHARE = 0.06
_OTHER_DRUGS, _GENOTOXIC_DRUGS = 60, 12
_TOPOISOMERASE = ("Topotecan", "SN-38")
_PATHWAYS, _METABOLITES = 10, 60
DIFFERS = "driver that differs between lineages"
_DIFFERENCE = 0.3  # more than its mean effect in every other lineage, less in the rest


@dataclass(frozen=True)
class SimulatedStudy:
    """Simulated tables and what was planted.

    Attributes
    ----------
    tables : dict of str to pandas.DataFrame
        As the readers of the real files give them.
    truth : pandas.DataFrame
        Index ``feature`` (``block:name``): role, and the standardised effect on ``radiation`` and
        ``chemotherapy`` (positive = resistance).
    """

    tables: dict[str, pd.DataFrame]
    truth: pd.DataFrame


def _people(rng: np.random.Generator, n: int) -> pd.DataFrame:
    weights = np.linspace(2, 1, len(LINEAGES))
    lineage = rng.choice(LINEAGES, n, p=weights / weights.sum()).astype(object)
    lineage[rng.random(n) < _BLOOD_SHARE] = BLOOD
    patient = np.arange(n)
    copies = np.flatnonzero(rng.random(n) < _RELATED_SHARE)
    copies = copies[copies > 0]
    patient[copies] = copies - 1
    lineage[copies] = lineage[copies - 1]
    ids = [f"ACH-9{i:05d}" for i in range(n)]
    return pd.DataFrame(
        {
            "model_id": ids,
            "patient_id": [f"PT-sim{p:05d}" for p in patient],
            "cell_line_name": [f"SIM-{i:05d}" for i in range(n)],
            "stripped_name": [f"SIM{i:05d}" for i in range(n)],
            "ccle_name": [f"SIM{i:05d}_SIMULATED" for i in range(n)],
            "lineage": lineage.astype(str),
            "subtype": _subtypes(lineage),
            "cosmic_id": np.arange(n) + 9_000_000,
            "sanger_model_id": [f"SIDM9{i:05d}" for i in range(n)],
        }
    )


def _subtypes(lineage: np.ndarray) -> list[str]:
    """Two subtypes of the larger lineages, by turns."""
    return [
        f"{name} {'AB'[i // 3 % 2]}" if name in LINEAGES[:4] else str(name) for i, name in enumerate(lineage)
    ]


def _profiles(rng: np.random.Generator, people: pd.DataFrame, k: int) -> np.ndarray:
    """Make standard normal features: shared factors, lineage shifts, own noise; relatives alike."""
    n = len(people)
    codes = pd.Categorical(people.lineage).codes
    factors = rng.normal(size=(n, _FACTORS))
    shift = rng.normal(size=(codes.max() + 1, k)) * rng.uniform(0, 0.8, k)
    loads = rng.normal(size=(_FACTORS, k)) * (rng.random((_FACTORS, k)) < 0.15)
    x = shift[codes] + factors @ loads * 0.6 + rng.normal(size=(n, k))
    related = np.flatnonzero(people.patient_id.duplicated().to_numpy())
    x[related] = 0.9 * x[related - 1] + 0.3 * x[related]
    return np.asarray((x - x.mean(0)) / x.std(0))


def _plant(
    people: pd.DataFrame, truth: dict[str, tuple[str, float, float]], values: dict[str, np.ndarray]
) -> np.ndarray:
    codes = pd.Categorical(people.lineage).codes
    out = np.zeros((len(people), 2))
    for feature, (role, radiation, chemotherapy) in truth.items():
        x = values[feature]
        z = ((x - x.mean()) / x.std())[:, None]
        out += z * [radiation, chemotherapy]
        if role == DIFFERS:
            out += z * np.where(codes % 2, _DIFFERENCE, -_DIFFERENCE)[:, None]
    return out


def _wide(values: np.ndarray, index: pd.Series, columns: list[str], name: str) -> pd.DataFrame:
    return pd.DataFrame(values.astype(np.float32), index=pd.Index(index, name=name), columns=columns)


def _truth(genes: list[str], mutated: list[str]) -> dict[str, tuple[str, float, float]]:
    return {
        f"rna:{genes[0]}": ("driver of both", 0.30, 0.30),
        f"rna:{genes[1]}": ("driver of both", -0.25, -0.25),
        f"rna:{genes[2]}": ("driver of radiation", 0.35, 0.0),
        f"rna:{genes[3]}": ("driver of chemotherapy", 0.0, -0.40),
        f"rna:{genes[4]}": ("twin of a driver", 0.0, 0.0),
        f"rna:{genes[5]}": ("confounded with lineage", 0.0, 0.0),
        f"rna:{genes[6]}": ("confounded with lineage", 0.0, 0.0),
        f"rna:{genes[7]}": (DIFFERS, 0.25, 0.25),
        "driver:TP53": ("driver of both", 0.20, 0.20),
        f"mutation:{mutated[1]}": ("driver of radiation", 0.20, 0.0),
        "rna:SLFN11": ("control: two drugs of the panel follow it", 0.0, -0.09),
        "rna:RAD51": ("none", 0.0, 0.0),
        "rna:ERCC1": ("none", 0.0, 0.0),
        "rna:BIRC5": ("none", 0.0, 0.0),
    }


def _responses(rng: np.random.Generator, people: pd.DataFrame, planted: np.ndarray) -> np.ndarray:
    """Latent resistance to radiation and chemotherapy, standardised."""
    codes = pd.Categorical(people.lineage).codes
    lineage = rng.normal(size=(codes.max() + 1, 2)) @ np.array([[0.35, 0.15], [0.0, 0.3]])
    shared = rng.normal(size=(len(people), 1)) * 0.35
    y = planted + lineage[codes] + shared + rng.normal(size=(len(people), 2)) * 0.55
    y[people.lineage == BLOOD, 1] -= 1.0
    return np.asarray((y - y.mean(0)) / y.std(0))


def _ctrp(
    rng: np.random.Generator,
    people: pd.DataFrame,
    y: np.ndarray,
    panels: Panels,
    screened: np.ndarray,
    slfn11: np.ndarray,
) -> pd.DataFrame:
    rows = []
    for drug in panels.chemotherapy.drugs:
        seen = screened & (rng.random(len(people)) < 0.9)
        auc = 11 + 2 * (0.75 * y[:, 1] + 0.66 * rng.normal(size=len(people)))
        auc -= 1.2 * slfn11 * (drug in _TOPOISOMERASE)
        rows.append(pd.DataFrame({"drug": drug, "cell_line": people.cell_line_name, "auc": auc})[seen])
    return pd.concat(rows, ignore_index=True)


def _platinum(rng: np.random.Generator, people: pd.DataFrame, y: np.ndarray, panels: Panels) -> pd.DataFrame:
    platinum = []
    for drug in panels.platinum.drugs:
        seen = rng.random(len(people)) < 0.7
        ln_ic50 = 3 + 0.6 * y[:, 1] + 0.8 * rng.normal(size=len(people))
        table = pd.DataFrame({"drug": drug, "model_id": people.model_id, "ln_ic50": ln_ic50})[seen]
        platinum.append(table.assign(dataset=panels.platinum.datasets[0]))
    return pd.concat(platinum, ignore_index=True)


def _other_drugs(
    rng: np.random.Generator, people: pd.DataFrame, y: np.ndarray, screened: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """CTRPv2 drugs outside the panel and what they do: a general factor, and the two latent resistances."""
    n = len(people)
    general = 0.6 * y[:, 1] + 0.1 * y[:, 0] + 0.8 * rng.normal(size=n)
    names = [f"SIMDRUG-{i:02d}" for i in range(_OTHER_DRUGS)]
    rows = []
    for i, drug in enumerate(names):
        own = 0.6 * y[:, 1] if i < _GENOTOXIC_DRUGS else rng.normal(0, 0.3, 2) @ y.T
        auc = 12 + rng.uniform(0.5, 1) * general + own + 0.8 * rng.normal(size=n)
        seen = screened & (rng.random(n) < 0.95)
        rows.append(pd.DataFrame({"drug": drug, "cell_line": people.cell_line_name, "auc": auc})[seen])
    genotoxic = np.arange(_OTHER_DRUGS) < _GENOTOXIC_DRUGS
    mechanism = np.where(genotoxic, "inducer of DNA damage", "inhibitor of something")
    return pd.concat(rows, ignore_index=True), pd.DataFrame({"drug": names, "drug_class": mechanism})


def _gdsc_panel(
    rng: np.random.Generator, people: pd.DataFrame, y: np.ndarray, panels: Panels, certain: np.ndarray
) -> pd.DataFrame:
    """Second screen of chemotherapy: 60 % of the lines, and those that no other screen has."""
    n = len(people)
    screened = certain | (rng.random(n) < 0.6)
    rows = []
    for drug in panels.chemotherapy_gdsc.drugs:
        seen = screened & (certain | (rng.random(n) < 0.9))
        ln_ic50 = 1 + 0.8 * y[:, 1] + 0.9 * rng.normal(size=n)
        table = pd.DataFrame({"drug": drug, "model_id": people.model_id, "ln_ic50": ln_ic50})[seen]
        rows.append(table.assign(dataset=panels.chemotherapy_gdsc.datasets[0]))
    return pd.concat(rows, ignore_index=True)


def _controls(
    rng: np.random.Generator, people: pd.DataFrame, screened: np.ndarray, known: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Drugs that follow one measurement, as is known of them: controls of whatever looks for drivers."""
    rows = []
    for drug, x in known.items():
        auc = 12 + 1.2 * (x - x.mean()) / x.std() + 1.5 * rng.normal(size=len(people))
        rows.append(pd.DataFrame({"drug": drug, "cell_line": people.cell_line_name, "auc": auc})[screened])
    return pd.concat(rows, ignore_index=True)


def _drug_tables(
    rng: np.random.Generator,
    more: np.random.Generator,
    people: pd.DataFrame,
    y: np.ndarray,
    panels: Panels,
    slfn11: np.ndarray,
    known: dict[str, np.ndarray],
) -> dict[str, pd.DataFrame]:
    only_gdsc = _only_gdsc(people)
    screened = (rng.random(len(people)) < 0.95) & ~only_gdsc
    ctrp = _ctrp(rng, people, y, panels, screened, slfn11)
    others, ctrp_drugs = _other_drugs(more, people, y, screened)
    controls = _controls(np.random.default_rng(more.integers(2**31)), people, screened, known)
    gdsc = pd.concat(
        [_platinum(rng, people, y, panels), _gdsc_panel(more, people, y, panels, only_gdsc)],
        ignore_index=True,
    )
    for column in ("cell_line", "drug_id", "cosmic_id", "sanger_model_id"):
        gdsc[column] = pd.NA
    targets = dict.fromkeys(panels.platinum.drugs, "DNA crosslinker")
    targets |= dict.fromkeys(panels.chemotherapy_gdsc.drugs, "TOP1")
    described = pd.DataFrame({"drug": panels.chemotherapy.drugs, "drug_class": "inducer of DNA damage"})
    return {
        "ctrp_auc": pd.concat([ctrp, others, controls], ignore_index=True),
        "ctrp_drugs": pd.concat([described, ctrp_drugs], ignore_index=True),
        "gdsc_response": gdsc,
        "gdsc_drugs": pd.DataFrame({"drug": list(targets), "target_name": list(targets.values())}),
    }


def _only_gdsc(people: pd.DataFrame) -> np.ndarray:
    """Lines that neither CTRPv2 nor the radiation screen has; never relatives of others."""
    single = ~people.patient_id.duplicated(keep=False)
    wanted = round(_ONLY_GDSC_SHARE * len(people))
    every = max(1, int(single.sum()) // max(1, wanted))
    return np.asarray(single & (single.cumsum() % every == 0))


def _radiation(rng: np.random.Generator, people: pd.DataFrame, y: np.ndarray) -> pd.DataFrame:
    measured = ((people.lineage != BLOOD) & ~_only_gdsc(people)).to_numpy()
    auc = np.clip(3.1 + 1.1 * y[:, 0], 0.05, 6.95)
    alpha = np.clip(0.24 - 0.1 * y[:, 0] + 0.08 * rng.normal(size=len(people)), 0, 2)
    out = pd.DataFrame(
        {"cell_line": people.cell_line_name, "auc": auc, "sf2": np.clip(auc / 7 + 0.1, 0, 1.2)}
    )
    out = out.assign(alpha_per_gy=alpha, lq_qc=rng.random(len(people)) < 0.92)
    return out[measured].reset_index(drop=True)


def _extra_blocks(rng: np.random.Generator, people: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Pathway activities of all lines and metabolites of nine in ten; they say nothing of responses."""
    pathways = [f"PATHWAY{i}" for i in range(_PATHWAYS)]
    metabolites = [f"metabolite {i}" for i in range(_METABOLITES)]
    some = np.sort(rng.permutation(len(people))[: int(0.9 * len(people))])
    levels = 5.5 + 0.3 * _profiles(rng, people, _METABOLITES)[some]
    return {
        "progeny": _wide(_profiles(rng, people, _PATHWAYS), people.model_id, pathways, "model_id"),
        "metabolomics": _wide(levels, people.model_id.iloc[some], metabolites, "model_id"),
    }


def simulate(panels: Panels, *, lines: int = 800, seed: int = 0) -> SimulatedStudy:
    """Make a simulated study.

    Parameters
    ----------
    panels : Panels
        Names of the drugs to make.
    lines : int, default 800
        Cell lines; about a fifth are blood lines without a radiation response.
    seed : int, default 0
        Same seed, same tables.

    Returns
    -------
    SimulatedStudy
        Tables and truth.
    """
    rng = np.random.default_rng([seed, _MIXED_SEED])
    more = np.random.default_rng([seed, _MIXED_SEED, 1])
    people = _people(rng, lines)
    genes = [f"GENE{i:04d}" for i in range(_WIDE_GENES)]
    for at, name in (
        (100, "TP53"),
        (101, "SLFN11"),
        (102, "NQO1"),
        (-1, "RAD51"),
        (-2, "ERCC1"),
        (-3, "BIRC5"),
    ):
        genes[at] = name
    mutated = ["TP53", *(f"GENE{i:04d}" for i in range(1, _MUTATED))]
    x = _profiles(rng, people, _WIDE_GENES)
    x[:, 4] = 0.85 * x[:, 0] + 0.53 * x[:, 4]
    codes = pd.Categorical(people.lineage).codes
    for at in (5, 6):
        x[:, at] = rng.normal(size=codes.max() + 1)[codes] * 1.5 + 0.5 * x[:, at]
    rate = np.r_[0.55, rng.beta(1, 8, _MUTATED - 1)]
    hit = rng.random((lines, _MUTATED)) < rate
    damage = np.where(hit[:, :60], 1 + (rng.random((lines, 60)) < 0.4), 0)
    truth = _truth(genes, mutated)
    own = [i for i, g in enumerate(genes) if f"rna:{g}" in truth and g != "SLFN11"]
    values = {f"rna:{genes[i]}": x[:, i] for i in own}
    values |= {"driver:TP53": damage[:, 0].astype(float), f"mutation:{mutated[1]}": hit[:, 1].astype(float)}
    y = _responses(rng, people, _plant(people, {k: truth[k] for k in values}, values))
    log2_tpm = np.clip(4 + 1.5 * x, 0, None)
    some = np.sort(rng.permutation(lines)[: int(0.45 * lines)])
    measured = np.sort(rng.permutation(lines)[: int(0.95 * lines)])
    protein = _profiles(rng, people, _PROTEINS) * 0.5
    copies = _profiles(rng, people, _COPIES) * 0.4
    proteins = [f"PROT{i:03d}" for i in range(_PROTEINS)]
    where = np.nonzero(hit)
    ids = people.model_id
    known = {"Nutlin-3": damage[:, 0] > 0, "tanespimycin": -x[:, 102]}
    tables = {
        "depmap_models": people,
        "radiation": _radiation(more, people, y),
        **_drug_tables(rng, more, people, y, panels, x[:, 101], known),
        **_extra_blocks(more, people),
        "rna_535": _wide(log2_tpm[:, :_NARROW_GENES], ids, genes[:_NARROW_GENES], "model_id"),
        "rna_19q2": _wide(log2_tpm[some], ids.iloc[some], genes, "model_id"),
        "mutation_any": pd.DataFrame(
            {"model_id": ids.to_numpy()[where[0]], "gene": np.asarray(mutated)[where[1]]}
        ),
        "driver_status": _wide(damage, ids, mutated[:60], "model_id"),
        "rppa": _wide(protein[measured], people.ccle_name.iloc[measured], proteins, "ccle_name"),
        "copy_number": _wide(copies, ids, genes[:_COPIES], "model_id"),
        "slfn11_array": _wide(8 + x[:, [101]], people.cosmic_id.astype(str), ["SLFN11"], "cosmic_id"),
    }  # fmt: skip
    table = pd.DataFrame.from_dict(truth, orient="index", columns=["role", "radiation", "chemotherapy"])
    return SimulatedStudy(tables, table.rename_axis("feature"))
