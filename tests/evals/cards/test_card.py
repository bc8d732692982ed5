"""The model card: its figures are those of the record, read back from its tables."""

import json
import math
import re
from collections import Counter
from xml.etree import ElementTree

import pytest
import yaml
from scipy.stats import binomtest

import paths_config
from evals import select
from evals.cards import card, card_sections, fitness, tradeoff
from evals.records import query
from tests.commands import SMALL, command, house
from tests.evals.cards.test_document import read
from tests.evals.choosing.test_choice import POINTS, chosen, model
from tests.evals.records.test_query import record, write

EXAMPLE = paths_config.ROOT / "tests" / "evals" / "older_runs.json"


def run(*words):
    return query.command(select.select, select.OPTIONS, words)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The record that is used and the cards of a question to records that predate many keys."""
    place = tmp_path_factory.mktemp("example")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("TRILEMMA_EVALS", str(EXAMPLE.parent))
        patch.setenv("TRILEMMA_WEIGHTS", str(place / "weights"))
        assert run("dataset=older_runs", "where=uai_0.05<=0.1, fnr_gap<=0.1", "maximize=accuracy") == 0
    (markdown,) = (place / "figures" / "cards").glob("*.md")
    doc_id = markdown.stem.removeprefix("older_runs_")
    stored = json.loads(EXAMPLE.read_text())["_default"][doc_id] | {"doc_id": int(doc_id)}
    return stored, markdown.read_text(), markdown.with_suffix(".html").read_text()


def section(markdown, title):
    """The rows of the first table under a heading."""
    text = re.split(r"^#{2,3} ", markdown, flags=re.M)
    body = next(part for part in text if part.startswith(title))
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("title", ["Performance", "Gaps between groups", "Robustness", "Individual fairness"])
def test_the_figures_and_intervals_are_those_of_the_record(example, title):
    stored, markdown, _ = example
    metrics = stored["metrics"]
    said = {card_sections.words(key, stored): key for key in metrics}
    rows = section(markdown, title)
    assert len(rows) >= 5
    for name, figure, *rest in rows:
        key = said[name]
        value, _, interval = figure.partition(" ") if title.startswith("Gaps") else (figure, "", rest[0])
        assert float(value) == pytest.approx(metrics[key], abs=5.01e-4)
        if f"{key}_low" in metrics:
            ends = [float(end) for end in interval.strip("[]").split(",")]
            assert ends == pytest.approx([metrics[f"{key}_low"], metrics[f"{key}_high"]], abs=5.01e-4)


def test_every_robust_accuracy_and_gap_of_the_record_is_there(example):
    stored, markdown, _ = example
    keys = [key for key in stored["metrics"] if not card_sections.DETAIL.search(key)]
    wanted = [key for key in keys if key.startswith("robust_accuracy") or key.endswith(("_gap", "_difference"))]
    beside = ("_signed_gap", "robust_accuracy", "worst_class")  # in a column; of the radius of the training
    wanted = [key for key in wanted if not key.endswith(beside)]
    assert not [key for key in wanted if key.startswith("tpr")]
    assert all(f"| {card_sections.words(key, stored)} |" in markdown for key in wanted)


def test_each_of_few_groups_has_its_column_with_rates_and_intervals(example):
    stored, markdown, _ = example
    metrics = stored["metrics"]
    assert "| group | gender=0 | gender=1 |" in markdown
    for i, column in enumerate([*zip(*section(markdown, "How well, by group"), strict=True)][1:]):
        assert column[0] == str(int(metrics[f"support_group{i}"]))
        rates = [float(cell.split()[0]) for cell in column[2:]]
        keys = [f"{rate}_group{i}" for rate in ("accuracy", "acceptance_rate", "fnr", "fpr")]
        assert rates == pytest.approx([metrics[key] for key in keys], abs=5.01e-4)
        assert all("[" in cell for cell in column[2:])


def test_each_of_many_groups_has_its_row(folder):
    groups = [f"group {i}" for i in range(6)]
    metrics = {"accuracy": 0.8} | {f"{key}_group{i}": 0.5 for i in range(6) for key in ("support", "accuracy")}
    write(folder, "loan", [record(1, metrics=metrics, preprocessing={"groups": groups})])
    assert run("dataset=loan", "maximize=accuracy") == 0
    text = (folder / "figures" / "cards" / "loan_1.md").read_text()
    assert [row[0] for row in section(text, "How well, by group")] == groups


def test_thresholds_that_nobody_or_everybody_meets_are_said_in_words():
    assert [card_sections._from(z) for z in (30.0, "-inf", 0.0, math.inf)] == ["never", "always", "0.50", "never"]


def test_a_threshold_that_was_given_is_not_said_to_be_fitted(folder):
    decide = {"_target_": "utils.decides.fixed.fixed", "probability": 0.5}
    made = with_points(1)
    write(folder, "loan", [made | {"params": made["params"] | {"decide": decide, "fit_on": "valid"}}])
    assert run("dataset=loan", "maximize=accuracy", "points=false") == 0
    text = (folder / "figures" / "cards" / "loan_1.md").read_text()
    assert "given, not fitted" in text
    assert "Fitted on" not in text


def test_attacks_that_differ_in_their_norm_alone_are_one(example):
    nodes = [
        {"_target_": "utils.attacks.pgd.pgd", "steps": 3, "threat": {"norm": norm}} for norm in ("linf", "l2", "linf")
    ]
    (said,) = card_sections._merge_norms(nodes)
    assert said.endswith("(steps 3; norm linf, l2)")


def test_the_card_begins_with_what_was_asked_for_and_its_figures(example):
    stored, markdown, html = example
    for text in (markdown, html):
        start = text[text.index("Sections after") : text.rindex("How it was chosen")]
        assert "highest accuracy under uai_0.05" in start
        assert f"{stored['metrics']['accuracy']:.3f}" in start
        assert all(heading in start for heading in ("Fitness for use", "How well, by group", "Known limits"))


def test_a_constant_prediction_is_warned_of(folder, capsys):
    idle = {"accuracy": 0.6, "balanced_accuracy": 0.5, "worst_class_accuracy": 0.0, "fnr_gap": 0.0}
    write(folder, "loan", [record(1, metrics=idle)])
    assert run("dataset=loan", "maximize=accuracy", "where=fnr_gap<=0.1") == 0
    assert "constant prediction: " in capsys.readouterr().out
    text = (folder / "figures" / "cards" / "loan_1.md").read_text()
    assert "| Beware | Constant prediction: " in text


ORDER = [
    *("Fitness for use", "How it was chosen", "Performance", "Compared with the same learner on rows as they are"),
    *("Robustness", "Individual fairness"),
    *("Decision thresholds", "Data", "Use", "Technical identity"),
]


def test_fitness_for_use_comes_first_and_technical_identity_last(example):
    _, markdown, _ = example
    assert re.findall(r"^## (.*)$", markdown, re.M) == ORDER


def test_the_contents_lead_to_every_section(example):
    _, markdown, html = example
    links = dict(re.findall(r"\[([^\]]+)\]\(#([\w-]+)\)", markdown))
    assert list(links) == ORDER
    assert list(links.values()) == [title.lower().replace(" ", "-") for title in ORDER]
    assert re.findall(r'<a href="#([^"]+)">', html) == re.findall(r'<h2 id="([^"]+)">', html) == list(links.values())


def test_no_figure_stands_three_times(example):
    """Of values with their intervals: one value alone may be that of several metrics."""
    _, markdown, _ = example
    figures = re.findall(r"(-?\d\.\d{3})(?: \| | )(\[-?\d\.\d{3}, -?\d\.\d{3}\])", markdown)
    assert len(figures) > 30
    assert [figure for figure, times in Counter(figures).items() if times > 2] == []


def test_the_front_matter_is_what_hubs_read(example):
    """Keys after the Hugging Face Hub's model cards; the figures are those of the record."""
    stored, markdown, _ = example
    _, front, _ = markdown.split("---\n", 2)
    held = yaml.safe_load(front)
    assert (held["library_name"], held["pipeline_tag"]) == ("trilemma", "tabular-classification")
    assert {"tabular-classification", "fairness", "robustness", "mlp"} <= set(held["tags"])
    assert held["datasets"] == ["loan"]
    assert "license" not in held  # nobody said one
    ((name, (result,)),) = [(model["name"], model["results"]) for model in held["model-index"]]
    assert name in markdown.partition("# Model card: ")[2].replace("\\", "").partition("\n")[0]
    assert result["task"] == {"type": "tabular-classification"}
    assert result["dataset"] == {"name": "loan", "type": "loan", "split": "test"}
    figures = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert list(figures) == held["metrics"]
    assert {"accuracy", "uai_0.05", "fnr_gap", "mcc"} <= figures.keys()
    assert figures == pytest.approx({key: stored["metrics"][key] for key in figures}, abs=5.01e-7)


