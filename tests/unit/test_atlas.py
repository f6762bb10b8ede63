"""The atlas: numbers against scipy and statsmodels on ties and gaps, names, classes, files and page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import yaml
from scipy.stats import fisher_exact, pearsonr, rankdata, spearmanr
from scipy.stats.contingency import odds_ratio

from crossres_ml.artifacts import is_intact
from crossres_ml.atlas import AtlasFolder
from crossres_ml.atlas import atlas as run_atlas
from crossres_ml.audit.adjust import tissue_design
from crossres_ml.audit.claims import load_claims
from crossres_ml.audit.drug_classes import leave_one_out_mean
from crossres_ml.cli import main
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import Panels, TrainConfig
from crossres_ml.errors import CohortError, ConfigError
from crossres_ml.report.atlas_page import write_atlas_page
from crossres_ml.scan.atlas import Atlas, describe, general_factor, make_atlas, residual_ranks
from crossres_ml.scan.atlas_classes import GENOTOXIC, class_table, genotoxic_test
from crossres_ml.scan.atlas_data import AtlasData, atlas_data, drug_class
from crossres_ml.scan.drug_names import find_drug, other_names, same_compound
from crossres_ml.scan.odds import exact_odds_ratios
from crossres_ml.sources.simulated import SimulatedStudy


@pytest.fixture(scope="module")
def data(study: SimulatedStudy, cohort: Cohort, panels: Panels) -> AtlasData:
    return atlas_data(study.tables, cohort, panels)


@pytest.fixture(scope="module")
def atlas(data: AtlasData) -> Atlas:
    return make_atlas(data)


@pytest.fixture(scope="module")
def small() -> AtlasData:
    """Ties, gaps, relatives, a constant drug and one with few lines, made by hand."""
    rng = np.random.default_rng(4)
    lines = pd.Index([f"L{i:03d}" for i in range(120)], name="line")
    y = pd.Series(np.round(rng.normal(size=120), 1), lines)
    drugs = pd.DataFrame(rng.normal(size=(120, 12)), lines, [f"d{i}" for i in range(12)])
    drugs = drugs.add(0.5 * y, axis=0).round(1)
    drugs = drugs.mask(rng.random(drugs.shape) < 0.15)
    drugs["d7"] = 1.0
    drugs.loc[lines[25:], "d8"] = np.nan
    info = pd.DataFrame({"drug": drugs.columns, "dataset": "ctrp", "genotoxic": [True] * 2 + [False] * 10})
    info = info.assign(panel=False, other_names=[()] * 12, targets="", mechanism="", drug_class="other")
    about = pd.DataFrame({"lineage": rng.choice(list("ABCD"), 120), "group": lines, "resolved": True}, lines)
    return AtlasData(
        y, about, {"ctrp": drugs}, info.set_index("ctrp:" + info.drug).rename_axis("measurement")
    )


# --- odds ratios -------------------------------------------------------------------------------------

TABLES = [
    (80, 170, 165, 509),
    (3, 10, 12, 40),
    (0, 5, 7, 30),
    (5, 5, 7, 30),
    (1, 20, 20, 60),
    (12, 13, 13, 40),
]


def test_odds_ratios_are_scipys() -> None:
    ratio, low, high = exact_odds_ratios(*np.array(TABLES).T)
    for i, (a, first, second, n) in enumerate(TABLES):
        table = [[a, first - a], [second - a, n - first - second + a]]
        expected = odds_ratio(table, kind="conditional")
        ends = expected.confidence_interval(0.95)
        assert ratio[i] == pytest.approx(expected.statistic, rel=1e-5)
        assert low[i] == pytest.approx(ends.low, rel=1e-4)
        assert high[i] == pytest.approx(ends.high, rel=1e-4)


def test_exact_interval_agrees_with_the_one_sided_test() -> None:
    _, low, high = exact_odds_ratios(*np.array(TABLES[:1]).T, level=0.95)
    a, first, second, n = TABLES[0]
    table = [[a, first - a], [second - a, n - first - second + a]]
    assert (low[0] > 1) == (fisher_exact(table, alternative="greater").pvalue < 0.025)
    assert high[0] > low[0]


def test_a_table_without_choice_has_no_odds_ratio() -> None:
    assert np.isnan(exact_odds_ratios(*np.array([[0, 0, 5, 20]]).T)).all()


# --- correlations ------------------------------------------------------------------------------------


def test_unadjusted_numbers_are_scipys(small: AtlasData) -> None:
    table = make_atlas(small).table
    for drug in ("d0", "d3"):
        x = small.screens["ctrp"][drug].dropna()
        y, row = small.radiation[x.index], table.loc[f"ctrp:{drug}"]
        assert row.n == row.patients == len(x)
        r, rho = pearsonr(x, y), spearmanr(x, y)
        assert [row.pearson, row.pearson_p] == pytest.approx([r.statistic, r.pvalue], rel=1e-9)
        assert [row.pearson_low, row.pearson_high] == pytest.approx([*r.confidence_interval(0.95)], rel=1e-9)
        assert [row.spearman, row.spearman_p] == pytest.approx([rho.statistic, rho.pvalue], rel=1e-9)


def test_adjusted_numbers_are_regressions_of_ranks(small: AtlasData) -> None:
    table = make_atlas(small).table
    values = small.screens["ctrp"].drop(columns=["d7", "d8"])
    general = leave_one_out_mean(values.to_numpy(), np.arange(10) >= 2)
    for j, drug in ((0, "d0"), (4, "d4")):
        x = values[drug].dropna()
        seen = values.index.get_indexer(x.index)
        design = pd.get_dummies(small.lines.lineage[x.index], dtype=float)
        y = rankdata(small.radiation[x.index])
        g = general[seen, j]
        ranked = np.full(len(g), (np.isfinite(g).sum() + 1) / 2)
        ranked[np.isfinite(g)] = rankdata(g[np.isfinite(g)])
        for name, more in (("tissue", design), ("full", design.assign(g=ranked))):
            own = more.assign(x=rankdata(x))
            fit = sm.OLS(y, own).fit()
            r = fit.tvalues["x"] / np.sqrt(fit.tvalues["x"] ** 2 + fit.df_resid)
            row = table.loc[f"ctrp:{drug}"]
            assert row[name] == pytest.approx(r, rel=1e-8)
            assert row[f"{name}_p"] == pytest.approx(fit.pvalues["x"], rel=1e-7)


def test_a_drug_is_not_adjusted_for_itself(small: AtlasData) -> None:
    # noise that only one drug has cannot change how that drug is adjusted, if itself is left out
    values = small.screens["ctrp"].drop(columns=["d7", "d8"])
    other = values.assign(d4=-values.d4)
    before, after = (
        make_atlas(replace(small, screens={"ctrp": v})).table for v in (_with(values), _with(other))
    )
    assert after.full["ctrp:d4"] == pytest.approx(-before.full["ctrp:d4"], abs=1e-12)
    assert abs(after.full["ctrp:d5"] - before.full["ctrp:d5"]) > 1e-3


def _with(values: pd.DataFrame) -> pd.DataFrame:
    return values.assign(d7=1.0, d8=np.nan)


def test_interval_of_ranks_is_bonett_and_wright() -> None:
    low, high, _ = describe(np.array([0.4]), np.array([103]), np.array([1]), ranked=True)
    se = np.sqrt((1 + 0.4**2 / 2) / 100)
    assert [low[0], high[0]] == pytest.approx(
        list(np.tanh(np.arctanh(0.4) + np.array([-1, 1]) * 1.959964 * se))
    )


def test_relatives_widen_the_interval(small: AtlasData) -> None:
    pairs = small.lines.assign(group=[f"G{i // 2}" for i in range(120)])
    alone, related = (make_atlas(d).table.loc["ctrp:d3"] for d in (small, replace(small, lines=pairs)))
    assert related.patients < alone.patients == related.n
    assert related.spearman == alone.spearman
    assert related.tissue_high - related.tissue_low > alone.tissue_high - alone.tissue_low


def test_what_cannot_be_measured_says_why(small: AtlasData) -> None:
    table = make_atlas(small).table
    assert table.note["ctrp:d7"] == "the same in all lines"
    assert "irradiated patients; 30 are needed" in table.note["ctrp:d8"]
    numbers = ["pearson", "spearman", "tissue", "full", "odds"]
    assert table.loc[["ctrp:d7", "ctrp:d8"], numbers].isna().all(axis=None)
    assert table.loc[table.note == "", [*numbers, "full_p", "mde"]].notna().all(axis=None)


def test_too_few_irradiated_lines(small: AtlasData) -> None:
    few = replace(small, radiation=small.radiation[:20])
    with pytest.raises(CohortError, match="20 irradiated lines"):
        make_atlas(few)


def test_weighted_correlations_are_those_of_repeated_lines(small: AtlasData) -> None:
    values = small.screens["ctrp"].to_numpy()[:, :3]
    found = residual_ranks(values, small.radiation.to_numpy(), tissue_design(small.lines.lineage))
    weights = np.random.default_rng(1).integers(0, 3, (2, 120)).astype(float)
    r = found.correlations(weights)
    for draw in range(2):
        again = np.repeat(np.arange(120), weights[draw].astype(int))
        kept = again[found.observed[again, 1]]
        assert r[draw, 1] == pytest.approx(np.corrcoef(found.x[kept, 1], found.y[kept, 1])[0, 1])


def test_general_factor(small: AtlasData) -> None:
    own = small.screens["ctrp"].drop(columns=["d7", "d8"])
    factor = general_factor(small, share=0.5)
    z = ((own - own.mean()) / own.std()).fillna(0)
    z = z - z.mean()
    first = z @ np.linalg.eigh(z.T @ z)[1][:, -1]
    assert factor["pearson"] == pytest.approx(abs(pearsonr(first, small.radiation)[0]), rel=1e-6)
    assert (factor["n"], factor["drugs"]) == (120, 10)


# --- the simulated study -----------------------------------------------------------------------------


def test_every_drug_has_a_row(atlas: Atlas, study: SimulatedStudy) -> None:
    assert (atlas.table.dataset == "ctrp").sum() == study.tables["ctrp_auc"].drug.nunique()
    numbers = ["spearman", "spearman_low", "tissue", "full", "full_q", "both_top"]
    assert atlas.table.loc[atlas.table.dataset == "ctrp", numbers].notna().all(axis=None)
    # seven drugs of one class are all that this GDSC has
    gdsc = atlas.table[atlas.table.dataset == "gdsc2"]
    assert gdsc.tissue.notna().all()
    assert set(gdsc.note) == {"too few other drugs or lines to adjust for general sensitivity"}


def test_concordance_is_scipys(atlas: Atlas, data: AtlasData) -> None:
    row = atlas.pairs[atlas.pairs.a == "ctrp:Topotecan"].iloc[0]
    x, y = data.screens["ctrp"]["Topotecan"], data.screens["gdsc2"]["Topotecan"]
    both = pd.concat([x, y], axis=1, join="inner").dropna()
    assert row.n == len(both)
    assert row.rho == pytest.approx(spearmanr(both.iloc[:, 0], both.iloc[:, 1]).statistic)
    assert atlas.table.concordance["ctrp:Topotecan"] == atlas.table.concordance["gdsc2:Topotecan"] == row.rho


def test_names_without_a_model_take_part(study: SimulatedStudy, cohort: Cohort, panels: Panels) -> None:
    name = study.tables["radiation"].cell_line.iloc[0]
    tables = {k: t.replace({name: "PATIENT-X"}) if "cell_line" in t else t for k, t in study.tables.items()}
    own = atlas_data(tables, cohort, panels)
    assert not own.lines.resolved["PATIENT-X"]
    assert (own.lines.lineage["PATIENT-X"], own.lines.group["PATIENT-X"]) == ("Unknown", "PATIENT-X")
    if (tables["ctrp_auc"].cell_line == "PATIENT-X").any():
        assert own.screens["ctrp"].loc["PATIENT-X"].notna().any()
    assert len(own.radiation) == len(study.tables["radiation"])


def test_classes(atlas: Atlas, data: AtlasData, cohort: Cohort) -> None:
    table = class_table(atlas, data, draws=199, seed=1)
    row = table[(table.dataset == "ctrp") & (table.drug_class == GENOTOXIC)].iloc[0]
    own = atlas.table[(atlas.table.dataset == "ctrp") & atlas.table.full.notna()]
    mean = own.groupby("genotoxic").tissue.mean()
    assert row.mean_tissue == pytest.approx(mean[True])
    assert row.tissue_beyond == pytest.approx(mean[True] - mean[False])
    assert row.tissue_low < row.tissue_beyond < row.tissue_high
    test = genotoxic_test(cohort, load_claims(), draws=99, seed=1)
    # normal scores, one line a patient, instead of ranks of all lines: nearly the same
    assert row.tissue_beyond == pytest.approx(test["effect"], abs=0.04)


# --- names -------------------------------------------------------------------------------------------

INFO = pd.DataFrame(
    {
        "drug": ["Mitomycin-C", "5-FU", "Platin", "MITOMYCIN C", "Cisplatin", "Nutlin-3"],
        "dataset": ["ctrp", "ctrp", "ctrp", "gdsc1", "gdsc1", "ctrp"],
    }
)
INFO.index = pd.Index(INFO.dataset + ":" + INFO.drug)
INFO["other_names"] = INFO.drug.map(other_names(INFO.drug))


def test_case_and_punctuation_do_not_matter() -> None:
    assert find_drug("mitomycin c", INFO)[0] == ["ctrp:Mitomycin-C", "gdsc1:MITOMYCIN C"]
    assert find_drug("cisplatin", INFO)[0] == ["gdsc1:Cisplatin", "ctrp:Platin"]
    assert find_drug("CTRP:nutlin3", INFO)[0] == ["ctrp:Nutlin-3"]


@pytest.mark.parametrize(("typed", "nearest"), [("mitomicin", "Mitomycin-C"), ("nutlin", "Nutlin-3")])
def test_unknown_drug_gives_the_nearest(typed: str, nearest: str) -> None:
    found, near = find_drug(typed, INFO)
    assert found == []
    assert near[0] == nearest


def test_nothing_typed_finds_nothing() -> None:
    assert find_drug("--", INFO) == ([], [])


def test_same_compound() -> None:
    pairs = same_compound(INFO)
    expected = [("ctrp:Mitomycin-C", "gdsc1:MITOMYCIN C"), ("ctrp:Platin", "gdsc1:Cisplatin")]
    assert list(pairs.itertuples(index=False, name=None)) == expected


def test_a_synonym_that_is_another_drug_is_left_out() -> None:
    listed = pd.DataFrame({"drug": ["A-1", "B-2"], "synonyms": ["B2, alpha", None]})
    assert other_names(["A-1", "B-2"], listed) == {"A-1": ("alpha",), "B-2": ()}


@pytest.mark.parametrize(
    ("text", "drug", "expected"),
    [
        ("TOR signaling", "x", "PI3K/MTOR signaling"),
        ("PI3K/MTOR signaling", "x", "PI3K/MTOR signaling"),
        ("Apoptosis regulation", "x", "apoptosis regulation"),
        ("DNA replication", "a:b (2:1 mol/mol)", "mixture"),
        ("", "x", "not classified"),
    ],
)
def test_drug_class(text: str, drug: str, expected: str) -> None:
    assert drug_class(text, drug) == expected


# --- files -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(
    small_config: TrainConfig, panels: Panels, tmp_path_factory: pytest.TempPathFactory
) -> AtlasFolder:
    output = tmp_path_factory.mktemp("atlas") / "atlas"
    config = small_config.model_copy(update={"simulated_lines": 200})
    first = run_atlas(config, panels, output=output, draws=49)
    assert first.fresh
    again = run_atlas(config, panels, output=output, draws=49)
    assert not again.fresh
    return first


def test_files(folder: AtlasFolder) -> None:
    assert is_intact(folder.folder) == []
    assert folder.kind == folder.about["kind"] == "simulated"
    assert folder.table.index.name == "measurement"
    assert set(folder.classes.dataset) <= set(folder.table.dataset)


def test_a_drug_of_the_folder(folder: AtlasFolder) -> None:
    assert list(folder.find("topotecan").index) == ["ctrp:Topotecan", "gdsc2:Topotecan"]
    with pytest.raises(ConfigError, match=r"no screen has a drug 'topotekan'(?s:.*)perhaps: Topotecan"):
        folder.find("topotekan")


def test_page_loads_nothing_and_names_all(folder: AtlasFolder) -> None:
    page = (folder.folder / "atlas.html").read_text(encoding="utf-8")
    assert page.count("<tr data-screen=") == len(folder.table)
    assert "SIMULATED" in page
    links = set(re.findall(r"https?://[^\"' <)]+", page))
    assert links <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=", page)


def test_page_escapes_names(folder: AtlasFolder, tmp_path: Path) -> None:
    table = folder.table.assign(other_names="")
    table.loc[table.index[0], "drug"] = '<img src=x onerror="alert(1)">'
    page = write_atlas_page(table, folder.classes, folder.about, tmp_path / "a.html").read_text(
        encoding="utf-8"
    )
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_command(
    small_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = small_config.model_copy(update={"simulated_lines": 150})
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    asked = [
        "crossres",
        "atlas",
        "--config",
        str(tmp_path / "c.yaml"),
        "--output",
        str(tmp_path / "a"),
        "--drug",
    ]
    logged: list[str] = []
    monkeypatch.setattr("crossres_ml.atlas._log", lambda about, folder, uri: logged.append(uri))
    monkeypatch.setattr("sys.argv", [*asked, "sn 38"])
    with pytest.raises(SystemExit, match="0"):
        main()
    said = capsys.readouterr().out
    assert said.startswith("SIMULATED")
    assert "ctrp:SN-38" in said
    assert "odds ratio of top thirds" in said
    assert logged == ["sqlite:///mlflow.db"]
    monkeypatch.setattr("sys.argv", [*asked, "sn39"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "perhaps: SN-38" in capsys.readouterr().err
