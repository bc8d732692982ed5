"""Values out of range are refused before anything is built, naming key, value and expectation."""

from copy import deepcopy

import pytest

from utils.command_line.checks import validate, validate_pixels

GOOD = {
    "seed": 0,
    "threads": 1,
    "existing": "skip",
    "watch": ["accuracy"],
    "fit_on": "valid",
    "operating_points": {"rates": ["fnr"], "permitted": [0, 0.1], "groups_min": 10, "intervals": 100, "level": 0.95},
    "trainer": {"epochs": 10, "batch_size": 100, "lr": 0.01, "weight_decay": 0.0},
    "objective": {"nominal": None},
    "epsilon": {"radius": "8/255", "evaluate": [0.05, "1/100"]},
    "regularizer": {"erm": {"weight": 1.0}},
}
NAN = float("nan")


def changed(key, value):
    params = deepcopy(GOOD)
    node = params
    *path, last = key.split(".")
    for part in path:
        node = node[part]
    node[last] = value
    return params


def test_values_in_range_pass():
    validate(GOOD)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 3),
        ("trainer.lr", 1),
        ("objective.nominal", 0),
        ("regularizer.erm.weight", 0),
        ("epsilon.radius", 0),
        ("existing", "replace"),
        ("fit_on", "train"),
        ("operating_points", None),
        ("operating_points.permitted", []),
        ("operating_points.intervals", 0),
    ],
)
def test_the_ends_of_a_range_pass(key, value):
    validate(changed(key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("seed", 1.5),
        ("seed", True),
        ("seed", None),
        ("threads", 0),
        ("existing", "keep"),
        ("fit_on", "test"),
        ("trainer.epochs", 0),
        ("trainer.epochs", 2.0),
        ("trainer.batch_size", 0),
        ("trainer.lr", 0),
        ("trainer.lr", -0.1),
        ("trainer.lr", "fast"),
        ("trainer.lr", NAN),
        ("trainer.lr", float("inf")),
        ("trainer.weight_decay", -1),
        ("objective.nominal", -1),
        ("objective.nominal", True),
        ("regularizer.erm.weight", -1),
        ("regularizer.erm.weight", NAN),
        ("regularizer.erm.weight", "heavy"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_key(key, value):
    with pytest.raises(ValueError, match=rf"^{key}=.*: expected ".replace(".", r"\.", key.count("."))):
        validate(changed(key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rates", []),
        ("rates", "fnr"),
        ("rates", ["fnrr"]),
        ("permitted", None),
        ("points", 20),
    ],
)
def test_operating_points_of_another_kind_are_refused(key, value):
    with pytest.raises(ValueError, match="^operating_points=.*: expected null, or rates, a list from fnr, fpr"):
        validate(changed(f"operating_points.{key}", value))


@pytest.mark.parametrize("radius", ["wide", -0.1, "nan", "1/0", None, 1e300, "1e7", "-1/2"])
def test_a_radius_that_is_none_is_refused(radius):
    with pytest.raises(ValueError, match=r"^epsilon\.radius=.*: expected a radius such as .* in \[0, 1e6\]"):
        validate(changed("epsilon.radius", radius))


@pytest.mark.parametrize("radii", [0.05, [], None, "0.05"])
def test_radii_of_the_evaluation_must_be_a_list(radii):
    with pytest.raises(ValueError, match=r"^epsilon\.evaluate=.*a list of radii"):
        validate(changed("epsilon.evaluate", radii))


def test_a_bad_radius_in_the_list_is_refused():
    with pytest.raises(ValueError, match=r"^epsilon\.evaluate=\[0\.05, -1\]: expected a list of radii"):
        validate(changed("epsilon.evaluate", [0.05, -1]))


def pixels(norm):
    return {"threat": {"_target_": "utils.threats.pixels", "norm": norm}}


def of_faces(**changes):
    """Ensembles in two norms, the first at the radii of ``epsilon``."""
    metrics = {"linf": pixels("linf"), "l1": pixels("l1")}
    epsilon = {"radius": 0.01, "evaluate": [0.01]}
    metrics["linf"]["radii"] = epsilon["evaluate"] = changes.get("evaluate", [0.01])
    metrics["l1"]["radii"] = changes.get("l1", [20])
    return {"attack": pixels("linf"), "evaluation": {"metrics": metrics}, "epsilon": epsilon}


def test_each_norm_has_its_own_largest_distance():
    """Of 3 x 4 pixels in [0, 1]: 1 under linf, 12 under l1."""
    validate_pixels(of_faces(l1=[12]), (1, 3, 4))


def test_a_radius_beyond_linf_is_refused_though_another_norm_reaches_it():
    with pytest.raises(ValueError, match=r"epsilon.evaluate=8: .* no linf distance is above 1; .* write 8/255"):
        validate_pixels(of_faces(evaluate=[8], l1=[12]), (1, 3, 4))


@pytest.mark.parametrize(("radius", "phrase"), [(13, "no l1 distance is above 12"), ("x", "is not a number")])
def test_radii_of_a_metric_alone_are_refused_by_their_key(radius, phrase):
    with pytest.raises(ValueError, match=rf"evaluation.metrics.l1.radii.*{phrase}"):
        validate_pixels(of_faces(l1=[radius]), (1, 3, 4))
