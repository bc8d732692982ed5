"""Accuracy as a function of the radius: closed form, nesting, keys."""

from functools import partial

import pytest

from utils.attacks.pgd import pgd
from utils.metrics.curve import curve
from utils.threats import pixels
from utils.views.row_parts import sample
from utils.words.numbers import read_radius

PGD = partial(pgd, threat=partial(pixels, norm="linf"), steps=10, rel_step=0.25, restarts=1, random_start=False)


@pytest.fixture
def task(linear_task, image_context):
    model, batch = linear_task()
    return model, batch, image_context(batch)


def draw(task, factors, *, radius=0.02, rows=None, attack=PGD):
    settings = {"rows": rows, "intervals": 0, "level": 0.95}
    found = curve(*task, radius=read_radius(radius), factors=factors, attack=attack, name="pgd", **settings)
    return {key: value for key, value in found.items() if not key.endswith(("_low", "_high"))}


def test_on_two_classes_of_a_linear_model_it_is_the_dual_norm_at_every_radius(linear_task, image_context):
    model, batch = linear_task(classes=2)

    def logit(x):
        z = model(x)
        return z[..., 1:] - z[..., :1]

    found = draw((logit, batch, image_context(batch)), [0, 0.5, 2])
    expected = [float(model.kept(batch, radius).double().mean()) for radius in (0, 0.01, 0.04)]
    assert list(found.values()) == pytest.approx(expected)


def test_the_keys_are_multiples_of_the_radius_with_four_digits(task):
    found = draw(task, [1, 0.25, 0], radius="8/255")
    assert list(found) == ["robust_accuracy_pgd_0", "robust_accuracy_pgd_0.007843", "robust_accuracy_pgd_0.03137"]


def test_it_never_rises_even_under_an_attack_that_forgets(task):
    def forgetful(predict, rows, ctx):
        return rows.x if ctx.epsilon(rows, ctx)[0] > 0.03 else PGD(predict, rows, ctx)

    found = list(draw(task, [0, 1, 2], attack=forgetful).values())
    assert found[0] > found[1] == found[2]


def test_some_rows_start_at_the_plain_accuracy_of_those_rows(task):
    model, batch, ctx = task
    judged = sample(batch, 20, ctx)
    plain = float((model(judged.x / 255).argmax(1) == judged.y).double().mean())
    assert draw(task, [0], rows=20) == {"robust_accuracy_pgd_0": pytest.approx(plain)}


def test_a_negative_factor_is_refused(task):
    with pytest.raises(ValueError, match="factors of 0 or more"):
        draw(task, [1, -1])
