"""Only our own models and decisions may be named by a record; settings are checked by name."""

from functools import partial

import pytest

from utils.attacks.pgd import pgd
from utils.command_line.targets import check_arguments, check_settings, read_arguments, require_trusted
from utils.datasets.lin import lin
from utils.metrics.robust import robust

ALLOWED = ["utils.models", "utils.decides"]
OURS = ["utils.models.mlp.MLP", "utils.models.logistic.Logistic", "utils.decides.threshold.Threshold"]
FOREIGN = [
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "torch.load",
    "utils.types.Batch",
    "utils.run_store.RunStore",
    "utils.attacks.pgd.pgd",
    "utils.models.mlp.nn.Linear",  # through a name that the module imported
    "utils.models.mlp.nn",
    "utils.models.mlp.Sequence",
    "utils.models.mlp.pairwise",
    "utils.models.mlp.ACTIVATIONS",
    "utils.models.mlp.MLP.forward",
    "utils.models.mlp.MLP.__init__",
    "utils.models.mlp.__builtins__",
    "utils.models.mlp.__loader__",
    "utils.models.mlp.absent",
    "utils.models.absent.Absent",
    "utils.models.mlp",
    "utils.models",
    "utils.models.",
    "utils.models..MLP",
    "utils.models.sub.mlp.MLP",
    "utils.modelsx.mlp.MLP",
    "UTILS.MODELS.MLP.MLP",
    "${oc.env:HOME}",
    "MLP",
    "",
]


@pytest.mark.parametrize("target", OURS)
def test_what_our_modules_define_is_trusted(target):
    require_trusted({"_target_": target, "hidden": [10]}, target.rsplit(".", 2)[0])


@pytest.mark.parametrize("package", ALLOWED)
@pytest.mark.parametrize("target", FOREIGN)
def test_anything_else_is_refused_by_name(target, package):
    with pytest.raises(ValueError, match="is not loaded"):
        require_trusted({"_target_": target}, package)


@pytest.mark.parametrize("value", [None, 1, ["utils.models.mlp.MLP"], {"_target_": "os.system"}])
def test_a_target_that_is_no_text_is_refused(value):
    with pytest.raises(ValueError, match="is not loaded"):
        require_trusted({"_target_": value}, ALLOWED[0])


@pytest.mark.parametrize(
    "hidden",
    [
        {"_target_": "os.system", "command": "true"},
        [{"_target_": "os.system"}],
        {"deep": [{"deeper": ({"_target_": "os.system"},)}]},
    ],
)
def test_a_foreign_target_is_found_wherever_it_hides(hidden):
    with pytest.raises(ValueError, match=r"'os\.system'"):
        require_trusted({"_target_": OURS[0], "hidden": hidden}, ALLOWED[0])


@pytest.mark.parametrize(
    "hidden",
    [
        "${oc.create:{_target_: pandas.read_pickle, filepath_or_buffer: x}}",
        ["${oc.decode:'{_target_: os.system}'}"],
        {"a": "x ${oc.env:HOME}"},
        {"${oc.env:HOME}": 1},
    ],
)
def test_nothing_in_a_record_is_carried_out_as_it_is_read(hidden):
    with pytest.raises(ValueError, match="no setting"):
        require_trusted({"_target_": OURS[0], "hidden": hidden}, ALLOWED[0])


def test_a_helper_beside_a_data_set_is_refused():
    require_trusted({"_target_": "utils.datasets.lin.lin"}, "utils.datasets")
    with pytest.raises(ValueError, match="is not loaded"):
        require_trusted({"_target_": "utils.datasets.fetch.locate", "relative": "x"}, "utils.datasets")


def test_a_package_that_is_not_allowed_is_refused():
    with pytest.raises(ValueError, match=r"not a part of utils\.decides"):
        require_trusted({"_target_": OURS[0]}, "utils.decides")


@pytest.mark.parametrize("package", ["utils", "utils.decides.threshold", "utils.decide"])
def test_a_module_must_be_directly_in_the_package(package):
    with pytest.raises(ValueError, match="is not loaded"):
        require_trusted({"_target_": "utils.decides.threshold.Threshold"}, package)


def test_refusing_imports_nothing(tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="is not loaded"):
        require_trusted({"_target_": "trap.anything"}, ALLOWED[0])


# Settings

