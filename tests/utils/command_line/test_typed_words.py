"""What is written to be typed is what was meant: read back by the shell's rules and by Hydra's own parser."""

import shlex

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from utils.words import quoting

NAMES = ("age, years (at 1.1.)", 'In"come [k€]', "Stadt Größe", "séx", "[job]", "hired=?", "a,b.csv", "quo'te.csv")
TEXTS = (
    *(
        *NAMES,
        "",
        " ",
        "null",
        "true",
        "1e3",
        "007",
        "8/255",
        "~/a b.csv",
        "${seed}",
        r"\${seed}",
        r"age\, years",
        "\\",
    ),
    *(
        "it's",
        "both ' and \"",
        "$(touch X)",
        "`touch X`",
        "a;b",
        "!x",
        "#",
        "a\\'b",
        "\\\\'",
        "x\\",
        "*",
        "{a: b}",
        "[x",
    ),
    *("-m", "--help", "a=b", "nan", "inf", "choice(1,2)", "range(3)", "1,2", "é", "\u00a0", "😀", "%s", "&&", "<x>"),
)
typable = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), max_size=12)
hostile = st.text(st.sampled_from("'\"\\$`{}[](),:=!;#&|<>*?~ aé1.-+@%/"), max_size=10)
texts = st.one_of(st.sampled_from(TEXTS), hostile, typable)
scalars = st.one_of(texts, st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())
values = st.one_of(
    scalars, st.lists(scalars, max_size=3), st.dictionaries(texts, st.lists(texts, max_size=2), max_size=2)
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_hostile_text_comes_back_from_shell_and_hydra(text):
    assert read(text) == text


@settings(max_examples=50)
@given(values)
@example({'In"come [k€]': ["séx"], "1": ["[job]"]})
@example([["a", "b,c"], {"x": "'"}])
def test_a_value_comes_back_from_shell_and_hydra(value):
    found = read(value)
    assert (quoting.mapping(found) if isinstance(value, dict) else found) == value


def read(value):
    word = quoting.override("dataset.path", value)
    assert shlex.split(quoting.copyable("python train.py", word)) == ["python", "train.py", word]
    key, found = quoting.read_override(word)
    assert key == "dataset.path"
    return found


@settings(max_examples=100)
@given(st.one_of(texts, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False)))
def test_an_option_comes_back_from_shell_and_yaml(value):
    program, word = shlex.split(quoting.copyable("python", quoting.option("dataset", value)))
    assert (program, word.partition("=")[0]) == ("python", "dataset")
    found = quoting.read_option(word)
    assert (type(found), found) == (type(value), value)


@settings(max_examples=20)
@given(st.sampled_from(["\x1b]0;x\x07", "a\nb", "\r", "\x9b1m", "\u202e", "\u2028", "\x00", "\x7f"]), texts, texts)
def test_control_characters_are_refused_and_not_repeated(control, before, after):
    for write in (quoting.override, quoting.option):
        with pytest.raises(ValueError, match="no word") as refused:
            write("dataset.path", before + control + after)
        assert str(refused.value).isprintable()


@pytest.mark.parametrize("key", ["a b", "a;b", "a=b", "", "$x", "a\n", "é", "a'b"])
def test_a_key_is_one_that_hydra_reads(key):
    with pytest.raises(ValueError, match="no word"):
        quoting.override(key, 1)


@pytest.mark.parametrize(
    ("value", "word"),
    [("loan", "x=loan"), (["trades", "dafa"], "'x=[trades,dafa]'"), ("quo'te.csv", "\"x=\\\"quo'te.csv\\\"\""),
     ("a,b.csv", "\"x='a,b.csv'\""), ({"job": ["sex"]}, "'x={job:[sex]}'"), (0.1, "x=0.1"), ("8/255", "x=8/255")],
)  # fmt: skip
def test_words_are_as_short_as_they_can_be(value, word):
    assert quoting.write_word("x", value) == word


def test_a_mapping_whose_keys_hydra_cannot_spell_is_a_text():
    assert quoting.override("graph", {"séx": ["a"]}) == 'graph=\'{"séx": ["a"]}\''


def test_a_call_is_read_by_python():
    assert quoting.call("f", 3, 'a"b', point=1) == 'f(3, "a\\"b", point=1)'
    assert quoting.call("f", "\x1b\n") == 'f("\\u001b\\n")'


@pytest.mark.parametrize("text", ["[a, b]", "a", "{a: ", ""])
def test_a_text_that_spells_no_mapping_is_told(text):
    with pytest.raises(ValueError, match="as a mapping"):
        quoting.mapping(text)
