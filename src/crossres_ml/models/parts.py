"""Fitted models as descriptions and files, and back: text, JSON and plain arrays, nothing pickled."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import cho_solve

from crossres_ml.cohort.scores import GeneSetScorer
from crossres_ml.errors import BundleError
from crossres_ml.models.combine import Combination
from crossres_ml.models.forest import Forest
from crossres_ml.models.joint import JointModel
from crossres_ml.models.machine import KernelMachine
from crossres_ml.models.profile import DrugProfile
from crossres_ml.models.resistance import Calibration, FittedModel, ResistanceModel
from crossres_ml.models.weights import LinearWeights

_EPOCH = (1980, 1, 1, 0, 0, 0)


Table = pd.DataFrame


class LoadedModel(FittedModel):
    """A single model read from its files.

    Parameters
    ----------
    name : str
        Name of the estimator.
    score : callable
        Table -> scores.
    explain : callable
        Table -> shares, lines x features.
    both : callable, optional
        Table -> scores and predictive standard deviations.
    by_itself : bool, default False
        Whether no bit of a line's score depends on the lines that are scored with it.
    """

    def __init__(
        self, name: str, score: Callable[[Table], np.ndarray], explain: Callable[[Table], Table],
        both: Callable[[Table], tuple[np.ndarray, np.ndarray]] | None = None, by_itself: bool = False,
    ) -> None:  # fmt: skip
        self.name, self._score, self._explain, self._both = name, score, explain, both
        self.by_itself = by_itself

    def score(self, X: Table) -> np.ndarray:
        """Score lines."""
        return self._score(X)

    def score_and_spread(self, X: Table) -> tuple[np.ndarray, np.ndarray]:
        """Scores and predictive standard deviations; NaN where the model has none."""
        return super().score_and_spread(X) if self._both is None else self._both(X)

    def explain(self, X: Table) -> Table:
        """Share score minus expected score among features, as before saving."""
        return self._explain(X)

    def parameters(self) -> dict[str, Any]:
        """Not kept here: they are in the recipe."""
        return {}


def reads_profile(model: FittedModel) -> bool:
    """Whether what is kept of a model reads the predicted drug profile.

    Parameters
    ----------
    model : FittedModel
        Fitted.

    Returns
    -------
    bool
        False also for a stack whose members with weight do not.
    """
    if isinstance(model, Combination):
        return any(reads_profile(m) for m, w in zip(model.members, model.weights, strict=True) if w > 0)
    return isinstance(model, ResistanceModel | JointModel) and model.profile is not None


def unused(model: FittedModel) -> set[str]:
    """Name what a model was offered and does not use, which need not be read from anybody's table.

    Parameters
    ----------
    model : FittedModel
        Fitted.

    Returns
    -------
    set of str
        Features that no tree splits on and no coefficient weighs. None of a combination, which together uses
        nearly all, nor of what reads the drug profile, which rests on features of its own.
    """
    if reads_profile(model) or not isinstance(model, ResistanceModel):
        return set()
    columns, use = model.estimator_.columns, model.estimator_.use()
    gone = np.zeros(len(columns), dtype=bool) if use is None or not use.any() else use == 0
    return {c for c, out in zip(columns, gone, strict=True) if out}


def save_model(model: FittedModel, folder: Path, name: str = "model") -> dict[str, Any]:
    """Write the parts of a model.

    Parameters
    ----------
    model : FittedModel
        Fitted.
    folder : Path
        Existing folder.
    name : str
        Stem of the files.

    Returns
    -------
    dict
        JSON-ready description that `load_model` understands.

    Raises
    ------
    BundleError
        If the kind of model cannot be kept.
    """
    told: dict[str, Any] = {"model": model.name, "calibration": vars(model.calibration)}
    if isinstance(model, ResistanceModel):
        return told | _save_single(model, folder, name)
    if isinstance(model, JointModel):
        description, arrays = model.machine.state()
        save_arrays(folder / f"{name}.npz", {**arrays, "grids": model.grids})
        centre = {str(k): float(v) for k, v in model.centre.items()}
        return told | {"kind": "joint", "file": f"{name}.npz", "centre": centre, **description}
    if isinstance(model, Combination):
        keep = [i for i, w in enumerate(model.weights) if w > 0]
        members = [save_model(model.members[i], folder, f"{name}-{i}") for i in keep]
        numbers = {n: getattr(model, n)[keep].tolist() for n in ("weights", "centres", "scales", "grids")}
        return told | {"kind": "combination", "rule": model.rule, "members": members, **numbers}
    raise BundleError(f"a model of kind {type(model).__name__} cannot be kept")


def _save_single(model: ResistanceModel, folder: Path, name: str) -> dict[str, Any]:
    # what fits models is heavy, and scoring does without
    from crossres_ml.models.gp import GaussianProcessScore
    from crossres_ml.models.linear import LinearPipeline
    from crossres_ml.models.trees import ExtraTreesScore, LightGBMScore

    estimator = model.estimator_
    columns = {"columns": estimator.columns}
    if isinstance(estimator, LightGBMScore):
        (folder / f"{name}.txt").write_text(estimator.booster_.model_to_string(), encoding="utf-8")
        return {"kind": "trees", "file": f"{name}.txt", **columns}
    if isinstance(estimator, LinearPipeline):
        save_arrays(folder / f"{name}.npz", vars(estimator.weights_))
        return {"kind": "linear", "file": f"{name}.npz", **columns}
    if isinstance(estimator, ExtraTreesScore):
        save_arrays(folder / f"{name}.npz", vars(Forest.of(estimator.pipeline_)))
        return {"kind": "forest", "file": f"{name}.npz", **columns}
    if isinstance(estimator, GaussianProcessScore):
        description, arrays = estimator.machine_.state()
        kernel = estimator.gp_.kernel_
        arrays["cholesky"] = estimator.gp_.L_
        arrays["weights"] = kernel.weights
        centre = {str(k): float(v) for k, v in estimator.centre().items()}
        numbers = {"noise": float(kernel.noise), "scale": estimator.scale_, "centre": centre}
        save_arrays(folder / f"{name}.npz", arrays)
        return {"kind": "gp", "file": f"{name}.npz", **columns, **numbers, **description}
    raise BundleError(f"a model of kind {estimator.name!r} cannot be kept", do="save another model")


def load_model(told: dict[str, Any], folder: Path, profile: DrugProfile | None = None) -> FittedModel:
    """Rebuild a model.

    Parameters
    ----------
    told : dict
        As `save_model` gave it.
    folder : Path
        Where its files are.
    profile : DrugProfile, optional
        The drug profile that it reads: explanations are handed on through it.

    Returns
    -------
    FittedModel
        Scores and explains the same bits.
    """
    kind = told["kind"]
    if kind == "combination":
        model: FittedModel = _load_combination(told, folder, profile)
    elif kind == "joint":
        arrays = load_arrays(folder / told["file"])
        joint = JointModel()
        joint.machine, joint.grids = KernelMachine.from_state(told, arrays), arrays["grids"]
        joint.profile, joint.centre = profile, pd.Series(told["centre"], dtype=float)
        model = joint
    elif kind == "gp":
        model = _load_gp(told, folder, profile)
    elif kind == "trees":
        model = _load_trees(told, folder)
    elif kind in ("forest", "linear"):
        whole = Forest if kind == "forest" else LinearWeights
        model = _of_arrays(told, whole(**load_arrays(folder / told["file"])))
    else:
        raise BundleError(f"unknown kind of model {kind!r}", where=str(folder), do="train again")
    model.name, model.calibration = told["model"], Calibration(**told["calibration"])
    return model


def _load_combination(told: dict[str, Any], folder: Path, profile: DrugProfile | None) -> Combination:
    combined = Combination(told["rule"], [load_model(m, folder, profile) for m in told["members"]])
    for name in ("weights", "centres", "scales", "grids"):
        setattr(combined, name, np.asarray(told[name]))
    return combined


def _load_trees(told: dict[str, Any], folder: Path) -> LoadedModel:
    import lightgbm as lgb  # heavy; other models do without

    booster = lgb.Booster(model_str=(folder / told["file"]).read_text(encoding="utf-8"))

    def score(X: Table) -> np.ndarray:
        return np.asarray(booster.predict(_values(X, told), raw_score=True, num_threads=1))

    def explain(X: Table) -> Table:
        shares = np.asarray(booster.predict(_values(X, told), pred_contrib=True, num_threads=1))
        return pd.DataFrame(shares[:, :-1], X.index, told["columns"])

    return LoadedModel(told["model"], score, explain, by_itself=True)  # LightGBM goes row by row


def _of_arrays(told: dict[str, Any], model: Forest | LinearWeights) -> LoadedModel:
    dtype = np.float32 if isinstance(model, Forest) else np.float64
    score = model.predict if isinstance(model, Forest) else model.score
    return LoadedModel(
        told["model"],
        lambda X: score(_values(X, told).astype(dtype)),
        lambda X: pd.DataFrame(model.explain(_values(X, told).astype(dtype)), X.index, told["columns"]),
    )


def _values(X: Table, told: dict[str, Any]) -> np.ndarray:
    # columns that the model was offered and does not use are not asked for
    values: np.ndarray = X.reindex(columns=told["columns"]).to_numpy(dtype=np.float32)
    return values


def _load_gp(told: dict[str, Any], folder: Path, profile: DrugProfile | None) -> LoadedModel:
    arrays = load_arrays(folder / told["file"])
    machine = KernelMachine.from_state(told, arrays)
    weights, cholesky = arrays["weights"], arrays["cholesky"]
    centre = pd.Series(told["centre"], dtype=float)

    def both(X: Table) -> tuple[np.ndarray, np.ndarray]:
        mean, variance = machine.predict_with_variance(X, weights, lambda k: cho_solve((cholesky, True), k.T))
        spread = told["scale"] * np.sqrt(np.maximum(variance + told["noise"], 0.0))
        return mean[:, 0], np.asarray(spread)

    def explain(X: Table) -> Table:
        shares = machine.attribute(X, np.ones((len(X), 1)))
        return shares if profile is None else profile.hand_on(shares, X, centre)

    return LoadedModel(told["model"], lambda X: machine.predict(X)[:, 0], explain, both)


def save_profile(profile: DrugProfile, folder: Path) -> dict[str, Any]:
    """Write a drug profile.

    Parameters
    ----------
    profile : DrugProfile
        Fitted.
    folder : Path
        Existing folder.

    Returns
    -------
    dict
        JSON-ready description.
    """
    description, arrays = profile.machine.state()
    save_arrays(folder / "profile.npz", arrays)
    return {"file": "profile.npz", "names": profile.names, **description}


def load_profile(told: dict[str, Any], folder: Path) -> DrugProfile:
    """Rebuild a drug profile.

    Parameters
    ----------
    told : dict
        As `save_profile` gave it.
    folder : Path
        Where its file is.

    Returns
    -------
    DrugProfile
        Predicts; it holds no drug measurement and knows no line.
    """
    profile = DrugProfile(())
    profile.machine = KernelMachine.from_state(told, load_arrays(folder / told["file"]))
    profile.names, profile.fitted_on = list(told["names"]), frozenset()
    return profile


def save_scorer(scorer: GeneSetScorer, folder: Path) -> dict[str, Any]:
    """Write how gene sets are scored.

    Parameters
    ----------
    scorer : GeneSetScorer
        Of the training lines.
    folder : Path
        Existing folder.

    Returns
    -------
    dict
        JSON-ready description.
    """
    arrays = {"mean": scorer.mean.to_numpy(), "spread": scorer.spread.to_numpy()}
    save_arrays(folder / "gene_sets.npz", arrays | {"weight": scorer.net.weight.to_numpy(dtype=float)})
    names = {n: scorer.net[n].astype(str).tolist() for n in ("source", "target")}
    return {"file": "gene_sets.npz", "genes": scorer.genes, **names}


def load_scorer(told: dict[str, Any], folder: Path) -> GeneSetScorer:
    """Rebuild how gene sets are scored.

    Parameters
    ----------
    told : dict
        As `save_scorer` gave it.
    folder : Path
        Where its file is.

    Returns
    -------
    GeneSetScorer
        Scores as before.
    """
    arrays = load_arrays(folder / told["file"])
    net = pd.DataFrame({"source": told["source"], "target": told["target"], "weight": arrays["weight"]})
    mean, spread = (pd.Series(arrays[n], told["genes"]) for n in ("mean", "spread"))
    return GeneSetScorer(mean, spread, net)


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays; the same arrays give the same bytes.

    Parameters
    ----------
    path : Path
        .npz to be made.
    arrays : dict of str to numpy.ndarray
        Of numbers or text.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, buffer.getvalue())


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read named arrays; objects are refused.

    Parameters
    ----------
    path : Path
        As `save_arrays` made it.

    Returns
    -------
    dict of str to numpy.ndarray
        All of them.
    """
    # a damaged file that NumPy was given by name would stay open
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