def test_json_holds_the_sections_and_the_figures_of_the_answer(folder, capsys):
    write(folder, "loan", [with_points(1)])
    question = ("dataset=loan", "maximize=accuracy", "points=false", "where=fnr_gap<=0.5")
    assert run(*question, "card=a.json,a.md", "format=json") == 0
    told, held = json.loads(capsys.readouterr().out), json.loads((folder / "a.json").read_text())
    assert [part["title"] for part in held["sections"]] == re.findall(r"^## (.*)$", (folder / "a.md").read_text(), re.M)
    figures = {metric["type"]: metric["value"] for metric in held["front"]["model-index"][0]["results"][0]["metrics"]}
    assert told["chosen"]["use"]["metrics"].items() <= figures.items()
    first = held["sections"][0]["blocks"]
    assert {block["kind"] for block in first} == {"table", "heading", "bullets"}
    assert ["Chosen for", "The highest accuracy under fnr_gap<=0.5."] in first[0]["rows"]


def test_a_name_cannot_break_the_front_matter(folder):
    nasty = "---\n# not: [a, 'mapping' \u202e"
    write(folder, "loan", [with_points(1, name=nasty)])
    assert run("dataset=loan", "maximize=accuracy", "points=false", "card=a.md") == 0
    _, front, text = (folder / "a.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["model-index"][0]["name"] == nasty
    assert text.startswith("\n# Model card: ")


def test_what_is_decided_of_whom_is_in_words(folder):
    schema = {"label": {"column": "hired"}, "columns": {}}
    columns = [{"name": "sex=f", "attribute": "sex"}, {"name": "age"}, {"name": "sex=m", "attribute": "sex"}]
    stored = {"class_names": ["no", "yes"], "columns": columns, "schema": schema, "groups": []}
    made = record(1, preprocessing=stored, params={"model": {"outputs": 1}})
    assert fitness.decides(made).startswith("Class yes or class no of hired for a row of loan. ")
    assert fitness.decides(made).endswith(". From sex, age. Thresholds: one for all groups.")
    images = record(2, preprocessing={"class_names": list("abc"), "shape": [1, 8, 8]}, params={"model": {"outputs": 3}})
    assert fitness.decides(images).startswith("One of 3 classes for an image of loan. ")


def test_the_prevalence_of_a_group_follows_from_its_rates(example):
    """Independently: the shares of class 1 of both groups average to that of all rows."""
    stored, _, _ = example
    metrics = stored["metrics"]
    rows = [metrics[f"support_group{i}"] for i in (0, 1)]
    shares = [card_sections.prevalence(stored, i) for i in (0, 1)]
    assert sum(n * p for n, p in zip(rows, shares, strict=True)) / sum(rows) == pytest.approx(metrics["prevalence"])


def test_the_interval_of_a_rate_is_over_the_rows_it_is_a_share_of():
    """By hand: 40 rows, half of class 1, 5 of those 20 missed, 2 of the other 20 accepted: a = (15 + 2) / 40."""
    metrics = {"support_group0": 40.0, "fnr_group0": 0.25, "fpr_group0": 0.1, "acceptance_rate_group0": 17 / 40}
    made = record(1, metrics=metrics, preprocessing={"groups": ["all"]})
    assert card_sections.prevalence(made, 0) == pytest.approx(0.5)
    low, high = binomtest(5, 20).proportion_ci(0.95, method="exact")
    assert card_sections._rate(made, "fnr", 0) == f"0.250 [{low:.3f}, {high:.3f}]"


def test_the_card_says_how_the_model_was_chosen_and_what_it_cost(example):
    _, markdown, _ = example
    rows = section(markdown, "What the limits cost")
    assert [row[:2] for row in rows] == [["uai_0.05<=0.1", "4 of 10"], ["fnr_gap<=0.1", "9 of 10"]]
    assert rows[0][2].startswith("costs 0.0508 of accuracy: without it ")


def test_robust_accuracies_are_told_once():
    """Not again by the training's radius alone, step by step of an ensemble, nor at radius 0, which is the accuracy."""
    twice = {"robust_accuracy": 0.4, "robust_accuracy_pgd_0": 0.8, "robust_accuracy_after_apgd_8/255": 0.45}
    told = {"robust_accuracy_8/255": 0.4, "robust_accuracy_class_0_8/255": 0.3, "robust_accuracy_pgd_8/255": 0.5}
    assert card_sections._list_robust(twice | told) == list(told)
    other = {"robust_accuracy": 0.6, "robust_accuracy_8/255": 0.4}  # at another radius
    assert card_sections._list_robust(other) == list(other)


def test_both_cards_say_the_same(example):
    _, markdown, html = example
    texts = {text for text in read(html).texts if re.search(r"\w", text)} - {"Record"}
    plain = re.sub(r"\\([^\w\s]|_)", r"\1", markdown)
    drawn = "".join(read(html[: html.index("<svg")] + html[html.index("</svg>") + 6 :]).texts)
    cells = [
        cell
        for title in ("Performance", "Robustness", "How well, by group")
        for row in section(plain, title)
        for cell in row
    ]
    squeezed = drawn.replace("\n", "")
    assert all(cell.replace(" [", "[") in squeezed for cell in cells)
    assert len(texts) > 100


def test_the_page_needs_no_other_file(example):
    _, _, html = example
    addresses = re.findall(r'(?<!xmlns=")(?<!xlink=")https?://[^"\s<]*', html)
    assert addresses == []
    assert not re.search(r"<script|<link|\bsrc=|@import|url\((?!#)", html)


def test_the_figure_is_whole_and_marks_the_chosen_model(example):
    _, _, html = example
    svg = html[html.index("<svg") : html.index("</svg>") + 6]
    ElementTree.fromstring(svg)  # whole XML
    assert "#b3001b" in svg.lower()


def test_no_word_stands_at_the_chosen_mark_where_it_would_cover_others():
    found = chosen([model(1, 0.8, gap=0.3), model(2, 0.79, gap=0.05, regularizer="llr")])
    figure = tradeoff.tradeoff(found, "loan", "accuracy", "fnr_gap")
    assert "chosen" not in {text.get_text() for text in figure.axes[0].texts}
    assert "chosen" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_a_trained_run_gets_its_card_with_verified_weights(tmp_path, capsys):
    with house(tmp_path) as place:
        assert command("train", *SMALL, "operating_points=null").code == 0
        assert run("dataset=loan", "maximize=accuracy", "card=card.md") == 0
        stored = query.read("loan")[0]
        text = (place / "card.md").read_text()
        assert stored["weights"]["sha256"] in text
        assert "verified when this card was written" in text
        assert ["Parameters", "11,001"] in section(text, "Technical identity")  # 7*100+100 + 100*100+100 + 100+1
        (place / "weights" / stored["weights"]["path"]).write_bytes(b"altered")
        assert run("dataset=loan", "maximize=accuracy", "card=card.md") == 0
        assert "NOT that of the file here" in (place / "card.md").read_text()


NAMES = {"columns": [], "groups": ["women", "<b>men</b>|x"]}
METRICS = {"accuracy": 0.8, "fnr_gap": 0.3, "accuracy_group0": 0.8, "accuracy_group1": 0.8, "support_group0": 30.0}


def with_points(doc_id, **changes):
    decide = {"_target_": "utils.decides.threshold.Threshold", "probability": 0.5}
    made = record(doc_id, metrics=METRICS, operating_points=POINTS, preprocessing=NAMES, decide=decide)
    return made | {"rows": {"train": 10, "valid": 10, "test": 60}} | changes


def test_a_card_of_an_operating_point_gives_its_thresholds_and_not_the_robustness_of_others(folder):
    write(folder, "loan", [with_points(1)])
    assert run("dataset=loan", "maximize=accuracy", "where=fnr_gap<=0.05") == 0
    text = (folder / "figures" / "cards" / "loan_1_point1.md").read_text()
    assert "used at operating point 1, fitted to fnr_gap<=0.05 on the rows of the split valid. Class 1 from" in text
    assert "a probability of 0.52 (women), 0.57" in text
    assert section(text, "Decision thresholds")[1][0] == "1 (in use)"
    assert text.count("not measured at the thresholds of this operating point") == 2  # robustness, individual fairness
    assert "other thresholds decide otherwise" in text
    assert "evaluate.py id=1 point=1 measures it" in text


MIXED = {"logits": [["-inf", 0.0], [0.0]], "shares": [[0.4, 0.6], [1.0]]}


@pytest.mark.parametrize(
    ("decide", "said"),
    [
        ({"logits": ["-inf", 0.0]}, "a probability of 0.00 (women), 0.50 ("),
        (MIXED, "a probability of always (40%) or 0.50 (60%) (women), 0.50 ("),
    ],
)
def test_thresholds_of_each_group_are_said_with_their_chances_and_cautioned_of(folder, decide, said):
    write(folder, "loan", [with_points(1, decide=decide)])
    assert run("dataset=loan", "maximize=accuracy", "points=false", "card=a.md") == 0
    text = (folder / "a.md").read_text()
    assert said in text
    assert "which may be unlawful" in text.partition("### Known limits")[2]


def test_thresholds_of_many_groups_stand_in_a_table_of_their_own_a_line_each(folder):
    """Beside the figures, a column each, they would not be seen without scrolling."""
    many = POINTS | {"logits": [[0.1 * (i + j) for j in range(6)] for i in range(3)]}
    made = with_points(1, operating_points=many, preprocessing={"columns": [], "groups": list("abcdef")})
    figures, thresholds = [block for block in card_sections.thresholds(made) if hasattr(block, "rows")]
    assert max(map(len, [figures.header, *figures.rows])) <= 5
    assert thresholds.header == ["from, at point", "0", "1", "2"]
    assert thresholds.rows[5] == ["f", *(f"{1 / (1 + math.exp(-0.1 * (i + 5))):.2f}" for i in range(3))]


def test_a_threshold_for_all_groups_is_not_cautioned_of(folder):
    write(folder, "loan", [with_points(1)])
    assert run("dataset=loan", "maximize=accuracy", "points=false", "card=a.md") == 0
    assert "unlawful" not in (folder / "a.md").read_text()


def test_a_model_of_several_classes_has_no_threshold():
    """Its record holds the threshold that decide=mcc or decide=fixed would use of two."""
    made = with_points(1, params={"model": {"outputs": 10}}, operating_points=None)
    _, paragraph = card_sections.thresholds(made)
    assert paragraph.text.startswith("The class of the largest probability")


def test_what_the_database_holds_is_no_markup(folder):
    nasty = "<script>alert(1)</script>|x"
    write(folder, "loan", [with_points(1, name=nasty, warnings=[f"{nasty} [a](javascript:b)"])])
    assert run("dataset=loan", "maximize=accuracy", "points=false", f"intended_use={nasty} & more") == 0
    html = (folder / "figures" / "cards" / "loan_1.html").read_text()
    text = (folder / "figures" / "cards" / "loan_1.md").read_text()
    assert "script" not in read(html).tags
    assert "b" not in read(html).tags
    assert r"\<script>alert(1)\</script>\|x" in text
    assert "[a\\](javascript:b)" in text


def test_a_record_that_lacks_almost_everything_has_a_card(folder):
    """An imported one, without weights, data set, environment or groups."""
    bare = {"doc_id": 1, "name": "old", "dataset": "loan", "run_id": "r", "group_id": "g", "status": "finished"}
    bare |= {"params": {}, "metrics": {"accuracy": 0.5}, "seed": None, "imported": True}
    write(folder, "loan", [bare, bare | {"doc_id": 2, "run_id": "s"}])
    assert run("dataset=loan", "maximize=accuracy") == 0
    text = (folder / "figures" / "cards" / "loan_1.md").read_text()
    assert "imported without them" in text
    assert "| Decides | Class 1 or class 0 for a row of loan. Thresholds: one for all groups. |" in text
    assert not (folder / "figures" / "cards" / "loan_1.png").exists()  # one metric is no trade-off


def test_undefined_metrics_and_small_groups_are_caveats(folder):
    write(folder, "loan", [with_points(1, metrics=METRICS | {"fpr_gap": None})])
    assert run("dataset=loan", "maximize=accuracy", "points=false", "card=a.md") == 0
    text = (folder / "a.md").read_text()
    assert "difference in false positive rate between" in text.partition("### Known limits")[2]
    assert "women (30)" in text
    assert re.search(r"^\| difference in false positive rate between women and .* \| undefined \|", text, re.M)


def test_texts_may_come_from_files(folder):
    (folder / "use.txt").write_text("First.\n\nSecond.\n")
    assert card.text_of("intended_use", "use.txt") == "First.\n\nSecond."
    assert card.text_of("intended_use", "for what is in use.txt") == "for what is in use.txt"


def test_every_data_set_has_a_data_sheet():
    for path in (paths_config.ROOT / "config" / "dataset").glob("*.yaml"):
        if path.stem not in ("csv", "table"):  # of the user's own
            assert {"source", "licence"} <= card_sections._sheet(f"utils.datasets.{path.stem}.{path.stem}").keys()


def test_faces_are_for_research_only():
    assert "Non-commercial research only" in card_sections._sheet("utils.datasets.celeba_jobs.celeba_jobs")["licence"]


def test_a_part_is_told_by_the_first_words_of_its_module_and_nothing_is_run():
    assert (
        card_sections.describe_target("utils.regularizers.trades.trades")
        == "TRADES (Zhang et al. 2019, arXiv 1901.08573)"
    )
    assert card_sections.describe_target("os.system") == "os.system"
    assert card_sections.describe_target("utils.nowhere.at_all.f") == "utils.nowhere.at_all.f"


def test_the_tables_say_the_level_of_their_intervals(example):
    stored, markdown, _ = example
    metrics = {key: {**held, "level": 0.9} for key, held in stored["params"]["evaluation"]["metrics"].items()}
    asked = {**stored["params"], "evaluation": {**stored["params"]["evaluation"], "metrics": metrics}}
    blocks = [
        *card_sections.performance({**stored, "params": asked}),
        *card_sections.robustness({**stored, "params": asked}),
    ]
    tables = [block for block in blocks if hasattr(block, "header")]
    assert {name for table in tables for name in table.header if "interval" in name} == {
        "90 % interval",
        "value, 90 % interval",
    }
    (by_group,) = [
        block for block in card_sections.every_group({**stored, "params": asked}) if hasattr(block, "header")
    ]
    assert "the 90 % interval over test rows" in by_group.caption
    assert "95 % interval" in markdown
