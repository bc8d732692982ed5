"""Pictures of hand-made records, and of a small model that is trained here."""

import json

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from evals import pictures
from evals.plots import class_drawings, fooled
from evals.records import query
from tests.commands import command, house
from tests.evals.records.test_query import record

NAMES = ["cat", "dog", "frog"]


def model(doc_id, regularizer="trades", seed=0, *, clean=(0.9, 0.8, 0.7), robust=(0.6, 0.2, 0.4), **changes):
    figures = {"accuracy": 0.8, "worst_class_accuracy": min(clean), "robust_accuracy_8/255": float(np.mean(robust))}
    figures |= {"robust_accuracy_worst_class_8/255": min(robust)}
    figures |= {f"accuracy_class_{i}": share for i, share in enumerate(clean)}
    figures |= {f"robust_accuracy_class_{i}_8/255": share for i, share in enumerate(robust)}
    figures |= {"robust_accuracy_pgd_0": 0.8, "robust_accuracy_pgd_0.01569": 0.6, "robust_accuracy_pgd_0.03137": 0.45}
    made = record(doc_id, regularizer, seed=seed, radius="8/255", dataset="pets", metrics=figures)
    made["params"] |= {"evaluation": {"norm": "linf"}}
    return made | {"preprocessing": {"class_names": NAMES, "shape": [3, 8, 8]}} | changes


MODELS = [
    model(1, seed=0, robust=(0.6, 0.2, 0.4)),
    model(2, seed=1, robust=(0.6, 0.0, 0.4)),
    model(3, "trades+dafa", robust=(0.5, 0.3, 0.35), clean=(0.5, 0.8, 0.7)),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, records, dataset="pets"):
    stored = {str(r["doc_id"]): {k: v for k, v in r.items() if k != "doc_id"} for r in records}
    (folder / f"{dataset}.json").write_text(json.dumps({"_default": stored}))


def run(*words):
    return query.command(pictures.pictures, pictures.OPTIONS, ["dataset=pets", *words])


def picture(kind, *words, records=MODELS):
    options = query.options(["dataset=pets", f"kind={kind}", *words], pictures.OPTIONS)
    return pictures.PICTURES[kind](pictures.select_records(records, options), options)


# --- accuracy of each class ------------------------------------------------------------------------------------


def bars(figure):
    """Heights of the bars, (kinds, clean and robust, classes)."""
    (axes,) = figure.axes
    return np.array([bar.get_height() for bar in axes.patches]).reshape(-1, 2, len(axes.get_xticklabels()))


def test_bars_are_means_over_the_seeds_of_a_setting():
    heights = bars(picture("classes").figure)
    assert heights[0] == pytest.approx(np.array([[0.9, 0.8, 0.7], [0.6, 0.1, 0.4]]))
    assert heights[1] == pytest.approx(np.array([[0.5, 0.8, 0.7], [0.5, 0.3, 0.35]]))


def test_whiskers_are_one_standard_deviation_either_side():
    """Dog under attack: .2 and .0, so .1 with a standard deviation of .2 / sqrt(2)."""
    (axes,) = picture("classes", "where=regularizer==trades").figure.axes
    ends = [segment for container in axes.containers if hasattr(container, "has_yerr") for segment in container[2]]
    dog = ends[1].get_segments()[1]
    assert dog[:, 1] == pytest.approx([0.1 - 0.1 * 2**0.5, 0.1 + 0.1 * 2**0.5])


def test_records_that_are_named_are_drawn_one_by_one():
    heights = bars(picture("classes", "id=2,3").figure)
    assert heights[:, 1].tolist() == [[0.6, 0.0, 0.4], [0.5, 0.3, 0.35]]


def test_records_of_one_setting_are_told_apart_by_their_seeds():
    figure = picture("classes", "id=2,1,3").figure
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"trades, seed 0", "trades, seed 1", "trades+dafa"} <= set(words)


