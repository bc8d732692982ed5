"""Names of groups: written so that they are read again, and plain where nothing could be misread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.words.levels import name_class, read_group, write_arrow, write_level, write_names

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text(',="[]() \\a', max_size=6)


@given(st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=3))
def test_what_is_written_is_read_again(levels):
    assert read_group(",".join(write_level(*level) for level in levels.items())) == levels


def test_names_in_a_list_are_in_quotes_where_they_hold_a_comma():
    assert write_names(["age", "wage, net"]) == 'age, "wage, net"'
    assert write_arrow(["sex", "wage, net"], "card, use") == 'sex, "wage, net" -> "card, use"'


def test_words_stay_as_they_are():
    assert write_level("marital status", "never-married (>50K)"[:13]) == "marital status=never-married"
    assert write_level("région", "Île-de-France, sud") == 'région="Île-de-France, sud"'


@pytest.mark.parametrize("name", ["", "women", "sex=f,", "sex=f;race=b=c", '"sex"x=f'])
def test_another_text_is_refused(name):
    with pytest.raises(ValueError, match="names no group"):
        read_group(name)


def test_a_class_is_called_by_its_text_where_it_has_one():
    assert [name_class(1, names) for names in ((), ("no", "yes"), ("no", "a, b"))] == [
        "class 1",
        "class yes",
        'class "a, b"',
    ]
