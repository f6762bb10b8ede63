"""Anonymous rows are recognised by their values, or not at all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossres_ml.identity.fingerprint import MAX_RMS, MIN_RATIO, MIN_SHARED, match_rows

RNG = np.random.default_rng(5)
KNOWN = pd.DataFrame(
    RNG.normal(4, 2, (30, 40)),
    pd.Index([f"ACH-{i:06d}" for i in range(30)], name="model_id"),
    [f"G{i}" for i in range(40)],
)
ANONYMOUS = (KNOWN.iloc[[7, 3, 11, 20]] + RNG.normal(0, 0.05, (4, 40))).reset_index(drop=True)


def plain(anonymous: pd.DataFrame, known: pd.DataFrame) -> list[tuple[int, str, float, float, int]]:
    """The same rule as a loop over pairs."""
    genes = [g for g in anonymous.columns if g in known.columns]
    found = []
    for row in range(len(anonymous)):
        distances = []
        for line in known.index:
            pairs = pd.DataFrame({"a": anonymous.loc[row, genes], "b": known.loc[line, genes]}).dropna()
            if len(pairs) >= MIN_SHARED:
                rms = float(np.sqrt(((pairs.a - pairs.b) ** 2).mean()))
                distances.append((rms, line, len(pairs)))
        distances.sort()
        if len(distances) > 1 and distances[0][0] <= MAX_RMS:
            ratio = distances[1][0] / max(distances[0][0], 1e-9)
            if ratio >= MIN_RATIO:
                found.append((row, distances[0][1], distances[0][0], ratio, distances[0][2]))
    lines = [f[1] for f in found]
    return [f for f in found if lines.count(f[1]) == 1]


def test_rows_are_recognised_in_any_order_of_genes() -> None:
    found = match_rows(ANONYMOUS[ANONYMOUS.columns[::-1]].assign(other=1.0), KNOWN)
    assert list(found.model_id) == [KNOWN.index[i] for i in (7, 3, 11, 20)]
    assert (found.shared == 40).all()
    assert (found.rms < 0.07).all()


def test_gaps_near_rows_and_duplicates_are_as_in_a_loop() -> None:
    known = KNOWN.mask(RNG.random(KNOWN.shape) < 0.3)
    known.loc["ACH-000030"] = known.loc["ACH-000003"] + RNG.normal(0, 0.02, 40)  # nearly the line of row 1
    anonymous = pd.concat(
        [
            ANONYMOUS.mask(RNG.random(ANONYMOUS.shape) < 0.2),
            KNOWN.iloc[[20]],  # a second row of the line of row 3
            KNOWN.iloc[[6]] + RNG.normal(0, 0.5, 40),  # too far
            KNOWN.iloc[[8]],
        ],
        ignore_index=True,
    )
    known.loc["ACH-000008"] = KNOWN.loc["ACH-000008"]  # an exact match
    found = match_rows(anonymous, known)
    expected = plain(anonymous, known)
    assert [(r.row, r.model_id, r.shared) for r in found.itertuples()] == [
        (e[0], e[1], e[4]) for e in expected
    ]
    np.testing.assert_allclose(found.rms, [e[2] for e in expected], atol=1e-6)
    assert list(found.model_id) == ["ACH-000007", "ACH-000011", "ACH-000008"]


def test_two_equal_lines_are_not_guessed() -> None:
    known = pd.concat([KNOWN, KNOWN.iloc[[7]].set_axis(["ACH-000099"])])
    assert "ACH-000007" not in set(match_rows(ANONYMOUS, known).model_id)
    assert match_rows(KNOWN.iloc[[7]].reset_index(drop=True), known).empty


@pytest.mark.parametrize("genes", [0, MIN_SHARED - 1])
def test_row_with_too_few_values_is_not_recognised(genes: int) -> None:
    empty = ANONYMOUS.copy()
    empty.iloc[0, genes:] = np.nan
    assert list(match_rows(empty, KNOWN).row) == [1, 2, 3]


def test_one_known_line() -> None:
    assert len(match_rows(ANONYMOUS.iloc[[0]], KNOWN.iloc[[7]])) <= 1
