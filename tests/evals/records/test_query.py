"""Records as a table; sums and standard deviations by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from evals.records import query


def record(doc_id, regularizer="erm", seed=0, radius=0.1, **changes):
    known = {
        "doc_id": doc_id,
        "name": f"loan_mlp_{regularizer}",
        "dataset": "loan",
        "run_id": f"run{doc_id}",
        "group_id": f"{regularizer}-{radius}",
        "status": "finished",
        "params": {
            "choices": {"regularizer": regularizer, "model": "mlp", "scm": "known"},
            "epsilon": {"radius": radius},
            "regularizer": {regularizer: {"weight": 1.0, "radius": radius}},
            "seed": seed,
        },
        "metrics": {"accuracy": round(0.5 + doc_id / 10, 9), "uai_0.05": round(0.4 - doc_id / 10, 9)},
        "evaluations": {},
        "seed": seed,
        "created": "2026-01-01",
    }
    return known | changes


RECORDS = [record(1, seed=0), record(2, seed=1), record(3, "llr", radius=0.1), record(4, "llr", radius=0.2)]


def test_an_attribute_in_quotes_may_hold_any_sign():
    keys = ['fnr_gap_by_"a,b"', 'fnr_gap_by_"a<=b"']
    found = query.frame(
        [record(1, metrics={keys[0]: 0.1, keys[1]: 0.3}), record(2, metrics={keys[0]: 0.2, keys[1]: 0.2})]
    )
    assert list(query.where(found, f"{keys[0]}<=0.1")["doc_id"]) == [1]
    assert list(query.where(found, f"{keys[0]}>0, {keys[1]}<=0.2, seed==0")["doc_id"]) == [2]


@pytest.fixture
def table():
    return query.frame(RECORDS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    return tmp_path


def write(folder, dataset, records):
    stored = {str(r["doc_id"]): {k: v for k, v in r.items() if k != "doc_id"} for r in records}
    (folder / f"{dataset}.json").write_text(json.dumps({"_default": stored}))


def test_a_row_states_the_facts_of_its_record(table):
    row = table.loc[3]
    assert (row["doc_id"], row["regularizer"], row["radius"], row["accuracy"]) == (4, "llr", 0.2, pytest.approx(0.9))


def test_later_evaluations_are_columns_of_their_own():
    records = [record(1, evaluations={"audit": {"accuracy": 0.25}}), record(2)]
    assert query.frame(records)["audit/accuracy"].fillna(-1).tolist() == [0.25, -1]


def test_an_evaluation_may_hold_its_metrics_under_metrics():
    records = [record(1, evaluations={"audit": {"metrics": {"accuracy": 0.25}, "created": "2026-01-01"}})]
    table = query.frame(records)
    assert [key for key in query.metrics(table) if "/" in key] == ["audit/accuracy"]


def test_null_metrics_are_nan():
    assert np.isnan(query.frame([record(1, metrics={"mcc": None})])["mcc"][0])


def test_several_regularizers_are_joined_as_in_names():
    params = {"choices": {"regularizer": ["llr", "group_gap"]}}
    assert query.frame([record(1, params=params)])["regularizer"][0] == "llr+group_gap"


def test_records_from_before_there_were_prepares_have_none():
    assert query.frame(RECORDS)["prepare"].tolist() == ["none"] * 4


def test_prepare_and_decision_are_facts_of_a_record():
    choices = {"regularizer": "erm", "prepare": "reweigh", "decide": "mcc"}
    row = query.frame([record(1, params={"choices": choices})]).loc[0]
    assert (row["prepare"], row["decide"]) == ("reweigh", "mcc")


def test_labels_name_the_prepare_where_prepares_differ():
    reweighed = RECORDS[0]["params"] | {"choices": RECORDS[0]["params"]["choices"] | {"prepare": "reweigh"}}
    records = [RECORDS[0], record(2, group_id="other", params=reweighed)]
    groups = query.aggregate(query.frame(records), ["accuracy"])
    assert query.differences(records, groups, "regularizer") == ["none", "reweigh"]


def test_labels_name_the_settings_that_runs_of_one_option_differ_in():
    def weighed(doc_id, prepare, **settings):
        params = {"choices": {"regularizer": "erm", "prepare": prepare}, "prepare": settings}
        return record(doc_id, group_id=str(doc_id), params=params)

    records = [
        weighed(1, "none"),
        weighed(2, "group_weights", weights=[1, 2]),
        weighed(3, "group_weights", weights=[1, 4]),
    ]
    groups = query.aggregate(query.frame(records), ["accuracy"])
    labels = query.differences(records, groups, "regularizer")
    assert labels == ["none", "group_weights, weights [1, 2]", "group_weights, weights [1, 4]"]


def test_labels_name_a_limit_that_is_a_number_in_some_and_one_of_each_rate_in_others():
    def limited(doc_id, harm):
        params = {"choices": {"attack": "bo_poison"}, "attack": {"poison": {"harm": harm, "budget": 3}}}
        return record(doc_id, group_id=str(doc_id), params=params)

    records = [limited(1, 0.01), limited(2, None), limited(3, {"fpr": 0.01}), limited(4, {"fpr": 0.01, "fnr": 0.1})]
    groups = query.aggregate(query.frame(records), ["accuracy"])
    assert query.differences(records, groups, "dataset") == [
        "harm 0.01",
        "harm None",
        "harm fpr 0.01",
        "harm fpr 0.01, fnr 0.1",
    ]


def test_labels_name_the_equations_of_single_nodes_before_how_runs_were_judged():
    def judged(doc_id, rows, nodes):
        params = {"choices": {"regularizer": "erm"}, "evaluation": {"rows": rows}, "scm": {"draws": 4, "nodes": nodes}}
        return record(doc_id, group_id=str(doc_id), params=params)

    records = [judged(1, None, {}), judged(2, 300, {"wage, net": "flow"}), judged(3, 300, {})]
    groups = query.aggregate(query.frame(records), ["accuracy"])
    labels = query.differences(records, groups, "regularizer")
    assert labels == ["nodes none, rows None", "nodes wage, net flow, rows 300", "nodes none, rows 300"]
    groups = query.aggregate(query.frame(records[1:]), ["accuracy"])
    assert query.differences(records[1:], groups, "regularizer") == ["nodes wage, net flow", "nodes none"]


def test_labels_name_as_many_settings_as_tell_all_apart():
    def searched(doc_id, **poison):
        params = {"choices": {"regularizer": "erm"}, "attack": {"poison": poison}}
        return record(doc_id, group_id=str(doc_id), params=params)

    cube = [(a, b, c) for a in (1, 2) for b in (3, 4) for c in (5, 6)]
    records = [searched(i, rows=a, copies=b, batch=c) for i, (a, b, c) in enumerate(cube)]
    labels = query.differences(records, query.aggregate(query.frame(records), ["accuracy"]), "regularizer")
    assert labels == [f"rows {a}, copies {b}, batch {c}" for a, b, c in cube]
    labels = query.differences(records, query.aggregate(query.frame(records[::2]), ["accuracy"]), "regularizer")
    assert labels == [f"rows {a}, copies {b}" for a, b, _ in cube[::2]]


def test_a_radius_may_be_a_fraction():
    assert query.frame([record(1, radius="8/255")])["radius"][0] == pytest.approx(8 / 255)


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        ("accuracy>=.7", [2, 3, 4]),
        ("accuracy>.7", [3, 4]),
        ("uai_0.05<=0.1", [3, 4]),
        ("uai_0.05 < 0.1,regularizer == llr", [4]),
        ("regularizer!=llr", [1, 2]),
        ("seed==1", [2]),
        ("radius==1/5", [4]),
        ("", [1, 2, 3, 4]),
        (None, [1, 2, 3, 4]),
    ],
)
def test_where_keeps_the_rows_that_meet_every_condition(table, conditions, ids):
    assert query.where(table, conditions)["doc_id"].tolist() == ids


@pytest.fixture
def settings():
    """Of three runs, of which the last lacks all but one."""
    made = [
        {"attack": {"poison": {"copies": 1, "label": "search"}}, "model": {"C": "1/4", "bias": True}},
        {"attack": {"poison": {"copies": 100, "label": 1}}, "model": {"C": 2, "bias": False}},
        {"attack": {"evasion": None}, "model": {"C": 1e-3}},
    ]
    return query.frame([record(i, params=params) for i, params in enumerate(made, 1)])


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        ("attack.poison.copies>1", [2]),
        ("attack.poison.copies!=1", [2]),
        ("attack.poison.label==search", [1]),
        ("attack.poison.label==1", [2]),
        ("model.C<=0.25", [1, 3]),
        ("model.C==1/4, accuracy>=0", [1]),
        ("model.bias==true", [1]),
    ],
)
def test_settings_are_named_as_in_the_command_line(settings, conditions, ids):
    assert query.where(settings, conditions)["doc_id"].tolist() == ids


def test_settings_sort_with_those_that_lack_them_last(settings):
    assert query.sort(settings, "-attack.poison.copies")["doc_id"].tolist() == [2, 1, 3]
    assert query.sort(settings, "model.C")["doc_id"].tolist() == [3, 1, 2]


@pytest.mark.parametrize("key", ["attack.poison.copy", "attack.poison", "attack.evasion", "poison.copies", "copies"])
def test_a_setting_that_no_run_has_is_told_from_those_it_may_be(settings, key):
    with pytest.raises(ValueError, match="no column") as told:
        query.where(settings, f"{key}==1")
    meant, listed, _ = str(told.value).partition("Settings of attack: ")
    assert "evasion" in key or "attack.poison.copies" in meant
    assert bool(listed) == key.startswith("attack.")


@pytest.mark.parametrize("condition", ["dataset.sensitive==[sex,race]", "dataset.sensitive==[sex, race], seed==1"])
def test_a_list_is_written_with_its_commas(condition):
    records = [record(i, seed=i % 2) for i in range(4)]
    for one in records[1:3]:
        one["params"]["dataset"] = {"sensitive": ["sex", "race"]}
    for one in (records[0], records[3]):
        one["params"]["dataset"] = {"sensitive": ["sex"]}
    kept = query.where(query.frame(records), condition)
    assert list(kept.index) == ([1, 2] if "seed" not in condition else [1])


@pytest.mark.parametrize(
    ("condition", "ids"),
    [("scm.discrete==threshold", [1, 2]), ("scm.discrete==anm", [3]), ("scm.binary==threshold", [1])],
)
def test_where_finds_older_records_by_what_a_setting_is_called_now(condition, ids):
    """``scm.binary`` became ``scm.discrete``; records from before either were additive."""
    target = {"_target_": "utils.scms.linear.linear"}
    nodes = ({"binary": "threshold"}, {"discrete": "threshold", "nodes": {}}, {})
    params = [{**record(1)["params"], "scm": {**target, **node}} for node in nodes]
    table = query.frame([record(i, params=own) for i, own in enumerate(params, start=1)])
    assert query.where(table, condition)["doc_id"].tolist() == ids


def test_where_never_keeps_a_row_without_the_value():
    table = query.frame([record(1, metrics={"mcc": None}), record(2, metrics={"mcc": 0.5})])
    assert query.where(table, "mcc!=0.1")["doc_id"].tolist() == [2]


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ("acuracy>=.8", "did you mean accuracy"),
        ("accuracy>=high", "holds numbers"),
        ("regularizer<=llr", "holds names"),
        ("regularizer==lr", "did you mean llr"),
        ("regularizer=llr", "no comparison"),
        ("0.1<accuracy<0.5", "no comparison"),
        ("__import__('os')", "no comparison"),
    ],
)
def test_where_explains_a_condition_it_cannot_use(table, conditions, message):
    with pytest.raises(ValueError, match=message):
        query.where(table, conditions)


def test_a_minus_sorts_falling(table):
    assert query.sort(table, "-accuracy")["doc_id"].tolist() == [4, 3, 2, 1]


def test_the_first_sort_key_leads(table):
    assert query.sort(table, "-regularizer,-accuracy")["doc_id"].tolist() == [4, 3, 2, 1]
    assert query.sort(table, "regularizer,-accuracy")["doc_id"].tolist() == [2, 1, 4, 3]


@pytest.mark.parametrize("key", ["accuracy", "-accuracy"])
def test_missing_values_sort_last(table, key):
    table.loc[0, "accuracy"] = np.nan
    assert query.sort(table, key)["doc_id"].tolist()[-1] == 1


def test_aggregate_takes_mean_and_sample_deviation_over_seeds(table):
    row = query.aggregate(table, ["accuracy"]).iloc[0]
    assert (row["accuracy"], row["accuracy_sd"], row["accuracy_n"]) == pytest.approx((0.65, 0.1 / np.sqrt(2), 2))


def test_one_seed_has_no_deviation(table):
    assert np.isnan(query.aggregate(table, ["accuracy"])["accuracy_sd"].iloc[-1])


def test_a_seed_without_the_metric_does_not_count(table):
    table.loc[0, "accuracy"] = np.nan
    row = query.aggregate(table, ["accuracy", "uai_0.05"]).iloc[0]
    assert (row["accuracy"], row["accuracy_n"], row["uai_0.05_n"]) == (pytest.approx(0.7), 1, 2)


def test_aggregate_keeps_the_facts_and_the_ids(table):
    row = query.aggregate(table, ["accuracy"]).iloc[0]
    assert (row["name"], row["regularizer"], row["radius"], row["doc_ids"]) == ("loan_mlp_erm", "erm", 0.1, (1, 2))


def test_equal_settings_on_other_data_are_another_group():
    table = query.frame([record(1), record(2, dataset="adult")])
    assert len(query.aggregate(table, ["accuracy"])) == 2


def test_records_without_a_group_are_named(table):
    table.loc[2, "group_id"] = None
    with pytest.raises(ValueError, match="records 3 have no group_id"):
        query.aggregate(table, ["accuracy"])


def test_labels_name_what_differs_within_a_kind(table):
    groups = query.aggregate(table, ["accuracy"])
    assert query.differences(RECORDS, groups, "regularizer") == ["erm", "radius 0.1", "radius 0.2"]


def test_labels_name_the_option_where_options_differ(table):
    groups = query.aggregate(table, ["accuracy"])
    assert query.differences(RECORDS, groups, "model") == ["erm, radius 0.1", "llr, radius 0.1", "llr, radius 0.2"]


def test_reading_returns_finished_records_only(folder):
    write(folder, "loan", [record(1), record(2, status="failed")])
    assert [r["doc_id"] for r in query.read("loan")] == [1]


def test_a_missing_database_names_the_path_the_remedy_and_what_exists(folder):
    write(folder, "adult", [record(1)])
    with pytest.raises(ValueError, match=r"loan\.json does not exist.*train\.py dataset=loan.*folder: adult"):
        query.read("loan")


def test_a_database_without_a_finished_run_says_so(folder):
    write(folder, "loan", [record(1, status="failed")])
    with pytest.raises(ValueError, match=r"no finished run \(1 failed\)"):
        query.read("loan")


@pytest.fixture
def defaults(tmp_path):
    path = tmp_path / "command.yaml"
    path.write_text("# Shows nothing.\ndataset: ???  # which data\nx: accuracy  # the axis\ntitle: null\n")
    return path


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("x=uai_0.05", "uai_0.05"),
        ("x=robust_accuracy_8/255", "robust_accuracy_8/255"),
        ("x=a<=0.1, b==c", "a<=0.1, b==c"),
        ("x=Loan: all", "Loan: all"),
        ("x=[a, b: c", "[a, b: c"),
        ("x=2026", 2026),
        ("x=null", None),
    ],
)
def test_words_are_read_as_typed(defaults, word, value):
    assert query.options(["dataset=loan", word], defaults).x == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset=loan", "titel=a"], "did you mean title"),
        (["dataset=loan", "x"], "key=value"),
        (["x=a"], "dataset is required"),
    ],
)
def test_wrong_words_are_explained(defaults, words, message):
    with pytest.raises(ValueError, match=message):
        query.options(words, defaults)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a=1", "b"], "cannot read 'b'; write options as key=value"),
        (["aa=1"], "unknown option 'aa'.* Options of merge: a, b"),
    ],
)
def test_words_are_read_by_one_function_in_all_commands(words, message):
    with pytest.raises(ValueError, match=message):
        query.read_words(words, ["a", "b"], " of merge")
    assert query.read_words(["a=x=y", "b=", "a=z"], ["a", "b"]) == {"a": "z", "b": ""}


def test_a_mistake_is_one_line_and_exit_code_2(defaults, capsys):
    assert query.command(print, defaults, ["y=1", "dataset=loan"]) == 2
    assert capsys.readouterr().err.splitlines() == ["error: unknown option 'y'. Options: dataset, x, title"]


@pytest.mark.parametrize("error", [ValueError("a"), FileNotFoundError("a")])
def test_what_a_user_can_mend_ends_without_a_traceback(defaults, capsys, error):
    def work(options):
        raise error

    assert query.command(work, defaults, ["dataset=loan"]) == 2
    assert capsys.readouterr().err == "error: a\n"


def test_an_option_that_is_a_mapping_holds_the_texts_as_typed(tmp_path):
    """YAML alone would read no as false, and 01004 as an octal number."""
    path = tmp_path / "some.yaml"
    path.write_text("dataset: ???\nvalues: {}\n")
    found = query.options(["dataset=lin", "values={a: no, zip: 01004, 'b c': 1.50, d: '$5 ${x}'}"], path)
    assert dict(found["values"]) == {"a": "no", "zip": "01004", "b c": "1.50", "d": "$5 ${x}"}
    assert dict(query.options(["dataset=lin"], path)["values"]) == {}
    for wrong in ("{a:1}", "[1, 2]", "a", "{a: [1]}", "{a"):
        with pytest.raises(ValueError, match="values="):
            query.options(["dataset=lin", f"values={wrong}"], path)


def test_gaps_that_are_known_where_one_is_not_are_named():
    made = {"fnr_gap": [None, None], "fnr_gap_by_sex": [0.1, None], "fnr_gap_rest": [0.2, 0.1], "fpr_gap_rest": [1, 1]}
    frame = pd.DataFrame({**made, "fnr_gap_by_sex_low": [0.0, 0.0], "fnr_gap_by_race": [None, None]}, dtype=float)
    said = query.of_the_rest(["fnr_gap"], frame)
    assert said == (
        "; fnr_gap_by_sex, by an attribute and fnr_gap_rest, of the groups that have rows enough, can be asked for"
    )
    assert query.of_the_rest(["accuracy_gap"], frame) == ""


def test_a_near_metric_is_no_end_of_an_interval():
    frame = pd.DataFrame({"accuracy": [0.1], "accuracy_low": [0.0]})
    with pytest.raises(ValueError, match="did you mean accuracy[?] "):
        query.find_column("acuracy", frame)
    with pytest.raises(ValueError, match="did you mean accuracy_low"):
        query.find_column("acuracy_low", frame)
