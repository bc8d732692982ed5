"""The table beside the published figures; means and deviations by hand."""

import csv
import io
import json

import pandas as pd
import pytest

from evals import table
from evals.records import query, rho
from tests.evals.records.test_query import record

REFERENCE = pd.DataFrame(
    {
        "dataset": ["loan", "loan", "adult"],
        "regularizer": ["erm", "ross", "erm"],
        "accuracy": [0.7, 0.6, 0.5],
        "mcc": [0.3, 0.2, 0.1],
        "accuracy_sd": [0.02, 0.01, 0.01],
        "mcc_sd": [None, 0.1, 0.1],
        "n": [97, 97, 97],
    }
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_of(doc_id, accuracy, regularizer="erm", experiment="small", **changes):
    made = record(doc_id, regularizer, metrics={"accuracy": accuracy}, **changes)
    return made | {"params": made["params"] | {"experiment": experiment}}


RUNS = [run_of(1, 0.72, seed=0), run_of(2, 0.76, seed=1)]


def write(folder, dataset, records):
    stored = {str(r["doc_id"]): {k: v for k, v in r.items() if k != "doc_id"} for r in records}
    (folder / f"{dataset}.json").write_text(json.dumps({"_default": stored}))


def run(*words):
    return query.command(table.table, table.OPTIONS, words)


def test_the_deviation_is_in_published_standard_deviations():
    cell = table.build(RUNS, None, REFERENCE, "source").rows["loan", "erm"][0]
    assert (cell.mean, cell.n, cell.published, cell.deviation) == pytest.approx((0.74, 2, 0.7, 2.0))


def test_without_a_published_deviation_there_is_no_distance():
    text = table.markdown(table.build([run_of(1, 0.72)], None, REFERENCE, "source"))
    assert "| loan | erm | 1 | 0.720 (0.700, +1.0) | – (0.300) |" in text


def test_published_rows_that_did_not_run_are_missing():
    built = table.build(RUNS, ["accuracy"], REFERENCE, "source")
    assert list(built.rows) == [("loan", "erm"), ("loan", "ross")]  # no run on adult, hence no adult rows
    assert built.missing == 1
    assert "–: 1 of 2 figures are missing" in table.markdown(built)


def test_several_settings_of_one_regularizer_are_rows_of_their_own():
    runs = [run_of(1, 0.7, "llr", radius=0.1), run_of(2, 0.8, "llr", radius=0.2)]
    built = table.build(runs, ["accuracy"], REFERENCE, "source")
    assert [name for _, name in built.rows if name != "erm"] == ["llr (radius 0.1)", "llr (radius 0.2)", "ross"]


def test_settings_of_equal_label_are_told_apart_by_group():
    runs = [run_of(1, 0.7, group_id="aaaa"), run_of(2, 0.8, group_id="bbbb")]
    assert [name for _, name in table.build(runs, ["accuracy"], REFERENCE.head(0), "").rows] == ["erm", "erm [bbbb]"]


def test_settings_stand_in_the_order_of_their_numbers():
    runs = [run_of(i, 0.7, radius=radius) for i, radius in enumerate((10.0, 2.0, 0.5), start=1)]
    rows = [name for _, name in table.build(runs, None, REFERENCE[:0], "source").rows]
    assert rows == ["erm (radius 0.5)", "erm (radius 2)", "erm (radius 10)"]


def test_csv_holds_every_digit_and_empty_fields_for_what_is_missing():
    lines = list(csv.DictReader(io.StringIO(table.to_csv(table.build(RUNS, None, REFERENCE, "source")))))
    assert float(lines[0]["deviation"]) == pytest.approx(2.0, abs=1e-12)
    assert (lines[1]["metric"], lines[1]["mean"], lines[1]["n"], lines[1]["published"]) == ("mcc", "", "0", "0.3")


def test_rows_without_runs_have_no_seeds():
    text = table.markdown(table.build(RUNS, ["accuracy"], REFERENCE, "source"))
    assert "| loan | ross | – | – (0.600) |" in text


def test_seeds_without_a_metric_make_the_number_of_seeds_a_range():
    runs = [record(1, seed=0, metrics={"accuracy": 0.7, "mcc": 0.3}), record(2, seed=1, metrics={"accuracy": 0.7})]
    assert "| loan | erm | 1–2 | 0.700 ± 0.000 | 0.300 |" in table.markdown(
        table.build(runs, None, REFERENCE.head(1), "")
    )


def test_csv_says_over_how_many_seeds_either_mean_is():
    lines = list(csv.DictReader(io.StringIO(table.to_csv(table.build(RUNS, None, REFERENCE, "source")))))
    assert (lines[0]["n"], lines[0]["published_n"]) == ("2", "97")


def latex_rows(text):
    """Fields of the lines of a tabular, without comments and rules."""
    lines = [line.split("%")[0] if line.startswith("%") else line for line in text.splitlines()]
    return [line.removesuffix(r" \\").split(" & ") for line in lines if line.endswith(r"\\")]


def test_latex_shows_mean_and_deviation_of_both_sides():
    rows = latex_rows(table.latex(table.build(RUNS, ["accuracy"], REFERENCE, "source")))
    assert rows[0] == ["", "", "", r"\multicolumn{2}{c}{accuracy}"]
    assert rows[2] == ["loan", "erm", "2", r"$0.740 \pm 0.028$", r"$0.700 \pm 0.020$"]
    assert rows[3] == ["", "ross", "--", "--", r"$0.600 \pm 0.010$"]


def test_latex_lines_fill_the_columns_that_the_tabular_declares():
    text = table.latex(table.build(RUNS, None, REFERENCE, "source"))
    declared = len(text.split(r"\begin{tabular}{")[1].partition("}")[0])
    above, *rows = latex_rows(text)
    assert {len(row) for row in rows} == {declared}
    assert len(above) + sum(field.startswith(r"\multicolumn{2}") for field in above) == declared
    assert text.count(r"\cmidrule(lr){") == 2
    assert rf"\cmidrule(lr){{{declared - 1}-{declared}}}" in text


def test_latex_without_published_figures_has_one_column_a_metric():
    text = table.latex(table.build([run_of(1, 0.7, "causal_adv")], ["accuracy"], REFERENCE.head(0), ""))
    assert r"\begin{tabular}{llrc}" in text
    assert latex_rows(text)[1] == ["loan", r"causal\_adv", "1", "$0.700$"]


def test_latex_prints_every_sign_that_it_would_take_for_a_command():
    """The ten special characters of LaTeX, and < and >, which its old font encoding prints as others."""
    text = table.latex(table.build([run_of(1, 0.7, r"a\b{c}$d&e#f_g%h~i^j<k>l")], ["accuracy"], REFERENCE.head(0), ""))
    escaped = r"a\textbackslash{}b\{c\}\$d\&e\#f\_g\%h\textasciitilde{}i\textasciicircum{}j\textless{}k\textgreater{}l"
    assert escaped in text


def test_latex_names_a_data_set_once_and_leaves_a_space_before_the_next():
    runs = [run_of(1, 0.7), run_of(2, 0.6, "llr"), run_of(1, 0.8, dataset="adult")]
    lines = table.latex(table.build(runs, ["accuracy"], REFERENCE.head(0), "")).splitlines()
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert [line.partition(" &")[0] for line in body] == ["adult", r"\addlinespace", "loan", ""]


def test_an_experiment_is_collected_over_all_databases_by_name(folder, capsys):
    write(folder, "loan", RUNS)
    write(folder, "adult", [run_of(1, 0.8, dataset="adult"), run_of(2, 0.1, dataset="adult", experiment="other")])
    write(folder, "example", RUNS)  # a copy of loan's records
    assert run("experiment=small", "published=null", "metrics=accuracy") == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| adult", "| loan"))]
    assert rows == ["| adult | erm | 1 | 0.800 |", "| loan | erm | 2 | 0.740 ± 0.028 |"]


def test_a_data_set_alone_has_no_published_column(folder, capsys):
    write(folder, "loan", RUNS)
    assert run("dataset=loan") == 0
    assert "| loan | erm | 2 | 0.740 ± 0.028 |" in capsys.readouterr().out


def test_a_file_is_written_and_named(folder, capsys):
    write(folder, "loan", RUNS)
    assert run("dataset=loan", "format=csv", "out=new/table.csv") == 0
    assert (folder / "new" / "table.csv").read_text().startswith("dataset,regularizer,metric,mean")
    assert capsys.readouterr().out == "new/table.csv: 1 row, 0 figures missing\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "experiment=..., dataset=... or both"),
        (["experiment=smal"], "did you mean small"),
        (["dataset=loan", "metrics=acuracy"], "did you mean accuracy"),
        (["dataset=loan", "format=html"], "markdown, csv, latex"),
        (["experiment=small", "published=capfy"], "did you mean capify"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(folder, capsys, words, message):
    write(folder, "loan", RUNS)
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_published_table_has_our_names():
    figures, source = table.read_published("capify")
    assert "arXiv 2308.08938" in source
    kinds = {"erm", "adversarial", "causal_al", "capify", "llr", "ross", "sensei"}
    assert set(figures["regularizer"]) == kinds
    erm = figures.set_index(["dataset", "regularizer"]).loc["loan", "erm"]
    assert (erm["accuracy"], erm["uai_0.05"], erm["uai_ar_0.01_sd"]) == (0.8475, 0.3539, 0.0333)


def robust(doc_id, regularizer, seed, average, worst, **changes):
    measured = {"robust_accuracy": average, "robust_accuracy_worst_class": worst}
    own = {"metrics": measured, "dataset": "digits", "seed": seed} | changes
    made = record(doc_id, regularizer, **own)
    return made | {"params": made["params"] | {"experiment": "dafa_small"}}


FAIR = [
    robust(1, "trades", 0, 0.50, 0.10),
    robust(2, "trades", 1, 0.54, 0.20),
    robust(3, "trades+dafa", 0, 0.49, 0.24),
    robust(4, "trades+dafa", 1, 0.51, 0.30),
]
KEYS = ["robust_accuracy", "robust_accuracy_worst_class"]
COMPARED = [*KEYS, "gain_robust_accuracy", "gain_robust_accuracy_worst_class", "rho_robust_accuracy"]
NOTHING = REFERENCE.head(0)


def test_gains_are_means_and_deviations_of_the_differences_seed_by_seed():
    """Worst class +.14 and +.10, average -.01 and -.03; by hand."""
    built = table.build(FAIR, KEYS, NOTHING, "", base=["trades"])
    assert built.metrics == COMPARED
    average, worst, _ = built.rows["digits", "trades+dafa"][2:]
    assert (average.mean, average.sd, average.n) == pytest.approx((-0.02, 0.02 / 2**0.5, 2))
    assert (worst.mean, worst.sd, worst.n) == pytest.approx((0.12, 0.04 / 2**0.5, 2))


def test_rho_is_of_the_means():
    """(.27 - .15) / .15 + (.50 - .52) / .52."""
    cell = table.build(FAIR, KEYS, NOTHING, "", base=["trades"]).rows["digits", "trades+dafa"][-1]
    assert cell.mean == pytest.approx(0.12 / 0.15 - 0.02 / 0.52)


def test_only_seeds_that_both_ran_are_compared():
    runs = [*FAIR, robust(5, "trades+dafa", 2, 0.9, 0.9)]
    average, worst, both = table.build(runs, KEYS, NOTHING, "", base=["trades"]).rows["digits", "trades+dafa"][2:]
    assert (average.n, worst.n, both.n) == (2, 2, 2)
    assert (worst.mean, both.mean) == pytest.approx((0.12, 0.12 / 0.15 - 0.02 / 0.52))


def test_an_undefined_rho_is_a_dash_beside_its_gains_and_not_missing():
    runs = [robust(1, "trades", 0, 0.5, 0.0), robust(2, "trades+dafa", 0, 0.4, 0.1)]
    built = table.build(runs, KEYS, NOTHING, "", base=["trades"])
    assert "| digits | trades+dafa | 1 | 0.400 | 0.100 | -0.100 | +0.100 | – |" in table.markdown(built)
    assert built.missing == 0


def test_the_base_itself_is_not_compared():
    text = table.markdown(table.build(FAIR, KEYS, NOTHING, "", base=["trades"]))
    assert "| digits | trades | 2 | 0.520 ± 0.028 | 0.150 ± 0.071 | – | – | – |" in text


def test_a_base_with_several_settings_is_named_below_the_table():
    runs = [*FAIR, robust(5, "trades", 0, 0.5, 0.1, group_id="other")]
    built = table.build(runs, KEYS, NOTHING, "", base=["trades"])
    assert "trades ran with several settings" in table.markdown(built)
    assert [cell.n for cell in built.rows["digits", "trades+dafa"][2:]] == [1, 1, 1]  # seed 1 has one base


def test_where_chooses_the_setting_of_the_base(folder, capsys):
    write(folder, "digits", [*FAIR, robust(5, "trades", 0, 0.9, 0.9, group_id="other")])
    assert run("dataset=digits", "where=robust_accuracy<.8", "base=trades", f"metrics={','.join(KEYS)}") == 0
    out = capsys.readouterr().out
    assert "| -0.020 ± 0.014 | +0.120 ± 0.028 | +0.762 |" in out
    assert "several settings" not in out


def test_a_comparison_without_any_base_is_left_out_unless_it_is_asked_for():
    alone = [run for run in FAIR if run["doc_id"] < 3]
    figures, source = table.read_published("dafa")
    assert table.build(alone, None, figures.head(0), source).metrics == KEYS
    assert table.build(alone, [*KEYS, "rho_robust_accuracy"], figures.head(0), source).metrics == COMPARED


def test_an_experiment_stands_beside_the_published_table_of_its_name(folder, capsys):
    write(folder, "digits", FAIR)
    assert run("experiment=dafa_small", "others=cifar10") == 0
    lines = capsys.readouterr().out.splitlines()
    figures, _ = table.read_published("dafa")
    assert lines[0].strip("| ").split(" | ")[3:] == rho.columns(list(figures.columns[2:-1]), every_pair=False)
    assert lines[3].startswith("| digits | trades+dafa | 2 | – | – | 0.500 ± 0.014 |")
    assert [line.split(" | ")[1] for line in lines if "cifar10" in line] == [
        *("trades", "trades+cfa", "trades+dafa", "trades+frl", "trades+wat")
    ]


def test_published_gains_follow_from_the_published_averages(folder, capsys):
    """DAFA on CIFAR-10: 30.53 - 21.31 and 49.05 - 49.80 points; rho as printed, .42."""
    write(folder, "digits", FAIR)
    assert run("experiment=dafa_small", "others=cifar10", "format=csv") == 0
    lines = csv.DictReader(io.StringIO(capsys.readouterr().out))
    found = {
        x["metric"]: x["published"] for x in lines if (x["dataset"], x["regularizer"]) == ("cifar10", "trades+dafa")
    }
    assert float(found["gain_robust_accuracy_worst_class"]) == pytest.approx(0.0922)
    assert float(found["gain_robust_accuracy"]) == pytest.approx(-0.0075)
    assert float(found["rho_robust_accuracy"]) == 0.42


def test_rows_of_other_data_sets_are_not_missing():
    figures, source = table.read_published("dafa")
    built = table.build(FAIR, KEYS, figures, source, others=["stl10"])
    assert ("stl10", "trades+dafa") in built.rows
    assert built.missing == 0


def test_latex_prints_the_sign_of_a_gain():
    rows = latex_rows(table.latex(table.build(FAIR, KEYS, NOTHING, "", base=["trades"])))
    assert rows[2][-2:] == [r"$+0.120 \pm 0.028$", "$+0.762$"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["base=trade"], "did you mean trades"),
        (["others=cifar"], "did you mean cifar10"),
        (["where=robust_accuracy>2"], "leaves none of the 4 runs"),
        (["metrics=rho_mcc"], "rho is of an average"),
        (["metrics=gain_robust_acuracy"], "did you mean robust_accuracy"),
    ],
)
def test_a_wrong_comparison_is_one_line_and_exit_code_2(folder, capsys, words, message):
    write(folder, "digits", FAIR)
    assert run("experiment=dafa_small", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_rows_of_several_sources_of_data_name_theirs():
    runs = [run_of(1, 0.7, group_id="aaaa"), run_of(2, 0.8, group_id="bbbb")]
    for own, fingerprint in zip(runs, ("1f0c9a2b77", "5e0d0a1c88"), strict=True):
        own["params"]["dataset"] = {"_target_": "utils.datasets.table.table", "path": "people.yaml"}
        own["fingerprint"] = fingerprint
    rows = [name for _, name in table.build(runs, ["accuracy"], REFERENCE.head(0), "").rows]
    assert rows == ["erm on loan-1f0c9a2b", "erm on loan-5e0d0a1c"]
    assert [name for _, name in table.build(runs[:1], ["accuracy"], REFERENCE.head(0), "").rows] == ["erm"]
