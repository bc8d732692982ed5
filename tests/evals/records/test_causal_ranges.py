"""Ranges over causal models, and choices among models under them, in words."""

import pytest

from evals.records.causal_ranges import choices, range_of, ranges, remarks, rows, sentence, table

PARAMS = {"scm": {"_target_": "utils.scms.linear.linear"}, "dataset": {"_target_": "utils.datasets.table.table"}}


def evaluation(figures, created="2026-01-01", first="f0", **more):
    """A sensitivity of ``uai_0.05`` by the name of a causal model; fingerprints are f0, f1, ..."""
    models = [
        {"name": name, "fingerprint": f"f{i}", "metrics": {"uai_0.05": value, "uai_ar_0.05": 0.5, "uai_any_0.05": 0.9}}
        for i, (name, value) in enumerate(figures.items())
    ]
    return {
        "created": created,
        "causal": {"fingerprint": first},
        "sensitivity": {"models": models, **more},
        "metrics": {},
    }


def record(figures, doc_id=3, **more):
    return {"doc_id": doc_id, "params": PARAMS, "causal": {"fingerprint": "f0", "sensitive": None}} | {
        "evaluations": {"s": evaluation(figures, **more)}
    }


FIGURES = {"as trained (linear)": 0.12, "no graph": 0.06, "without age -> pay": 0.39}


def test_the_range_is_told_with_who_gives_its_ends_and_the_figure_as_trained():
    (own,) = ranges(record(FIGURES))
    assert sentence(own) == (
        "unfair area at radius 0.05: 0.060 (no graph) to 0.390 (without age -> pay), depending on the causal model "
        "(3 judged); as trained 0.120"
    )
    refits = {"number": 20, "metrics": {"uai_0.05_low": 0.1, "uai_0.05_high": 0.15}}
    held = record(FIGURES, refits=refits, individuals=500, left_out=2)
    (own,) = ranges(held)
    assert sentence(own).endswith("; as trained 0.120, over 20 refits of it 0.100 to 0.150")
    assert remarks([own, own._replace(key="uai_cf")]) == [
        "judged on 500 individuals",
        "2 graphs with one arrow changed left out (alternatives.most), those far from the sensitive attributes first",
    ]
    assert table([own]) == (
        ["causal model", "uai_0.05"],
        [*([name, f"{value:.4f}"] for name, value in FIGURES.items()), ["20 refits of the first", "[0.100, 0.150]"]],
    )
    assert range_of(held, "uai_0.05") == "0.060 to 0.390"
    assert list(rows(own))[-1] == ("20 refits of the first", "", "[0.100, 0.150]")  # filed before there were means
    assert range_of(held, "uai_cf") == ""
    assert range_of({"doc_id": 1}, "uai_0.05") == ""


def test_refits_alone_are_told_by_their_mean_and_are_no_range():
    refits = {"number": 20, "metrics": {"uai_0.05": 0.1256, "uai_0.05_low": 0.1, "uai_0.05_high": 0.15}}
    held = record({"as trained (linear)": 0.12}, refits=refits, individuals=500)
    (own,) = ranges(held)
    assert sentence(own) == "unfair area at radius 0.05: as trained 0.120, over 20 refits of it 0.126 (0.100 to 0.150)"
    assert list(rows(own))[-1] == ("20 refits of the first", "0.126", "[0.100, 0.150]")
    assert table([own])[1] == [["as trained (linear)", "0.1200"], ["20 refits of the first", "0.126 [0.100, 0.150]"]]
    assert range_of(held, "uai_0.05") == ""
    assert list(choices([held, {**held, "doc_id": 4}], "s")) == []


@pytest.mark.parametrize(
    ("regularizer", "first", "mean", "said"),
    [
        ("causal_al", "f0", 0.13, True),
        ("causal_al", "f0", 0.11, False),  # refits find less
        ("causal_al", "f0", None, False),  # filed before there were means
        ("causal_al", "f9", 0.13, False),  # equations that it was not trained against
        ("erm", "f0", 0.13, False),
    ],
)
def test_of_a_model_trained_against_these_equations_the_mean_over_refits_is_said_to_be_nearer(
    regularizer, first, mean, said
):
    over = {"uai_0.05_low": 0.1, "uai_0.05_high": 0.15} | ({} if mean is None else {"uai_0.05": mean})
    held = record(FIGURES, refits={"number": 20, "metrics": over}, first=first)
    term = {"weight": 1.0, "ascent": {"threat": {"_target_": "utils.threats.causal"}}}
    held["params"] = PARAMS | {"regularizer": {regularizer: {} if regularizer == "erm" else term}}
    (own,) = ranges(held)
    assert ("on average the mean over refits is nearer" in sentence(own)) == said


