"""``python -m evals.explain``: closed forms, the figures that the record filed, the predictor's answers, mistakes."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from evals import look
from evals.explaining.loading import load_model
from tests.commands import SMALL, command, house, refused
from tests.evals.chromium import browser, executable, opened
from utils.model_zoo import from_database, predictor
from utils.run_store import RunStore
from utils.words.wrapping import USUAL

QUICK = ("radius=0.05", "samples=50", "steps=5", "restarts=1")
JOBS = np.array(["cook", "technician", "clerk"])


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """A linear model of lin; a network on a table of people with a job that follows from sex."""
    with house(tmp_path_factory.mktemp("house")) as own:
        line = ("dataset=lin", "dataset.rows=300", "model=logistic", "trainer.lr=0.05", *SMALL)
        assert command("train", *line, "trainer.epochs=5").code == 0
        rng = np.random.default_rng(0)
        n = 300
        sex, age = rng.random(n) < 0.5, rng.integers(18, 70, n)
        job = JOBS[(np.stack([0.3 + 0 * age, 1.2 * sex, -0.4 - 1.0 * sex], 1) + rng.gumbel(size=(n, 3))).argmax(1)]
        income = (20 + 10 * (job == "technician") + 4 * sex + rng.normal(0, 4, n)).round(1)
        hired = income + rng.normal(0, 5, n) > 26
        with Path("people.csv").open("w", newline="") as file:
            write = csv.writer(file).writerow
            write(["sex", "age", "job", "income", "hired"])
            for row in zip(np.where(sex, "man", "woman"), age, job, income, np.where(hired, "yes", "no"), strict=True):
                write(row)
        words = ["label=hired", "sensitive=sex", "favourable=yes", "graph=sex -> job; sex, job -> income"]
        assert look.main(["people.csv", *words]) == 0
        text = Path("people.yaml").read_text() + "actionable: [income]\n"
        Path("people.yaml").write_text(text)
        quick = ("dataset=people.yaml", "scm=linear", "operating_points=null", *SMALL)
        assert command("train", *quick, "trainer.epochs=4", "scm.draws=4").code == 0
        yield own


def explained(*words):
    answer = command("evals.explain", *words, *QUICK, "format=json")
    assert answer.code == 0, answer
    return json.loads(answer.out)


def some_row(dataset, label):
    """A test row of a decision, by the model itself."""
    from evals.records.stored import dataset_of

    data = dataset_of(RunStore(f"evals/{dataset}.json").get(1), "cpu")
    decided = from_database(1, dataset).decide(data.test.x)
    return int(data.test.index[(decided == label).nonzero()[0]]), data


def test_paths_carry_the_products_of_coefficients_and_add_up():
    """x2 = 2 x1 + u, x3 = x1 - x2 + u; of the weights of the stored model, in natural units."""
    row, data = some_row("lin", 0)
    (person,) = explained("dataset=lin", "id=1", f"row={row}")["people"]
    weight = from_database(1, "lin").network.state_dict()
    slope = next(of for key, of in weight.items() if key.endswith("weight"))[0].double() / data.scale
    sign = -1 if person["person"]["level"] == "x1=1" else 1
    (carried,) = person["carried"]
    shown = {tuple(path["nodes"]): path["change"] for path in carried["paths"]}
    expected = {
        ("x1",): slope[0],
        ("x1", "x2"): 2 * slope[1],
        ("x1", "x2", "x3"): -2 * slope[2],
        ("x1", "x3"): slope[2],
    }
    assert shown == {path: pytest.approx(sign * float(product), abs=1e-4) for path, product in expected.items()}
    assert carried["change"] == pytest.approx(person["twins"][0]["log_odds"] - person["person"]["log_odds"], abs=1e-4)


def test_a_recourse_turns_the_decision_when_it_is_typed_and_costs_the_closed_form():
    """The margin over the norm of what a deviation of x2, with x3 following, and of x3 adds."""
    row, data = some_row("lin", 0)
    (person,) = explained("dataset=lin", "id=1", f"row={row}", "most=9")["people"]
    way, own = person["recourse"], person["person"]
    slope = next(of for key, of in from_database(1, "lin").network.state_dict().items() if key.endswith("weight"))[0]
    gains = np.array([float(slope[1] - slope[2] * data.scale[1] / data.scale[2]), float(slope[2])])
    if all(abs(float(change["after"])) < 2 for change in way["changes"]):  # within the bounds of the rows
        assert way["cost"] == pytest.approx((own["threshold"] - own["log_odds"]) / np.linalg.norm(gains), rel=5e-3)
    typed = ", ".join(f"{change['attribute']}: {change['after']}" for change in [*way["changes"], *way["follows"]])
    further = own["values"] | {c["attribute"]: float(c["after"]) for c in [*way["changes"], *way["follows"]]}
    (changed,) = explained("dataset=lin", "id=1", f"row={row}", f"values={{{typed}}}")["people"]
    assert changed["person"]["values"] == pytest.approx(further, abs=1e-3)
    assert changed["person"]["log_odds"] == pytest.approx(own["threshold"], abs=5e-3)
    assert way["others"][0]["cost"] is not None


def test_the_largest_proven_radius_is_the_distance_of_the_nearest_twin():
    """Of a linear model the margin over the norm of the slope in the noise; and nobody proven fair is found unfair."""
    _, data = some_row("lin", 0)
    rows = ",".join(map(str, data.test.index.tolist()[:25]))
    weight = next(of for key, of in from_database(1, "lin").network.state_dict().items() if key.endswith("weight"))[0]
    slope = (weight / data.scale).numpy()
    people = explained("dataset=lin", "id=1", f"row={rows}", "most_radius=20")["people"]
    for one in people:
        sides = [one["person"], *one["twins"]]
        away = min(abs(side["log_odds"] - side["threshold"]) for side in sides)
        alike = not one["twins"][0]["otherwise"]
        distance = away / np.hypot(slope[1] - slope[2], slope[2])
        found = one["proof"]["largest_radius"]
        assert (found == pytest.approx(distance, rel=0.05)) if alike else found is None
        assert one["proof"]["verdict"] == ("fair" if alike and distance > 0.05 else "unfair")
        assert not (one["proof"]["verdict"] == "fair" and one["worst_point"]["otherwise"])
    assert {one["proof"]["verdict"] for one in people} == {"fair", "unfair"}


def test_shares_of_draws_are_those_that_the_evaluation_filed():
    """The mean of the shares of all test rows is uai_cf, to a draw."""
    record, (_, data) = RunStore("evals/people.json").get(1), some_row("people", 0)
    rows = ",".join(map(str, data.test.index.tolist()))
    answer = command("evals.explain", "dataset=people", "id=1", f"row={rows}", *QUICK, "format=csv", "samples=1")
    assert answer.code == 0, answer
    table = list(csv.DictReader(io.StringIO(answer.out)))
    assert len(table) == len(data.test.y)
    shares = [float(line["otherwise as sex=man"] or line["otherwise as sex=woman"]) for line in table]
    assert np.mean(shares) == pytest.approx(record["metrics"]["uai_cf"], abs=1e-9)
    assert 0 < np.mean(shares) < 1
    decided = from_database(1, "people").decide(data.test.x).tolist()
    assert [int(line["decision"]) for line in table] == decided
    assert {line["recourse cost as sex=man"] == "" for line in table if line["decision"] == "1"} == {True}


def test_the_text_fits_a_terminal_and_speaks_in_the_owners_words():
    row, _ = some_row("people", 0)
    answer = command("evals.explain", "dataset=people", "id=1", f"row={row}", *QUICK)
    assert answer.code == 0, answer
    assert max(map(len, answer.out.splitlines())) <= USUAL
    flat = " ".join(answer.out.split())
    assert re.search(rf"test row {row}: sex (wo)?man, age \d+, job \w+, income", flat)
    assert "Decision: class no, log-odds" in flat
    assert "in 4 draws of the noise" in flat
    assert re.search(r"as sex=(wo)?man: ", flat)
    assert "sex -> income -> decision" in flat
    whole = float(re.search(r"moves the log-odds by ([+-][\d.]+)", flat)[1])
    lines = re.findall(r"^    ([+-]\d+\.\d+) (?:\w+ ->|\d+ smaller)", answer.out, re.M)
    assert sum(map(float, lines)) == pytest.approx(whole, abs=1e-3 * (1 + len(lines)))
    assert "Within radius 0.05:" in flat
    assert "Proof: " in flat
    assert "Recourse: " in flat


def test_a_typed_row_a_file_and_the_predictor_decide_alike():
    people = (
        {"sex": "woman", "age": "30", "job": "cook", "income": "24.5"},
        {"sex": "man", "age": "51", "job": "clerk", "income": "29"},
    )
    with Path("two.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, people[0])
        writer.writeheader()
        writer.writerows(people)
    found = explained("dataset=people", "id=1", "rows=two.csv")["people"]
    decided = predictor(1, "people")(list(people))["decision"].tolist()
    assert [one["decision"] for one in found] == decided
    for one, typed in zip(found, people, strict=True):
        words = ", ".join(f"{name}: {text}" for name, text in typed.items())
        (alone,) = explained("dataset=people", "id=1", f"values={{{words}}}")["people"]
        assert alone["person"]["words"] == typed
        assert (alone["decision"], alone["person"]["log_odds"]) == (one["decision"], one["person"]["log_odds"])


@pytest.mark.parametrize("word", ["unfairest", "typical", "nearest"])
def test_examples_are_test_rows(word):
    (person,) = explained("dataset=lin", "id=1", f"row={word}", "boxes=0")["people"]
    assert person["proof"]["reason"] == "boxes=0 asks for none"
    assert person["name"].startswith("test row ")
    if word == "unfairest":
        assert person["twins"][0]["otherwise"] == 1
    if word == "nearest":
        rows = some_row("lin", 0)[1].test
        every = explained("dataset=lin", "id=1", f"row={','.join(map(str, rows.index.tolist()[:20]))}")["people"]
        off = [abs(one["person"]["log_odds"] - one["person"]["threshold"]) for one in every]
        assert abs(person["person"]["log_odds"] - person["person"]["threshold"]) <= min(off) + 1e-6


def test_a_picture_shows_both_worlds():
    row, _ = some_row("people", 0)
    answer = command("evals.explain", "dataset=people", "id=1", f"row={row}", *QUICK, "picture=two.svg,two.png")
    assert answer.code == 0, answer
    assert Path("two.png").read_bytes().startswith(b"\x89PNG")
    drawn = Path("two.svg").read_text()
    assert all(f"<!-- {word}" in drawn for word in ("sex", "job", "income", "decision", "log-odds"))


def test_the_page_shows_three_people_of_a_record():
    answer = command("evals.report", "dataset=lin", "explain=1", "out=page.html")
    assert answer.code == 0, answer
    refused(command("evals.report", "dataset=lin", "explain=7"), "explain=7", "records on the page")
    pytest.importorskip("playwright", reason="Playwright is not installed")
    if executable() is None:
        pytest.skip("no Chromium found; TRILEMMA_CHROMIUM names its executable")
    with browser() as running:
        page = opened(running, Path("page.html"), "#seeds=runs&points=none&pick=1")
        shown = page.locator("#record details", has_text="A person explained")
        assert shown.count() == 3
        shown.first.locator("summary").click()
        assert "Decision: class" in shown.first.inner_text()
        assert page.evaluate("document.querySelector('.explained img').decode().then(() => true)")
        assert page.complaints == []


def test_a_model_without_a_gradient_is_explained():
    words = ("dataset=lin", "dataset.rows=100", "model=logistic_sklearn", "evaluation.metrics.unfair_area.samples=5")
    assert command("train", *words, "device=cpu", "operating_points=null", "epsilon.evaluate=[0.05]").code == 0
    (person,) = explained("dataset=lin", "id=2", "row=unfairest")["people"]
    assert person["twins"][0]["otherwise"] == 1
    assert person["proof"]["verdict"] == "unfair"
    assert sum(path["change"] for path in person["carried"][0]["paths"]) == pytest.approx(
        person["twins"][0]["log_odds"] - person["person"]["log_odds"], abs=1e-4
    )


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (["dataset=lin", "row=99999"], ["no row 99999", "end with 299"]),
        (["dataset=lin", "row=one"], ["row=one", "unfairest"]),
        (["dataset=lin"], ["say who is to be explained"]),
        (["dataset=lin", "row=1", "rows=x.csv"], ["leave one out"]),
        (["dataset=lin", "rows=nothing.csv"], ["nothing.csv"]),
        (["dataset=lin", "row=1", "split=tset"], ["split=tset", "test"]),
        (["dataset=lin", "row=1", "norm=l3"], ["norm=l3", "l1"]),
        (["dataset=lin", "row=1", "picture=a.txt"], ["picture=a.txt", ".png"]),
        (["dataset=lin", "values={x1: 0, x2: 1}"], ["x3 missing"]),
        (["dataset=lin", "values={x1: 2, x2: 1, x3: 0}"], ["'x1' holds 2", "levels are 0, 1"]),
        (["dataset=lin", "values={x1: 0, x2: many, x3: 0}"], ["x2", "many"]),
        (["dataset=people", "values={sex: man, age: 30, job: cok, income: 3}"], ["'cok'", "cook"]),
        (["dataset=people", "values={sx: man}"], ["'sx'", "sex"]),
        (["dataset=people", "values={age:30}"], ["blank behind each colon"]),
    ],
)
def test_mistakes_are_one_sentence(words, phrases):
    refused(command("evals.explain", "id=1", *words), *phrases)


def test_a_row_of_another_split_is_refused_where_one_is_named():
    row, _ = some_row("lin", 0)
    refused(
        command("evals.explain", "dataset=lin", "id=1", f"row={row}", "split=train"),
        f"row {row} is one of the test rows, not in split=train",
    )


def test_a_model_of_images_is_refused():
    """Before its weights and its data are read."""
    filed = {"doc_id": 4, "preprocessing": {"shape": [1, 8, 8]}}
    with pytest.raises(ValueError, match="record 4 is of images, which have no causal model and no twins"):
        load_model(filed)
