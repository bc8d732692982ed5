"""Which runs are of one source of data, and what every command that ranks says where they are not."""

import json
import shlex

import pytest
from omegaconf import OmegaConf

import paths_config
from evals import report
from evals.page.content import content
from evals.records import advice, query
from evals.records.advice import Asked
from tests.commands import command
from utils.run_store import RunStore
from utils.runs.data_sources import is_of_groups, sensitive_of, source_of, sources
from utils.runs.outcomes import Outcome, write_outcome
from utils.runs.progress import Tally
from utils.search.question import require_one_source

CSV = {"_target_": "utils.datasets.csv.csv", "path": "/data/people.csv", "sensitive": ["sex", "race"]}
GENERATED = {"generated": "loan", "rows": 2000, "version": 1}


def record(i=1, fingerprint="1f0c9a2b3344", dataset=None, **more):
    params = {"dataset": CSV if dataset is None else dataset, "choices": {"regularizer": "erm", "model": "mlp"}}
    metrics = {"accuracy": 0.5 + i / 100, "fnr_gap": i / 10, "fnr_gap_by_sex": 0.1}
    made = {
        "doc_id": i,
        "run_id": f"run{i}",
        "group_id": f"group{i}",
        "name": f"mine_mlp_{i}",
        "dataset": "mine",
        "seed": 0,
    }
    return {**made, "status": "finished", "params": params, "fingerprint": fingerprint, "metrics": metrics, **more}


@pytest.mark.parametrize(
    ("made", "source"),
    [
        (record(), "mine-1f0c9a2b"),
        (record(dataset={"_target_": "utils.datasets.adult.adult"}), "mine-1f0c9a2b"),
        (record(dataset=CSV | {"path": "elsewhere.csv"}), "mine-1f0c9a2b"),
        (record(causal={"source": GENERATED}), "loan-2000rows"),
        (record(fingerprint="of another seed", causal={"source": GENERATED}), "loan-2000rows"),
        (record(causal={"source": GENERATED | {"version": 2}}), "loan-2000rows-v2"),
        (record(dataset={"_target_": "utils.datasets.lin.lin", "rows": 500}), "lin-500rows"),  # from before causal
        (record(fingerprint=None), None),
        ({"doc_id": 1, "params": {}}, None),
    ],
)
def test_a_source_is_a_file_by_its_rows_or_a_generator_by_its_settings(made, source):
    assert source_of(made) == source


@pytest.mark.parametrize(
    "dataset", [CSV, {"sensitive": ["race", "sex"]}, {"schema": {"sensitive": ["sex", "race"]}, "path": "people.yaml"}]
)
def test_sensitive_attributes_are_those_of_the_settings_or_the_schema(dataset):
    assert sensitive_of(record(dataset=dataset)) == "[race,sex]"


def test_gaps_of_groups_are_about_all_attributes_and_other_figures_are_not():
    about = [
        "fnr_gap",
        "fnr_signed_gap_low",
        "fnr_gap_rest",
        "equalized_odds_difference",
        "fnr_group1",
        "fnr_gap_valid",
    ]
    about[-1] = "robust_accuracy_worst_group_0.05"
    assert all(map(is_of_groups, about))
    assert not any(map(is_of_groups, ["accuracy", "fnr", "fnr_gap_by_sex", "fnr_gap_by_race_rest_low", "uai_0.05"]))


def test_runs_of_two_files_under_one_name_never_compare():
    records = [record(1), record(2, "632b5392"), record(3)]
    with pytest.raises(ValueError, match="2 sources of data") as error:
        advice.require_one(records, ["accuracy"], Asked("mine"))
    assert "mine-1f0c9a2b (people.csv, records 1, 3); mine-632b5392 (people.csv, record 2)" in str(error.value)
    condition = str(error.value).partition('where="')[2].removesuffix('"')
    chosen = query.where(query.frame(records), condition)
    assert list(chosen["doc_id"]) == [1, 3]
    advice.require_one([records[i] for i in chosen.index], ["accuracy", "fnr_gap"], Asked("mine"))


@pytest.mark.parametrize(
    ("files", "first"),
    [(["aa", "bb", "bb"], "mine-bb"), (["bb", "aa", "aa", "bb"], "mine-bb"), (["bb", "bb", "aa", "aa"], "mine-aa")],
)
def test_the_source_of_most_runs_comes_first_and_at_a_tie_the_newest(files, first):
    made = [record(i, file, created=f"2026-01-0{i}T00:00:00+00:00") for i, file in enumerate(files, start=1)]
    assert next(iter(sources(made))) == first
    assert next(iter(sources(made[::-1]))) == first
    (said,) = advice.sentences(made, ["accuracy"], Asked("mine"))
    assert said.endswith(f'Choose those of one by where="source=={first}"')


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (None, "where=source==a"),
        ("model==mlp", "where=model==mlp, source==a"),
        ('regularizer!=erm, "a b"==1', 'where=regularizer!=erm, "a b"==1, source==a'),
        ("name=='x$y'", "where=name=='x$y', source==a"),
    ],
)
def test_a_condition_that_is_suggested_keeps_the_one_that_was_given(given, word):
    """As a shell reads it: Python's own ``shlex``."""
    assert shlex.split(Asked("mine", given).add_condition("source==a")) == [word]