def test_refits_alone_do_not_hide_a_survey_which_takes_them_where_it_has_none():
    refits = {"number": 20, "metrics": {"uai_0.05": 0.1256, "uai_0.05_low": 0.1, "uai_0.05_high": 0.15}}
    alone = evaluation({"as trained (linear)": 0.13}, created="2026-03-01", refits=refits)
    held = record(FIGURES)
    held["evaluations"]["refits@0.05"] = alone
    (own,) = ranges(held)
    assert ([of.model for of in own.figures], own.refits.mean) == (list(FIGURES), 0.1256)
    assert range_of(held, "uai_0.05") == "0.060 to 0.390"
    other = record(FIGURES, refits={**refits, "number": 5})
    other["evaluations"]["refits@0.05"] = alone
    assert ranges(other)[0].refits.number == 5


def test_a_causal_model_whose_radii_are_in_other_units_is_left_out_of_the_range_and_named():
    held = record(FIGURES, individuals=500)
    del held["evaluations"]["s"]["sensitivity"]["models"][2]["metrics"]["uai_0.05"]
    (own,) = ranges(held)
    assert (str(own), own.apart) == ("0.060 to 0.120", ["without age -> pay"])
    both = remarks([own, own._replace(key="uai_cf", apart=()), own._replace(key="uai_0.1")])
    assert both[0] == "judged on 500 individuals"
    assert both[1].startswith("uai_0.05 and uai_0.1 not under without age -> pay, whose radii are in other units")
    assert len(both) == 2


def test_the_last_one_is_told_and_before_it_one_that_begins_with_the_causal_model_of_the_record():
    held = record(FIGURES)
    held["evaluations"] |= {
        "later": evaluation({"as trained (linear)": 0.2, "no graph": 0.1}, created="2026-02-01"),
        "other": evaluation({"as given (learned)": 0.3}, created="2026-03-01", first="f9"),
        "pgd": {"metrics": {"accuracy": 1.0}},
        "bare": {"sensitivity": 1.0},
    }
    (own,) = ranges(held)
    assert own.figures[0].value == 0.2
    assert ranges(held, "other")[0].figures[0].value == 0.3


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (
            [{}],
            "the choice between 3 and 7 (3 by its lower unfair area at radius 0.05) holds under all 3 causal models",
        ),
        (
            [{"no graph": 0.01}],
            "the choice between 3 and 7 (3 by its lower unfair area at radius 0.05) turns under 1 of 3 causal models: "
            "no graph (7: 0.010, 3: 0.060)",
        ),
        ([{"no graph": 0.06}], "holds under all 3 causal models"),  # a tie turns nothing
        (
            [{"as trained (linear)": 0.1}],
            "(7 by its lower unfair area at radius 0.05) turns under 2 of 3 causal models",
        ),
        ([{}, {"no graph": 0.02}], "the choice between 3, 7 and 8 (3 by its lower unfair area at radius 0.05) turns"),
    ],
)
def test_a_choice_holds_or_turns(others, said):
    higher = {name: value + 0.1 for name, value in FIGURES.items()}
    records = [record(FIGURES), *(record(higher | of, doc_id=7 + i) for i, of in enumerate(others))]
    (found,) = choices(records, "s")
    assert said in found


def test_models_that_share_no_causal_model_are_not_compared():
    other = record(FIGURES, doc_id=7)
    for model in other["evaluations"]["s"]["sensitivity"]["models"]:
        model["fingerprint"] += "x"
    (found,) = choices([record(FIGURES), other], "s")
    assert found.startswith("records 3 and 7 share no causal model")
    assert list(choices([record(FIGURES)], "s")) == []