SETTINGS = {"threat": None, "steps": 1, "rel_step": 1.0, "restarts": 1, "random_start": False}


def test_a_misspelt_setting_is_named_with_its_near_misses():
    with pytest.raises(ValueError, match=r"attack\.evasion\.step is not a setting of pgd; did you mean .*steps"):
        check_arguments(partial(pgd, **SETTINGS, step=3), "attack.evasion")


def test_a_setting_like_no_other_is_answered_with_all():
    with pytest.raises(ValueError, match=r"there are threat, steps, rel_step, restarts, random_start"):
        check_arguments(partial(pgd, **SETTINGS, zzz=3), "attack.evasion")


def test_a_missing_setting_is_named():
    with pytest.raises(ValueError, match=r"attack\.evasion lacks \['restarts'\]"):
        check_arguments(partial(pgd, **{k: v for k, v in SETTINGS.items() if k != "restarts"}), "attack.evasion")


def test_all_settings_and_no_others_pass():
    check_arguments(partial(pgd, **SETTINGS), "attack.evasion")


def test_radii_become_numbers_and_lists_of_them_keep_their_spelling():
    found = read_arguments(partial(robust, radii=["8/255", 0.1], training_radius="1/4", level=0.9)).keywords
    assert found == {"radii": {"8/255": 8 / 255, "0.1": 0.1}, "training_radius": 0.25, "level": 0.9}
    assert read_arguments(partial(robust, training_radius=None)).keywords == {"training_radius": None}


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("radii", 0.1, "a list of text or a number"),
        ("training_radius", [0.1], "text or a number or null"),
    ],
)
def test_a_radius_of_another_kind_is_refused_as_it_would_be_written(setting, value, expected):
    with pytest.raises(ValueError, match=f"^metric.{setting}=.*: expected {expected}$"):
        check_settings({"_target_": "utils.metrics.robust.robust", setting: value}, "metric")


def test_the_seed_is_given_at_the_call():
    check_arguments(partial(lin, name="lin", rows=10, split=[], sensitive=[], actionable=[]), "dataset")


# Settings at any depth, and their kinds

NODE = {
    "_target_": "utils.attacks.pgd.pgd",
    "_partial_": True,
    **SETTINGS,
    "threat": {"_target_": "utils.threats.causal", "_partial_": True, "norm": "l2", "twins": True},
}


def test_a_whole_option_passes():
    check_settings(NODE, "attack.evasion")


def test_a_misspelt_setting_of_a_part_is_named_with_its_whole_key():
    node = NODE | {"threat": NODE["threat"] | {"nrom": "l2"}}
    with pytest.raises(
        ValueError, match=r"attack\.evasion\.threat\.nrom is not a setting of causal; did you mean .*norm"
    ):
        check_settings(node, "attack.evasion")


@pytest.mark.parametrize("target", ["utils.attacks.pgd.pdg", "utils.attacks.absent.pgd", "pgd", ""])
def test_a_function_that_is_not_there_is_named(target):
    with pytest.raises(ValueError, match=r"attack\.evasion\._target_=.*there is no such function"):
        check_settings({"_target_": target}, "attack.evasion")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps", 2.5),
        ("steps", "many"),
        ("steps", -1),
        ("steps", True),
        ("steps", None),
        ("rel_step", "long"),
        ("rel_step", float("nan")),
        ("rel_step", float("inf")),
        ("rel_step", True),
        ("random_start", 1),
        ("random_start", "yes"),
    ],
)
def test_a_value_of_another_kind_is_refused_under_its_key(setting, value):
    with pytest.raises(ValueError, match=rf"^attack\.evasion\.{setting}=.*: expected "):
        check_settings(NODE | {setting: value}, "attack.evasion")


def test_a_whole_number_is_a_number():
    check_settings(NODE | {"rel_step": 1}, "attack.evasion")


def test_a_number_where_text_is_due_is_told_to_be_quoted():
    node = {"_target_": "utils.datasets.lin.lin", "name": 7, "sensitive": ["x1"]}
    with pytest.raises(ValueError, match=r"dataset\.name=7: expected text; quote it"):
        check_settings(node, "dataset")


def test_a_list_must_hold_its_kind():
    node = {"_target_": "utils.datasets.lin.lin", "split": [0.8, "rest"]}
    with pytest.raises(ValueError, match=r"dataset\.split=.*: expected a list of numbers"):
        check_settings(node, "dataset")
