"""The report: well-formed, complete, self-contained, honest about simulated data, and safe to open."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from report_audit import REASONS, make_audit
from report_study import as_real, make_results, without_audit

from crossres_ml.audit.verdicts import MEANING
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TASKS
from crossres_ml.report.audit_page import write_audit_report
from crossres_ml.report.audit_run import SYMBOLS, AuditRun
from crossres_ml.report.audit_run import said as verdict_said
from crossres_ml.report.audit_tables import effect_text, gene_sentences, p_text
from crossres_ml.report.cards import LIMITS
from crossres_ml.report.figures import AUDIT_FIGURES, FIGURES, draw_figures
from crossres_ml.report.html import write_report
from crossres_ml.report.summary import Interval, Summary
from crossres_ml.report.tables import alarms, genes_in_words
from crossres_ml.report.words import HAVE_NAMES, METRIC_NAMES, headline, number, plain, shown, verdict

VOID = {"meta", "img", "br"}
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>\'"&amp;'


@dataclass
class Page(HTMLParser):
    """What is in a page; an element that is not closed, or closed wrongly, raises."""

    text: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if "style" not in self.stack:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page.stack == []
    return page


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, cohort: Cohort, small_config: TrainConfig, splits: pd.DataFrame
) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("made")
    summary = make_results(folder, cohort, small_config, splits)
    draw_figures(folder, summary)
    return folder, summary


@pytest.fixture
def results(made: tuple[Path, Summary], tmp_path: Path) -> tuple[Path, Summary]:
    """A copy that a test may change."""
    return shutil.copytree(made[0], tmp_path / "results"), made[1]


@pytest.fixture(scope="module")
def page(made: tuple[Path, Summary]) -> Page:
    return read(write_report(*made))


def said(i: Interval, *, sign: bool = False) -> str:
    return shown(i, 3, sign=sign, missing="not defined")


def test_every_number_of_the_summary_is_there(made: tuple[Path, Summary], page: Page) -> None:
    summary, text = made[1], page.words()
    for task in summary.tasks.values():
        for modes in task.models.values():
            for metrics in modes.values():
                for metric in METRIC_NAMES:
                    assert said(metrics[metric]) in text
        for differences in (*task.paired_difference.values(), *task.next_difference.values()):
            for i in differences.values():
                assert said(i, sign=True) in text
        for points in (*task.learning_curve.values(), task.permuted):
            assert all(said(i) in text for i in points.values())
        have = task.what_you_have
        assert have is not None
        for values in (*have.hidden.values(), *have.retrained.values()):
            assert said(values["spearman"]) in text
            assert said(values["auroc"]) in text
        assert f"{task.prevalence:.3f}" in text
    for gene, tasks in summary.named_genes.items():
        for entry in tasks.values():
            assert gene in text
            assert f"{entry.rank:,.1f}".removesuffix(".0") + f" {entry.of:,} {entry.percentile:.1f}" in text
    data = summary.data
    for n in (data.lines, data.lines_radiation, data.lines_chemotherapy, data.lines_both):
        assert f" {n} " in text
    for digest in (data.config_hash, data.cohort_hash, *data.source_hashes.values()):
        assert digest in text


def test_tables_of_the_folder_are_there(made: tuple[Path, Summary], page: Page) -> None:
    text = page.words()
    for name in ("dropped", "unresolved", "dropped_counts"):
        for row in pd.read_csv(made[0] / f"{name}.csv", dtype=str).to_dict("records"):
            assert " ".join(str(v).replace("_", " ") for v in row.values()) in text.replace("_", " ")
    for row in pd.read_csv(made[0] / "coverage.csv").to_dict("records"):
        assert f"{row['block'].replace('_', ' ')} {row['features']:,} {row['lines']:,}" in text
    splits = pd.read_csv(made[0] / "splits.csv", dtype={"fold": str})
    for row in splits[splits["mode"] == "lineage_out"].query("role == 'test'").to_dict("records"):
        trained = splits[(splits.fold == row["fold"]) & (splits.role == "train")].lines.item()
        counts = f"{row['lines']} {row['radiation_lines']} {row['both_lines']} {trained}"
        assert f"Held-out lineages 1 {row['fold']} {counts}" in text
    assert " ".join(LIMITS.split()) in text


def test_a_row_of_each_table_is_in_order(made: tuple[Path, Summary], page: Page) -> None:
    summary, text = made[1], page.words()
    cells = []
    for task in TASKS:
        have = summary.tasks[task].what_you_have
        assert have is not None
        cells += [said(have.hidden["rna"]["spearman"]), said(have.retrained["rna"]["spearman"])]
    assert f" {HAVE_NAMES['rna']} {' '.join(cells)}" in text
    both = summary.both
    assert both is not None
    lead = both.lead["cell_line_out"]["spearman"]
    first, second = both.order["cell_line_out"]
    assert f"{plain(first)} ranks the lines best, {plain(second)} next." in text
    assert f"Spearman {said(lead, sign=True)} {verdict('spearman', lead)}" in text
    metrics = summary.tasks["cross"].models["mean_of_two"]["cell_line_out"]
    difference = both.against_direct["cell_line_out"]["mean_of_two"]["spearman"]
    row = " ".join(said(metrics[m]) for m in ("spearman", "auroc", "average_precision"))
    assert f" mean rank of two separate models {row} {said(difference, sign=True)}" in text
    curve = summary.tasks["radiation"].learning_curve["gp"]
    row = " ".join(said(i) for i in curve.values())
    assert "25 % 50 % 100 % Radiation lineage mean" in text
    assert f"Radiation gp {row}" in text
    assert f"Radiation gp {said(summary.tasks['radiation'].permuted['gp'])}" in text
    far = summary.tasks["chemotherapy"].models["ridge"]["study_out"]
    row = " ".join(said(far[m]) for m in ("auroc", "spearman", "average_precision"))
    n = summary.tasks["chemotherapy"].scored_lines["study_out"]
    assert f"Held-out study Chemotherapy ridge {n} {row} {number(far['prevalence'].value, 3)}" in text


def test_other_responses_are_listed(made: tuple[Path, Summary], page: Page) -> None:
    table = pd.read_csv(made[0] / "across_responses.csv")
    for row in table[table.task == "radiation"].to_dict("records"):
        text = said(Interval(value=row["value"], low=row["low"], high=row["high"]))
        assert f"{plain(row['response'])} " in page.words()
        assert text in page.words()


def test_alarms_say_how_near_the_run_came(made: tuple[Path, Summary]) -> None:
    summary = made[1]
    r2 = {m: modes["cell_line_out"]["r2"] for m, modes in summary.tasks["radiation"].models.items()}
    best = max(r2, key=lambda m: r2[m].value or 0)
    text = " ".join(alarms(summary))
    assert f"above 0.30 (on real data only); the highest here is {shown(r2[best])}, {plain(best)}" in text
    assert "on real data only" not in " ".join(alarms(as_real(summary)))
    permuted = max(i.value or -1 for t in summary.tasks.values() for i in t.permuted.values())
    assert f"interval above 0; the highest here is {permuted:.2f}" in text


def test_without_side_runs_the_page_says_nothing_of_them(results: tuple[Path, Summary]) -> None:
    folder, summary = results
    raw = summary.model_dump(mode="json") | {"both": None}
    for task in raw["tasks"].values():
        new = ("next_model", "next_difference", "pooled", "learning_curve", "permuted")
        task |= {"what_you_have": None, **{k: {} for k in new}}
    less = Summary.model_validate(raw)
    shutil.rmtree(folder / "figures")
    draw_figures(folder, less)
    page = read(write_report(folder, less))
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {str(a["href"])[1:] for a in page.all("a")} == ids
    assert not ids & {"have", "both"}
    for words in ("with what you have", "Labels dealt out", "More lines", ", the next"):
        assert words not in page.words()
    assert "(not run here)" in page.words()
    assert len(page.all("img")) == len(FIGURES) - 3


def test_nothing_is_loaded_from_elsewhere(made: tuple[Path, Summary], page: Page) -> None:
    html = (made[0] / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|//[a-z]+\.|url\(|@import", html)
    assert not page.all("script")
    assert not page.all("link")
    assert all(str(a["href"]).startswith("#") for a in page.all("a"))
    assert all(str(i["src"]).startswith("data:image/png;base64,") for i in page.all("img"))
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert (made[0] / "report.html").stat().st_size < 6_000_000


def test_the_page_is_made_for_all_readers(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("h1") == [{}]
    assert all(th.get("scope") in ("row", "col", "colgroup") for th in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) > 8
    assert len(page.all("details")) == len(page.all("summary")) > 8
    images = page.all("img")
    assert len(images) == len(FIGURES)
    assert all(len(str(i["alt"])) > 40 and int(str(i["width"])) > int(str(i["height"])) / 2 for i in images)
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {str(a["href"])[1:] for a in page.all("a")} == ids
    regions = [attrs for _, attrs in page.tags if attrs.get("role") == "region"]
    assert all(r["aria-label"] and r["tabindex"] == "0" for r in regions)
    assert "viewport" in [m.get("name") for m in page.all("meta")]


def test_simulated_is_said_at_the_top_and_in_the_title(made: tuple[Path, Summary], page: Page) -> None:
    text = page.words()
    assert text.startswith("SIMULATED: Resistance")
    assert "SIMULATED : no real data were used; nothing here is about biology." in text
    assert text.endswith("SIMULATED. Made by crossres-ml.")


def test_real_results_do_not_say_simulated(results: tuple[Path, Summary]) -> None:
    folder, summary = results
    html = write_report(folder, as_real(summary)).read_text(encoding="utf-8")
    assert "simulated" not in html.lower()


def test_hostile_names_stay_text(results: tuple[Path, Summary]) -> None:
    folder, summary = results
    for name, columns in {"dropped": ["what", "reason"], "unresolved": ["table", "alias", "reason"]}.items():
        table = pd.DataFrame({"what": [HOSTILE], "count": [1]} if name == "dropped" else {})
        table = table.reindex(columns=pd.read_csv(folder / f"{name}.csv").columns, index=[0])
        table[columns] = HOSTILE
        table.to_csv(folder / f"{name}.csv", index=False)
    splits = pd.read_csv(folder / "splits.csv", dtype={"fold": str})
    splits.loc[splits["mode"] == "lineage_out", "fold"] = HOSTILE
    splits.to_csv(folder / "splits.csv", index=False)
    named = pd.read_csv(folder / "named_genes.csv").assign(measurement=HOSTILE)
    named.to_csv(folder / "named_genes.csv", index=False)
    coverage = pd.read_csv(folder / "coverage.csv").assign(block=HOSTILE)
    coverage.to_csv(folder / "coverage.csv", index=False)
    data = summary.data.model_copy(update={"source_hashes": {HOSTILE: "e" * 64}})
    page = read(write_report(folder, summary.model_copy(update={"data": data})))
    assert not page.all("script")
    assert len(page.all("img")) == len(FIGURES)
    assert page.words().count("alert(1)") > 10
    assert "&amp;" in page.words()  # what was text is shown as it was


def test_a_name_that_reads_like_nothing_or_a_number_is_kept(results: tuple[Path, Summary]) -> None:
    folder, summary = results
    (folder / "unresolved.csv").write_text("table,alias,reason\nctrp_auc,NA,why\nctrp_auc,007,why not\n")
    text = read(write_report(folder, summary)).words()
    assert "ctrp auc NA why ctrp auc 007 why not" in text


def test_same_results_same_bytes(results: tuple[Path, Summary]) -> None:
    folder, summary = results
    first = write_report(folder, summary).read_bytes()
    again = summary.model_copy(update={"timings": {"held_out": 9.0}, "peak_rss_mb": 1.0})
    assert write_report(folder, again).read_bytes() == first


def test_without_held_out_lineages_and_named_genes(results: tuple[Path, Summary]) -> None:
    folder, summary = results
    raw = summary.model_dump(mode="json")
    for task in raw["tasks"].values():
        sections = ("paired_difference", "scored_lines", "next_model", "next_difference")
        for part in (*(task[s] for s in sections), *task["models"].values()):
            part.pop("lineage_out", None)
            part.pop("study_out", None)
    for part in (raw["both"]["order"], raw["both"]["lead"], raw["both"]["against_direct"]):
        del part["lineage_out"]
    raw["named_genes"] = {
        g: {
            t: dict.fromkeys(("rank", "of", "percentile", "sign", "measurement", "p")) | {"n": 0}
            for t in TASKS
        }
        for g in raw["named_genes"]
    }
    raw["data"]["source_hashes"] = {}
    (folder / "named_genes.csv").write_text("task,model\n")
    (folder / "dropped.csv").write_text("what,count,reason\n")
    (folder / "unresolved.csv").write_text("table,alias,reason\n")
    text = read(write_report(folder, Summary.model_validate(raw))).words()
    assert "Inside lineages" not in text
    assert "further away" not in text
    assert text.count("not measured, or not offered to the model") == 3 * len(raw["named_genes"])
    assert "Nothing." in text
    assert "every name was joined" in text
    assert "No file was read" in text


def test_what_is_not_defined_is_said(results: tuple[Path, Summary], page: Page) -> None:
    folder, summary = results
    raw = summary.model_dump(mode="json")
    nothing = {"value": None, "low": None, "high": None}
    before = page.words().count("not defined")
    cross = raw["tasks"]["cross"]
    cross["models"]["ridge"]["cell_line_out"]["within_lineage_spearman"] = nothing  # a cell
    cross["models"]["ridge"]["cell_line_out"]["prevalence"] = nothing  # above two tables
    cross["paired_difference"]["cell_line_out"]["brier"] = nothing  # a cell and its verdict
    cross["what_you_have"]["hidden"]["rna"]["spearman"] = nothing
    cross["learning_curve"]["gp"]["50"] = nothing
    cross["permuted"]["gp"] = nothing
    text = read(write_report(folder, Summary.model_validate(raw))).words()
    assert text.count("not defined") - before == 1 + 2 + 2 + 3
    assert "nan" not in text.lower().split()


@pytest.mark.parametrize(
    ("metric", "low", "high", "expected"),
    [
        ("auroc", 0.01, 0.1, "better"),
        ("auroc", -0.1, -0.01, "worse"),
        ("auroc", -0.01, 0.1, "not told apart"),
        ("auroc", 0.0, 0.1, "not told apart"),
        ("brier", -0.1, -0.01, "better"),
        ("brier", 0.01, 0.1, "worse"),
        ("brier", -0.1, 0.0, "not told apart"),
        ("auroc", None, None, "not defined"),
    ],
)
def test_verdict(metric: str, low: float | None, high: float | None, expected: str) -> None:
    assert verdict(metric, Interval(value=0.05, low=low, high=high)) == expected


def test_headline_says_what_was_and_was_not_shown(made: tuple[Path, Summary]) -> None:
    raw = made[1].model_dump(mode="json")
    for task, low in {"radiation": 0.1, "chemotherapy": 0.1, "cross": -0.1}.items():
        difference = raw["tasks"][task]["paired_difference"]["cell_line_out"]
        difference["auroc"] = {"value": 0.2, "low": low, "high": 0.3}
        difference["spearman"] = {"value": 0.2, "low": low, "high": 0.3}
    assert headline(Summary.model_validate(raw)) == (
        "On held-out cell lines: for radiation and chemotherapy, the model is better than the best naive "
        "model in AUROC and in Spearman; for both (cross-resistance), the model is not shown to be better "
        "than the best naive model."
    )


def test_genes_in_words() -> None:
    rows = [
        {"gene": "A", "task": "cross", "measurement": "rna:A", "rank": 3.0},
        {"gene": "A", "task": "cross", "measurement": "driver:A", "rank": 12.5},
        {"gene": "B", "task": "cross", "measurement": "rna:B", "rank": 21.0},
        {"gene": "C", "task": "radiation", "measurement": None, "rank": None},
    ]
    assert genes_in_words(rows) == (
        "Among the first 20 features of a model: for both (cross-resistance) rna:A (rank 3) and driver:A "
        "(rank 12.5). Not among them: B and C."
    )
    assert genes_in_words(rows[2:]).startswith("None of the named genes is among the first 20")


def cell(verdict: dict[str, object]) -> str:
    """What the table says of a claim in an outcome."""
    return f"{SYMBOLS[str(verdict['verdict'])]} {verdict_said(verdict)}"


def test_every_claim_stands_in_the_table_with_effect_and_q(made: tuple[Path, Summary], page: Page) -> None:
    audit, text = made[1].audit, page.words()
    assert audit is not None
    for claim, outcomes in audit.claims.items():
        row = [f"{claim} {outcomes['both'].title}"]
        for outcome in ("radiation", "chemotherapy", "both"):
            v = outcomes[outcome]  # type: ignore[index]
            cells = [cell(v.model_dump())]
            cells += [f"{effect_text(v)}, q {p_text(v.q)}"] * (v.verdict != "not measurable")
            row += [*cells, f"planted: {v.planted}"]
            assert v.sentence in text
        words = " ".join(row[1:])
        assert words in text
        assert row[0] in text
    assert "\u25c6 supported, top driver +0.30 (+0.22 to +0.38), q .001 planted: +0.60, +0.60 (both)" in text
    for word, meaning in MEANING.items():
        assert f"{SYMBOLS[word]} {word} {meaning}." in text


def test_the_named_genes_come_first_and_calibrated(made: tuple[Path, Summary], page: Page) -> None:
    text = page.words()
    lines = [
        "TP53 : calibrated p radiation .010, chemotherapy .010, both .010 (driver:TP53). "
        "A driver of radiation, chemotherapy and both by calibrated SHAP.",
        "RAD51 : calibrated p radiation .310, chemotherapy .310, both .310 (rna:RAD51). "
        "Not a driver by calibrated SHAP.",
    ]
    assert [line for line in lines if line not in text] == []
    assert text.index(lines[0]) < text.index("held-out lines") < text.index("The gate is open")
    assert "ERCC1 Radiation rna:ERCC1" in text
    assert ".610 \u00b1 0.01 .630 .300 8.5 of 1,200" in text
    ids = [str(a["id"]) for a in page.all("section")]
    assert ids[:2] == ["answer", "claims"]


def test_controls_and_what_cannot_be_told_are_listed(page: Page) -> None:
    text = page.words()
    assert (
        "ctrp:Nutlin-3 500 +0.40 (+0.30 to +0.50) under .001 1 / 12.5 of 18,519 \u2713 recovered gates"
        in text
    )
    assert "\u2717 not recovered reported only" in text
    assert "not run: no such drug in these data gates" in text
    assert "association permuted 0.051 0.058 0.040 0.980" in text
    assert "An association is not a cause." in text
    assert "The gate is open" in text


def test_a_closed_gate_is_said_with_its_reasons(results: tuple[Path, Summary]) -> None:
    folder, summary = results
    audit = make_audit(folder / "audit", gate_open=False)
    page = read(write_report(folder, summary.model_copy(update={"audit": audit})))
    text = page.words()
    assert "The gate is closed: nothing is concluded on any claim. What failed: " + REASONS[0] in text
    assert "Radiation: 1 not measurable and 9 withheld." in text
    assert text.count("Controls failed: nothing is concluded.") == len(summary.named_genes)
    assert "a driver of" not in text.lower()


def test_without_an_audit_the_page_says_nothing_of_it(results: tuple[Path, Summary]) -> None:
    folder, summary = results
    shutil.rmtree(folder / "audit")
    for name in AUDIT_FIGURES:
        (folder / "figures" / f"{name}.png").unlink()
    page = read(write_report(folder, without_audit(summary)))
    assert "claims" not in {attrs.get("id") for _, attrs in page.tags}
    for words in ("gate", "calibrated p", "audit/"):
        assert words not in page.words()
    assert "Calibrated nulls come with the audit." in page.words()
    assert len(page.all("img")) == len(FIGURES) - len(AUDIT_FIGURES)


def test_hostile_words_of_an_audit_stay_text(results: tuple[Path, Summary]) -> None:
    folder, summary = results
    for name, columns in {"controls": ["label", "drug"], "named_genes": ["measurement"]}.items():
        table = pd.read_csv(folder / "audit" / f"{name}.csv")
        table.assign(**dict.fromkeys(columns, HOSTILE)).to_csv(folder / "audit" / f"{name}.csv", index=False)
    assert summary.audit is not None
    raw = summary.audit.model_dump() | {"gate_open": False, "gate_reasons": [HOSTILE]}
    raw["claims"]["C01"]["both"] |= {"title": HOSTILE, "sentence": HOSTILE, "planted": HOSTILE}
    audit = type(summary.audit).model_validate(raw)
    page = read(write_report(folder, summary.model_copy(update={"audit": audit})))
    assert not page.all("script")
    assert len(page.all("img")) == len(FIGURES)
    assert page.words().count("alert(1)") > 10


@pytest.mark.parametrize("kind", ["real", "simulated"])
def test_an_audit_has_a_page_of_its_own(tmp_path: Path, kind: str) -> None:
    summary = make_audit(tmp_path, planted=kind == "simulated")
    path = write_audit_report(tmp_path, summary, kind, ["TP53", "BIRC5"])
    html, page = path.read_text(encoding="utf-8"), read(path)
    assert ("SIMULATED" in html) == ("planted:" in html) == (kind == "simulated")
    assert len(page.all("img")) == len(AUDIT_FIGURES)
    assert not re.search(r"https?://|url\(|@import|<script|<link", html)
    assert "TP53 : calibrated p radiation .010" in page.words()
    assert "BIRC5 : not measured in enough lines to be calibrated." in page.words()
    assert "f" * 64 in page.words()
    assert all(th.get("scope") in ("row", "col", "colgroup") for th in page.all("th"))
    assert path.read_bytes() == write_audit_report(tmp_path, summary, kind, ["TP53", "BIRC5"]).read_bytes()


def test_genes_that_no_audit_measured(tmp_path: Path) -> None:
    run = AuditRun(tmp_path, make_audit(tmp_path), simulated=True)
    (tmp_path / "named_genes.csv").write_text("\n")
    assert gene_sentences(run, ["A"]) == [("A", "not measured in enough lines to be calibrated.")]
    assert p_text(None) == "not known"
