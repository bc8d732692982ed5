"""Which causal model a configuration means: how discrete columns are read."""

import pytest

from utils.scms.identity import choose_reading, read_settings, settle, upgrade


@pytest.mark.parametrize(
    ("discrete", "sampling", "meant"),
    [
        (None, "residuals", "posterior"),
        (None, "published", "anm"),
        ("anm", "residuals", "anm"),
        ("anm", "published", "anm"),
        ("threshold", "residuals", "threshold"),
    ],
)
def test_noise_is_drawn_but_under_the_published_noise(discrete, sampling, meant):
    assert choose_reading(discrete, sampling) == meant
    assert settle({"discrete": discrete, "sampling": sampling}) == {"discrete": meant, "sampling": sampling}


def test_an_option_without_that_setting_stays_as_it_is():
    assert settle({"sampling": "noise"}) == {"sampling": "noise"}


def test_the_published_noise_is_not_that_of_a_threshold():
    with pytest.raises(ValueError, match=r"scm.sampling=published .* use scm.discrete=anm"):
        settle({"discrete": "threshold", "sampling": "published"})


@pytest.mark.parametrize("word", ["logistic", True, 3])
def test_another_reading_is_refused(word):
    with pytest.raises(ValueError, match="choose posterior, threshold or anm, or null"):
        settle({"discrete": word, "sampling": "residuals"})


LEARNED = {"_target_": "utils.scms.learned.learned", "keep": "best", "discrete": "posterior", "nodes": {}, "draws": 16}


def test_additive_noise_is_what_all_had_and_flows_are_another_model():
    assert read_settings(LEARNED | {"noise": "additive"}, {}) == read_settings(LEARNED, {})
    assert upgrade(LEARNED) == LEARNED | {"noise": "additive"}
    flows = {"scm_flow_income": 1.0}
    assert read_settings(LEARNED | {"noise": "flow"}, flows)["noise"] == "flow"
    assert read_settings(LEARNED | {"nodes": {"income": "flow"}}, flows)["nodes"] == {"income": "flow"}
    assert "nodes" not in read_settings(LEARNED | {"nodes": {"income": "additive"}}, {})


def test_mechanisms_of_names_that_hydra_cannot_spell_are_a_text():
    assert settle({"nodes": '{"Ersparnis größe": "flow"}'})["nodes"] == {"Ersparnis größe": "flow"}
    with pytest.raises(ValueError, match="as a mapping"):
        settle({"nodes": "flow"})