def test_the_worst_class_of_each_is_marked_clean_and_under_attack():
    """Of trades frog and dog, of trades+dafa cat and dog; bars of two kinds stand .21 aside of their class."""
    (axes,) = picture("classes").figure.axes
    marks = [
        (round(line.get_xdata()[0], 2), line.get_markerfacecolor()) for line in axes.lines if len(line.get_xdata()) == 1
    ]
    blue, red = drawings_colours()
    assert marks == [(0.79, blue), (1.79, "white"), (1.21, red), (0.21, "white")]


def drawings_colours():
    return [
        kind.colour for kind in pictures.kinds(MODELS, query.options(["dataset=a", "kind=classes"], pictures.OPTIONS))
    ]


def single(**changes):
    made = model(1, clean=(0.9, 0.2, 0.7), robust=(0.6, 0.4, 0.5))
    ends = {f"accuracy_class_{i}_{end}": 0.1 * i + at for i in range(3) for end, at in (("low", 0.0), ("high", 0.95))}
    return made | {"metrics": made["metrics"] | ends | changes}


def test_a_single_run_has_the_intervals_that_its_record_holds():
    figure = picture("classes", records=[single()]).figure
    (axes,) = figure.axes
    (whiskers,) = [c for c in axes.containers if hasattr(c, "has_yerr")]
    ends = np.array([segment[:, 1] for segment in whiskers[2][0].get_segments()])
    assert ends == pytest.approx(np.array([[0.0, 0.95], [0.1, 1.05], [0.2, 1.15]]))
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "one run: interval over test rows" in words
    assert "mean ± sd" not in words