def test_commands_that_are_suggested_keep_the_condition_that_was_given():
    asked = Asked("mine", "dataset.sensitive==[sex,race], name!=a b")
    plot, judge = shlex.split(asked.command("evals.plot", "x=accuracy")), shlex.split(asked.judge_all("scm=known"))
    assert plot == ["python", "-m", "evals.plot", "dataset=mine", f"where={asked.where}", "x=accuracy"]
    assert judge == ["python", "evaluate.py", "dataset=mine", "id=all", f"where='{asked.where}'", "scm=known"]


def test_runs_that_lack_the_figure_do_not_keep_others_apart():
    assert advice.sentences([record(1), record(2, "632b5392", metrics={})], ["accuracy"], Asked("mine")) == []


def test_records_that_do_not_tell_go_along():
    assert advice.sentences([record(1), record(2, None), record(3)], ["accuracy"], Asked("mine")) == []


def test_gaps_about_other_attributes_do_not_compare_but_accuracies_and_gaps_of_one_attribute_do():
    records = [record(1), record(2, dataset=CSV | {"sensitive": "sex"})]
    assert advice.sentences(records, ["accuracy", "fnr_gap_by_sex"], Asked("mine")) == []
    (said,) = advice.sentences(records, ["accuracy", "fnr_gap"], Asked("mine"))
    assert said == (
        "fnr_gap is about the groups of the sensitive attributes, and here are 2 sets of them: [sex] (record 2); "
        '[race,sex] (record 1). Choose those of one by where="sensitive==[sex]"'
    )
    assert list(query.where(query.frame(records), "sensitive==[race, sex]")["doc_id"]) == [1]


def test_where_knows_the_number_of_a_record():
    table = query.frame([record(i) for i in (1, 2, 3)])
    assert list(query.where(table, "id>=2")["doc_id"]) == [2, 3]
    assert list(query.sort(table, "-id")["doc_id"]) == [3, 2, 1]


def test_seeds_of_a_generated_data_set_are_of_one_source():
    path = paths_config.ROOT / "tests/evals/older_runs.json"
    old = list(json.loads(path.read_text())["_default"].values())
    assert {source_of(made) for made in old if made["dataset"] == "loan"} == {"loan-2000rows"}


def test_the_best_of_a_sweep_is_that_of_each_source(tmp_path):
    tally = Tally(tmp_path, range(3), ["accuracy", "fnr_gap", "fnr_gap_by_sex"], lambda number: [str(number)])
    outcomes = [("mine-a", "[sex]", 0.7, 0.1), ("mine-b", "[sex]", 0.9, 0.2), ("mine-b", "[race,sex]", 0.8, 0.3)]
    for i, (source, sensitive, accuracy, gap) in enumerate(outcomes):
        figures = {"accuracy": accuracy, "fnr_gap": gap, "fnr_gap_by_sex": None}
        told = Outcome("a", "finished", "", i, figures, {}, "mine", source, sensitive)
        write_outcome(tmp_path, i, told)
    tally.look()
    assert "best accuracy 0.7000 of mine-a, 0.9000 of mine-b, best fnr_gap" in tally.line()
    assert (
        "0.1000 of mine-a about [sex], 0.2000 of mine-b about [sex], 0.3000 of mine-b about [race,sex]" in tally.line()
    )
    assert tally.apart() == ["accuracy", "fnr_gap"]


# --- the commands ----------------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path, monkeypatch):
    """Runs of two files and of two sets of sensitive attributes, under one name."""
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    store = RunStore(tmp_path / "mine.json")
    one = CSV | {"sensitive": ["sex"]}
    made = [record(1), record(2, dataset=one), record(3, "632b5392"), record(4)]
    store.add_many([{key: value for key, value in of.items() if key != "doc_id"} for of in made])
    return tmp_path


RANKING = {
    "evals.select": ["dataset=mine", "maximize=accuracy", "card=null"],
    "evals.plot": ["dataset=mine", "x=accuracy", "y=fnr_gap", "x_better=higher", "out=a.png"],
    "evaluate": ["dataset=mine", "sort=-accuracy"],
}


