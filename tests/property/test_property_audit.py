"""For any table: residuals stay orthogonal, correlations keep their symmetries, verdicts see only numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from crossres_ml.audit.adjust import add_covariates, normal_scores, residualise, tissue_design
from crossres_ml.audit.association import benjamini_hochberg, partial_correlations
from crossres_ml.audit.association_rows import both_row
from crossres_ml.audit.evidence import COLUMNS, row
from crossres_ml.audit.trees import group_shap, permutation_p
from crossres_ml.audit.verdicts import LEVEL, decide

quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
SEEDS = st.integers(0, 2**32 - 1)
NAN = np.nan


def study(seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Lines of skewed lineages; features with ties, gaps by block, events, constants."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(25, 90))
    lineage = pd.Series(rng.choice(list("ABCDEFGH"), n, p=rng.dirichlet(np.ones(8) * 0.6)))
    codes = lineage.factorize()[0]
    X = rng.normal(size=(n, 8)) * rng.uniform(1e-3, 1e3, 8) + rng.normal(size=(8, 8))[codes] * 3
    X[:, 1] = X[:, 1].round(int(rng.integers(-3, 2)))
    X[:, 2] = X[:, 2] > np.quantile(X[:, 2], rng.uniform(0.5, 0.98))
    X[rng.random(n) < rng.uniform(0, 0.9), 3:6] = NAN
    X[codes == rng.integers(8), 6] = NAN
    X[:, 7] = rng.choice([0.1, NAN], n, p=[0.9, 0.1])
    growth = np.where(rng.random(n) < rng.uniform(0, 0.4), NAN, rng.normal(size=n))
    covariates = pd.DataFrame({"growth": growth, "twice": 2 * growth, "more": rng.normal(size=n)})
    design = add_covariates(tissue_design(lineage), covariates)
    return pd.DataFrame(X), normal_scores(rng.normal(size=n).round(1) + codes), design


@given(seed=SEEDS)
@quick
def test_residuals_are_orthogonal_standardised_and_zero_where_nothing_was_measured(seed: int) -> None:
    X, _, design = study(seed)
    fitted = residualise(X.to_numpy(), design)
    np.testing.assert_allclose(design.T @ fitted.values, 0, atol=1e-7)
    assert (fitted.values[~fitted.observed] == 0).all()
    sums = (fitted.values**2).sum(axis=0)
    alive = sums > 0
    np.testing.assert_allclose(sums[alive], fitted.observed.sum(axis=0)[alive])
    assert (fitted.rank <= np.linalg.matrix_rank(design)).all()
    assert not alive[7]
    again = residualise(np.where(fitted.observed, fitted.values, NAN), design).values
    np.testing.assert_allclose(again, fitted.values, atol=1e-8)


@given(seed=SEEDS, scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
@quick
def test_correlations_ignore_units_and_order_and_turn_with_the_sign(
    seed: int, scale: float, shift: float
) -> None:
    X, y, design = study(seed)
    rng = np.random.default_rng(seed)
    first = partial_correlations(X, y, design)
    rows, columns = rng.permutation(len(X)), rng.permutation(X.shape[1])
    again = partial_correlations((X * scale + shift).iloc[rows, columns], y[rows] * scale, design[rows])
    np.testing.assert_allclose(again.loc[first.index], first, atol=1e-6)
    turned = partial_correlations(-X, y, design)
    np.testing.assert_allclose(turned[["r", "low", "high"]], -first[["r", "high", "low"]], atol=1e-8)
    known = first.dropna()
    assert known.r.abs().le(1).all()
    assert (known.low.le(known.r) & known.r.le(known.high)).all()
    assert known.p.between(0, 1).all()
    # the interval leaves zero out about where p is below .05; they differ by the normal for the t
    clear = (known.p < 0.03) | (known.p > 0.07)
    outside = (known.low > 0) | (known.high < 0)
    assert (outside == (known.p < 0.05))[clear].all()


@given(st.lists(st.one_of(st.floats(0, 1), st.just(NAN)), max_size=40))
@quick
def test_adjusted_p_values_keep_order_are_no_smaller_and_leave_gaps(values: list[float]) -> None:
    p = np.array(values)
    q = benjamini_hochberg(p)
    known = np.isfinite(p)
    np.testing.assert_array_equal(np.isfinite(q), known)
    if known.any():
        np.testing.assert_allclose(q[known], false_discovery_control(p[known]))
        assert (q[known] >= p[known] - 1e-15).all()
        assert (np.diff(q[known][np.argsort(p[known])]) >= -1e-15).all()


@given(seed=SEEDS, draws=st.integers(1, 60))
@quick
def test_permutation_p_is_a_rank_among_draws(seed: int, draws: int) -> None:
    rng = np.random.default_rng(seed)
    null, observed = rng.integers(0, 9, (draws, 4)).astype(float), rng.integers(0, 12, 4).astype(float)
    p = permutation_p(observed, null)
    assert ((p >= 1 / (draws + 1)) & (p <= 1)).all()
    np.testing.assert_allclose(p * (draws + 1), np.round(p * (draws + 1)))
    np.testing.assert_array_equal(permutation_p(observed, rng.permutation(null)), p)
    assert (permutation_p(observed + 1, null) <= p).all()


@given(seed=SEEDS)
@quick
def test_a_group_is_no_larger_than_its_parts_and_ignores_their_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(20, 6))
    members = list(rng.permutation(6)[: rng.integers(1, 6)])
    whole, turned, *parts = group_shap(
        values, {"a": members, "b": members[::-1], **{str(m): [m] for m in members}}
    )
    assert np.isclose(whole, turned)
    assert whole <= sum(parts) + 1e-12


# --- both -----------------------------------------------------------------------------------------

SIZES = st.one_of(st.integers(-90, 90).map(lambda percent: percent / 100), st.just(NAN))
PROBABILITIES = st.floats(1e-6, 1)
ERRORS = st.one_of(st.just(NAN), st.just(0.0), st.floats(0, 0.02))


@st.composite
def evidence(draw: st.DrawFn) -> dict[str, Any]:
    """A row whose numbers may be missing, with words of its own."""
    effect, full, raw = (draw(SIZES) for _ in range(3))
    own = {"p": effect, "full_p": full, "raw_p": raw}
    numbers = {
        "effect": effect, "low": effect - 0.1, "high": effect + 0.1, "full": full, "raw": raw,
        **{k: NAN if np.isnan(e) else draw(PROBABILITIES) for k, e in own.items()},
        "p_error": draw(ERRORS), "n": draw(st.integers(0, 500)), "mde": draw(PROBABILITIES),
    }  # fmt: skip
    return row(
        **numbers, claimed=draw(st.booleans()), valid=draw(st.booleans()), note=draw(st.sampled_from("ab"))
    )


def same(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))


@given(evidence(), evidence())
@quick
def test_both_is_symmetric_and_no_stronger_than_either(a: dict[str, Any], b: dict[str, Any]) -> None:
    found, turned = both_row(a, b), both_row(b, a)
    if not same(a["effect"], b["effect"]):
        assert all(same(found[k], turned[k]) for k in COLUMNS)
    assert tuple(found) == COLUMNS
    for effect, p in (("effect", "p"), ("full", "full_p"), ("raw", "raw_p")):
        parts = [a[effect], b[effect]]
        if np.isnan(parts).any():
            assert np.isnan(found[p])
        elif min(parts) <= 0 <= max(parts):
            assert found[p] == 1
        else:
            assert found[p] == max(a[p], b[p])
    if not np.isnan([a["effect"], b["effect"]]).any():
        assert found["effect"] in (a["effect"], b["effect"])
        assert abs(found["effect"]) <= max(abs(a["effect"]), abs(b["effect"]))
    assert found["valid"] == (a["valid"] and b["valid"])


# --- verdicts -------------------------------------------------------------------------------------

NAMED = (
    "effect", "high", "q", "p", "p_error", "full", "full_p", "mde", "smallest", "shap_q", "shap_p",
    "shap_p_error",
)  # fmt: skip
NUMBER = st.one_of(st.floats(-1, 1), st.just(NAN))
NEAR_LEVEL = st.one_of(
    st.floats(0, 1), st.floats(0.03, 0.07), st.sampled_from([LEVEL, np.nextafter(LEVEL, 0), 0.001, NAN])
)


@st.composite
def judged(draw: st.DrawFn) -> dict[str, Any]:
    """What `decide` names, anywhere and near the borders."""
    found: dict[str, Any] = {k: draw(NUMBER) for k in ("effect", "low", "high", "full")}
    found |= {k: draw(NEAR_LEVEL) for k in ("q", "p", "full_p", "shap_q", "shap_p")}
    found |= {k: draw(ERRORS) for k in ("p_error", "shap_p_error")}
    found["mde"] = draw(st.one_of(st.floats(0.05, 0.3), st.just(0.15), st.just(NAN)))
    return found | {"smallest": draw(st.sampled_from([0.1, 0.15, 0.3]))}


@given(judged(), st.booleans(), SEEDS)
@quick
def test_a_verdict_depends_on_nothing_but_the_named_numbers(
    numbers: dict[str, Any], gate_open: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    alone = {k: numbers[k] for k in NAMED}
    found = decide(alone, gate_open=gate_open)
    names = [c for c in (*COLUMNS, "shap", "linear_q", "matched_percentile") if c not in NAMED]
    other = {k: rng.choice([NAN, 0.0, -5.0, 1e9]) for k in names}
    order = [str(k) for k in rng.permutation([*alone, *other])]
    assert decide({k: (alone | other)[k] for k in order}, gate_open=gate_open) == found
    assert decide(pd.Series(alone).to_dict(), gate_open=gate_open) == found


@given(judged())
@settings(quick, max_examples=150)
def test_the_opposite_claim_gets_the_opposite_verdict(numbers: dict[str, Any]) -> None:
    assume(numbers["effect"] != 0)
    turned = numbers | {
        "effect": -numbers["effect"], "full": -numbers["full"],
        "low": -numbers["high"], "high": -numbers["low"],
    }  # fmt: skip
    found, other = decide(numbers, gate_open=True), decide(turned, gate_open=True)
    opposite = {
        ("supported", False): ("contradicted", False),
        ("lost after adjustment", False): ("contradicted", True),
        ("contradicted", False): ("supported", False),
        ("contradicted", True): ("lost after adjustment", False),
        ("not measurable", False): ("not measurable", False),
    }  # fmt: skip
    if (found.word, found.weak) in opposite:
        assert (other.word, other.weak) == opposite[found.word, found.weak]
    else:
        assert {found.word, other.word} <= {"not supported", "underpowered"}
    assert not (found.top_driver and other.top_driver)


@given(judged(), st.booleans())
@settings(quick, max_examples=150)
def test_verdicts_keep_their_promises(numbers: dict[str, Any], gate_open: bool) -> None:
    found = decide(numbers, gate_open=gate_open)
    if found.word == "supported":
        assert numbers["effect"] > 0 < numbers["full"]
        assert max(numbers["q"], numbers["full_p"]) < LEVEL
    if found.word == "contradicted":
        assert numbers["effect"] < 0
        assert numbers["q"] < LEVEL
    if found.word == "not supported":
        assert numbers["q"] >= LEVEL
        assert numbers["high"] < numbers["smallest"] >= numbers["mde"]
    assert found.word == "supported" or not found.top_driver
    assert found.word == "contradicted" or not found.weak
    assert gate_open or found.word in ("withheld", "not measurable")
    if np.isnan(numbers["p_error"]) and np.isnan(numbers["shap_p_error"]):
        assert not found.borderline
    smaller = decide(numbers | {"q": min(numbers["q"], 1e-4)}, gate_open=gate_open)
    if found.word == "supported":  # more evidence never takes a verdict away
        assert smaller.word == "supported"