def test_a_class_without_attacked_rows_has_a_cross_and_no_bar():
    figure = picture("classes", records=[single(**{"robust_accuracy_class_1_8/255": None})]).figure
    (axes,) = figure.axes
    crosses = [line.get_xdata() for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [x.tolist() for x in crosses] == [[1.0]]
    assert np.isnan(bars(figure)[0, 1, 1])
    assert "no row attacked" in [text.get_text() for text in figure.legends[0].get_texts()]
    every = picture("classes", records=[single()]).figure
    assert "no row attacked" not in [text.get_text() for text in every.legends[0].get_texts()]


def test_a_clean_bar_shows_beside_a_higher_one_under_attack():
    (axes,) = picture("classes", records=[single()]).figure.axes
    clean, robust = axes.patches[1], axes.patches[4]  # of dog, .2 and .4
    assert (clean.get_height(), robust.get_height()) == (0.2, 0.4)
    assert clean.get_x() < robust.get_x()
    assert clean.get_x() + clean.get_width() > robust.get_x() + robust.get_width()


def test_the_worst_class_of_several_seeds_is_the_mean_of_each_seed_s_lowest():
    """Dog .2 and cat .1 are the lowest of a seed, .15 in the mean; the lowest class in the mean is dog with .35."""
    pair = [model(1, seed=0, robust=(0.9, 0.2, 0.9)), model(2, seed=1, robust=(0.1, 0.5, 0.9))]
    assert "0.1500 (lowest mean 0.3500, dog)" in picture("classes", records=pair).text
    words = {text.get_text() for text in picture("classes", records=pair).figure.legends[0].get_texts()}
    assert {"lowest mean, clean", "lowest mean, under attack"} <= words
    of_curve = {text.get_text() for text in picture("curve", records=pair).figure.legends[0].get_texts()}
    assert "lowest class of each seed, all attacks" in of_curve


def test_fewer_rows_are_named():
    shares = {"robust_accuracy_8/255": [4, 10]}
    few = single() | {"rows": {"test": 359}, "shares": shares}
    said = [text.get_text() for text in picture("classes", records=[few]).figure.legends[0].get_texts()]
    assert "under attack, ℓ∞ radius 8/255, 10 rows" in said


def test_classes_have_the_names_of_the_record():
    (axes,) = picture("classes").figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == NAMES


def test_many_classes_show_the_worst_of_every_kind():
    rng = np.random.default_rng(0)
    clean, robust = rng.uniform(0.5, 1, (2, 2, 60)) * [[[1], [1]], [[0.5], [0.5]]]
    both = [model(i + 1, "ab"[i], clean=tuple(clean[i]), robust=tuple(robust[i])) for i in range(2)]
    shown = picture("classes", records=both).figure.axes[0].get_xticklabels()
    worst = {str(row.argmin()) for row in (*clean, *robust)}
    assert len(shown) == pictures.MOST
    assert worst <= {label.get_text() for label in shown}


def test_a_later_evaluation_can_be_drawn():
    later = {**MODELS[0]["metrics"], "robust_accuracy_class_1_8/255": 0.05}
    records = [MODELS[0] | {"evaluations": {"strong": {"metrics": later}}}]
    assert bars(picture("classes", "evaluation=strong", records=records).figure)[0, 1, 1] == 0.05


def several(radius):
    made = model(1)
    figures = made["metrics"] | {f"robust_accuracy_class_{i}_4/255": 0.65 for i in range(3)}
    return [made | {"metrics": figures, "params": made["params"] | {"epsilon": {"radius": radius}}}]


def test_the_radius_is_that_of_the_training_unless_another_is_given():
    assert bars(picture("classes", records=several("8/255")).figure)[0, 1].tolist() == [0.6, 0.2, 0.4]
    assert bars(picture("classes", "epsilon=4/255", records=several("8/255")).figure)[0, 1].tolist() == [0.65] * 3


def test_several_radii_and_none_of_the_training_ask_for_one():
    with pytest.raises(ValueError, match=r"epsilon=\.\.\.: 4/255, 8/255"):
        picture("classes", records=several("1/255"))


def test_the_text_gives_the_same_figures():
    lines = picture("classes").text.splitlines()
    assert lines[1].split() == ["trades", "1,", "2", "0.8000", "0.7000", "frog", "0.3667", "0.1000", "dog"]


# --- accuracy by radius ----------------------------------------------------------------------------------------


def test_a_curve_goes_through_the_metrics():
    axes = picture("curve", "id=3").figure.axes[0]
    line, marks, worst = (np.array(line.get_data()).T for line in axes.lines[:3])
    assert line == pytest.approx(np.array([[0, 0.8], [0.01569, 0.6], [0.03137, 0.45]]))
    assert marks == pytest.approx(np.array([[8 / 255, 1.15 / 3]]))
    assert worst == pytest.approx(np.array([[0, 0.5], [8 / 255, 0.3]]))


def test_the_band_is_one_standard_deviation_either_side():
    """Clean .8 and .6: .7 with a standard deviation of .2 / sqrt(2)."""
    other = model(2, seed=1)
    other["metrics"]["robust_accuracy_pgd_0"] = 0.6
    drawn = picture("curve", records=[model(1), other]).figure.axes[0].collections
    (band,) = [collection for collection in drawn if isinstance(collection, PolyCollection)]
    clean = [y for x, y in band.get_paths()[0].vertices if x == 0]
    assert (min(clean), max(clean)) == pytest.approx((0.7 - 0.1 * 2**0.5, 0.7 + 0.1 * 2**0.5))


def test_without_a_curve_the_line_joins_what_all_attacks_leave():
    figures = {k: v for k, v in model(1)["metrics"].items() if "pgd" not in k}
    axes = picture("curve", records=[model(1) | {"metrics": figures}]).figure.axes[0]
    assert pytest.approx(np.array([[0, 0.8], [8 / 255, 0.4]])) == np.array(axes.lines[0].get_data()).T
    assert len(axes.lines) == 2  # and the worst class


@pytest.mark.parametrize(
    ("radius", "ticks"),
    [("8/255", ["0", "4/255", "8/255"]), (0.03137, ["0", "0.01569", "0.03137"])],
)
def test_radii_are_written_as_in_the_settings(radius, ticks):
    made = model(1)
    records = [made | {"params": made["params"] | {"epsilon": {"radius": radius}}}]
    axes = picture("curve", records=records).figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ticks


def test_the_axis_says_the_norm():
    assert picture("curve").figure.axes[0].get_xlabel() == "radius (ℓ∞, pixels in [0, 1])"


# --- confusions and examples -----------------------------------------------------------------------------------

TINY = (
    "dataset=digits",
    "device=cpu",
    "regularizer=erm",
    "model.widths=[4,8,8]",
    "trainer.epochs=4",
    "trainer.lr=0.05",
    "trainer.augment.padding=0",
    "trainer.augment.flip=false",
    "epsilon.evaluate=[0.1]",
    "~evaluation.metrics.ensemble.attacks.apgd_ce",
    "~evaluation.metrics.ensemble.attacks.apgd_t",
    "~evaluation.metrics.masking",
    "evaluation.metrics.ensemble.rows=20",
    "evaluation.metrics.curve.rows=20",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a small model of the digits as record 1."""
    with house(tmp_path_factory.mktemp("digits")) as folder:
        answer = command("train", *TINY)
        assert answer.code == 0, answer.err
        yield folder


def answers(radius, rows, attack=None):
    found = query.read("digits")[0]
    settings = {"attack": fooled.evasion(attack, found), "device": "cpu", "threads": 1}
    parts = list(fooled.attack_rows(found, radius=radius, rows=rows, **settings))
    return [np.concatenate([getattr(part, of) for part in parts]) for of in ("x", "moved", "y", "clean", "attacked")]


def test_all_test_rows_give_the_accuracy_of_the_record(trained):
    _, _, y, clean, _ = answers("0", 10_000)
    assert (clean == y).mean() == query.read("digits")[0]["metrics"]["accuracy"]


def test_an_attack_without_reach_changes_no_label(trained):
    x, moved, _, clean, attacked = answers("0", 30)
    assert np.array_equal(x, moved)
    assert np.array_equal(clean, attacked)


def test_the_attack_stays_in_its_ball_and_fools_the_model(trained):
    x, moved, y, clean, attacked = answers("0.1", 60)
    assert np.abs(moved - x).max() == pytest.approx(0.1, abs=1e-6)
    assert (attacked == y).mean() < (clean == y).mean() - 0.2


def test_fewer_rows_are_some_of_more(trained):
    few, many = answers("0", 20)[0], answers("0", 40)[0]
    assert {image.tobytes() for image in few} <= {image.tobytes() for image in many}
    assert len(few) == 20


def test_the_attack_is_in_the_norm_of_the_record():
    made = MODELS[0]
    judged = made | {"params": made["params"] | {"evaluation": {"norm": "l2"}}}
    assert [fooled.evasion(name, judged)["threat"]["norm"] for name in (None, "apgd")] == ["l2", "l2"]


@pytest.mark.parametrize(("name", "words"), [(None, "PGD-20"), ("apgd", "APGD-100"), ("fgsm", "FGSM")])
def test_an_attack_is_named_with_its_steps(name, words):
    assert fooled.in_words(fooled.evasion(name, MODELS[0])) == words


def test_a_confusion_matrix_counts_the_rows_of_each_class(trained):
    answer = command(
        "evals.pictures", "dataset=digits", "kind=confusion", "id=1", "rows=50", "epsilon=0.1", "out=a.svg"
    )
    assert answer.code == 0, answer.err
    _, _, y, clean, attacked = answers("0.1", 50)
    assert f"{(clean == y).mean():.4f}" in answer.out.splitlines()[1]
    assert f"{(attacked == y).mean():.4f}" in answer.out.splitlines()[2]


def test_shares_of_a_class_sum_to_one():
    counts = np.array([[3, 1], [2, 2]])
    panel = class_drawings.Confusion("clean", counts)
    assert panel.shares.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert panel.accuracy == 5 / 8


def test_examples_are_right_as_they_are_and_wrong_under_attack(trained):
    figure = picture("examples", "id=1", "epsilon=0.1", records=query.read("digits")).figure
    images = np.array([axes.images[0].get_array() for axes in figure.axes]).reshape(3, 8, 8, 8)
    labels = [axes.get_title().split("\n→ ") for axes in figure.axes[:8]]
    x, moved, y, clean, attacked = answers("0.1", 200)
    for original, adversarial, (true, label) in zip(*images[:2], labels, strict=True):
        (row,) = np.flatnonzero((x[:, 0] == original).all((1, 2)))
        assert np.array_equal(moved[row, 0], adversarial)
        assert (str(y[row]), str(clean[row]), str(attacked[row])) == (true, true, label)
        assert true != label
    assert len({true for true, _ in labels}) == 8  # each another class


def test_the_difference_is_magnified_about_grey(trained):
    """Of the largest, .1, five times: black and white."""
    figure = picture("examples", "id=1", "epsilon=0.1", records=query.read("digits")).figure
    original, adversarial, difference = (np.asarray(figure.axes[i].images[0].get_array()) for i in (0, 8, 16))
    assert difference == pytest.approx(0.5 + 5 * (adversarial - original), abs=1e-5)
    assert figure.axes[16].get_ylabel() == "difference\n× 5"


def test_too_few_examples_are_said(trained):
    answer = command("evals.pictures", "dataset=digits", "kind=examples", "id=1", "rows=6", "epsilon=0.1")
    assert "raise rows or epsilon for more" in answer.out
    assert answer.out.splitlines()[-1] == "figures/digits_examples_1.png"


def test_no_example_at_all_is_an_error(trained):
    answer = command("evals.pictures", "dataset=digits", "kind=examples", "id=1", "epsilon=0")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "fools the model on none of 200 images" in answer.err


# --- the command -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classes", "curve"])
def test_equal_data_give_equal_pictures(folder, kind):
    write(folder, MODELS)
    for name in "ab":
        assert run(f"kind={kind}", f"out={name}.svg,{name}.pdf,{name}.png") == 0
    for suffix in ("svg", "pdf", "png"):
        assert (folder / f"a.{suffix}").read_bytes() == (folder / f"b.{suffix}").read_bytes()


def test_the_default_file_names_data_kind_and_records(folder):
    write(folder, MODELS)
    assert run("kind=classes", "id=3,1") == 0
    assert [path.name for path in (folder / "figures").iterdir()] == ["pets_classes_3_1.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["kind=clases"], "did you mean classes"),
        (["kind=classes", "id=9"], "id=9: no finished record of dataset=pets has it; there is 1, 2, 3"),
        (["kind=classes", "id=a"], "expected numbers of records"),
        (["kind=classes", "epsilon=0.5"], "judged at 8/255"),
        (["kind=classes", "epsilon=x"], "x"),
        (["kind=classes", "where=accuracy>2"], "leaves none of the 3 runs"),
        (["kind=classes", "evaluation=stron"], "did you mean strong"),
        (["kind=curve", "epsilon=8/255"], "has no part in kind=curve"),
        (["kind=confusion"], "kind=confusion takes one record, such as id=1"),
        (["kind=confusion", "id=1,2"], "takes one record"),
        (["kind=confusion", "id=1", "rows=0"], "rows=0: expected a whole number in [1, 1000000]"),
        (["kind=confusion", "id=1", "attack=pgdd"], "did you mean pgd"),
        (["kind=classes", "out=a.jpg"], "ending in .png"),
        ([], "kind is required"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(folder, capsys, words, message):
    write(folder, [MODELS[0] | {"evaluations": {"strong": {"metrics": {}}}}, *MODELS[1:]])
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_more_kinds_than_colours_are_refused(folder):
    with pytest.raises(ValueError, match="8 kinds of models are too many"):
        picture("classes", records=[model(i, f"r{i}") for i in range(1, 9)])


def test_runs_without_accuracy_by_class_are_told_so():
    with pytest.raises(ValueError, match="no accuracy of each class under attack"):
        picture("classes", records=[record(1)])