@pytest.mark.parametrize("program", RANKING)
def test_what_ranks_refuses_runs_of_several_sources_and_takes_those_of_one(database, program, monkeypatch):
    monkeypatch.chdir(database)
    answer = command(program, *RANKING[program])
    assert answer.code == 2
    assert "the runs of mine are of 2 sources of data" in answer.err
    chosen = command(program, *RANKING[program], "where='source==mine-1f0c9a2b, sensitive==[race,sex]'")
    assert (chosen.code, "sources of data" in chosen.out + chosen.err) == (0, False)


@pytest.mark.parametrize("program", RANKING)
def test_what_is_suggested_to_be_typed_keeps_the_condition_and_is_answered(database, program, monkeypatch):
    monkeypatch.chdir(database)
    answer = command(program, *RANKING[program], "where=sensitive!=[sex], seed==0")
    typed = shlex.split(answer.err.rpartition(" by ")[2])[0]
    assert typed == "where=sensitive!=[sex], seed==0, source==mine-1f0c9a2b"
    assert command(program, *RANKING[program], typed).code == 0


def test_the_lines_that_a_choice_prints_are_about_the_runs_that_competed(database, monkeypatch):
    monkeypatch.chdir(database)
    conditions = "where=accuracy>=0.5, source==mine-1f0c9a2b, fnr_gap_by_sex<=0.1"
    answer = command("evals.select", "dataset=mine", "maximize=accuracy", "card=null", conditions)
    lines = [line for line in answer.out.splitlines() if "python -m evals." in line]
    assert len(lines) == 2
    for line in lines:
        program, *words = shlex.split(line.partition("python -m ")[2])
        assert "where=source==mine-1f0c9a2b" in words
        assert command(program, *words).code == 0


def test_a_table_says_that_its_rows_are_of_several_sources(database):
    answer = command("evals.table", "dataset=mine", "metrics=accuracy,fnr_gap")
    assert answer.code == 0
    assert "the runs of mine are of 2 sources of data" in answer.out


def test_a_page_opens_with_the_source_of_most_runs_and_says_so(database, monkeypatch):
    monkeypatch.chdir(database)
    options = OmegaConf.merge(OmegaConf.load(report.OPTIONS), {"dataset": "mine"})
    held = content(query.read("mine"), options)
    assert held["source"] == "mine-1f0c9a2b"
    answer = command("evals.report", "dataset=mine", "x=accuracy", "y=fnr_gap_by_sex", "out=a.html")
    said = "the runs of mine are of 2 sources of data, whose figures do not compare: mine-1f0c9a2b (people.csv, "
    assert (answer.code, answer.out.startswith(said), held["sources"].startswith(said)) == (0, True, True)
    assert "The page opens with mine-1f0c9a2b" in answer.out.splitlines()[0]
    alone = content([of for of in query.read("mine") if source_of(of) == "mine-1f0c9a2b"], options)
    assert (alone["source"], alone["axes"]) == (None, held["axes"])  # axes by which these compare
    refused = command("evals.report", "dataset=mine", "y=fnr_gap", "out=a.html")
    assert 'where="sensitive==[race,sex]"' in refused.err
    assert held["settings"]["facets"]["source"]["of"] == ["mine-1f0c9a2b", "mine-632b5392"]
    one = content(query.read("mine"), OmegaConf.merge(options, {"where": "source==mine-1f0c9a2b"}))
    assert {metric["key"]: metric.get("about") for metric in one["metrics"]}["fnr_gap"] == "sensitive attributes"
    assert one["axes"] == ["accuracy", "fnr_gap_by_sex"]


ADULT = {"_target_": "utils.datasets.adult.adult", "sensitive": ["sex"]}


@pytest.mark.parametrize(
    ("datasets", "metrics", "told"),
    [
        ([ADULT, CSV], ["accuracy"], "2 sources of data: adult; csv, path /data/people.csv"),
        ([CSV, CSV | {"path": "b.csv"}], ["accuracy"], "2 sources of data"),
        (
            [{"_target_": "utils.datasets.lin.lin", "rows": n} for n in (500, 900)],
            ["mcc"],
            "lin, rows 500; lin, rows 900",
        ),
        (
            [ADULT, ADULT | {"sensitive": ["sex", "race"]}],
            ["accuracy", "fnr_gap"],
            "fnr_gap is about .* sex; race, sex",
        ),
        ([ADULT, ADULT | {"sensitive": ["sex", "race"]}], ["accuracy", "fnr_gap_by_sex"], ""),
        ([ADULT, ADULT | {"split": [0.8, 0, 0.2]}], ["accuracy", "fnr_gap"], ""),
    ],
)
def test_a_search_ranks_trials_of_one_source_alone(datasets, metrics, told):
    configurations = [{"dataset": dataset} for dataset in datasets]
    if not told:
        require_one_source(metrics, configurations)
        return
    with pytest.raises(ValueError, match=told):
        require_one_source(metrics, configurations)
