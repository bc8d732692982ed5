"""Documents taken literally: HTML parsed back by the standard library, Markdown by undoing its escapes."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.cards.document import (
    Bullets,
    Code,
    Document,
    Figure,
    Heading,
    Paragraph,
    Table,
    bare,
    escape,
    markdown,
    page,
)
from utils.system.console import CONTROL

SVG = '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "http://www.w3.org/x.dtd"><svg><metadata>http://purl.org</metadata></svg>'
NASTY = "<script>alert('x')</script> a|b & \"c\" [d](javascript:e) _f_ *g* `h`"


def document(text):
    blocks = [Heading(text), Paragraph(text), Bullets([text]), Code(text), Table([text, "n"], [[text, "1"]], text)]
    return Document(text, text, [*blocks, Table((), [[text, text]]), Figure(SVG, "a.png", text)])


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, _attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    return reader


def test_html_shows_a_text_as_it_is_and_makes_no_tag_of_it():
    plain, nasty = read(page(document("plain"))), read(page(document(NASTY)))
    assert nasty.tags == plain.tags
    assert nasty.texts.count(NASTY) == plain.texts.count("plain") > 10


@given(st.text(min_size=1, max_size=30))
def test_html_has_the_same_tags_whatever_the_texts(text):
    assert read(page(document(text))).tags == read(page(document("plain"))).tags


def test_a_page_names_no_address():
    assert not re.search(r"(https?:)?//|url\(|@import|<script|<link|\bsrc=", page(document("plain")))


def unescaped(line):
    return re.sub(r"\\([^\w\s]|_)", r"\1", line)


@given(st.text(max_size=30))
def test_a_markdown_line_is_one_line_whose_escapes_give_the_text(text):
    line = escape(text.replace("\\", ""))
    assert "\n" not in line
    assert unescaped(line) == " ".join(CONTROL.sub("�", text.replace("\\", "")).split())


@given(st.text(max_size=30))
def test_a_table_in_markdown_keeps_its_columns(text):
    rows = [
        line
        for line in markdown(Document("t", "l", [Table(["a", "b"], [[text, text]])])).splitlines()
        if line[:1] == "|"
    ]
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows] == [3, 3, 3]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("uai_0.05<=0.1", "uai_0.05<=0.1"),
        ("0.75 [0.70, 0.80]", "0.75 [0.70, 0.80]"),
        ("<b>", r"\<b>"),
        ("_b_", r"\_b\_"),
        ("a|b", r"a\|b"),
        ("[a](b)", r"[a\](b)"),
        ("# a", r"\# a"),
        ("1. a", r"1\. a"),
        ("&lt;", r"\&lt;"),
        ("a\nb", "a b"),
    ],
)
def test_only_what_would_be_markup_is_escaped(text, line):
    assert escape(text) == line


def test_the_bare_svg_has_no_prologue():
    assert bare(SVG) == "<svg></svg>"


def test_a_turn_of_direction_is_made_visible():
    assert "\u202e" not in page(document("a\u202eb")) + markdown(document("a\u202eb"))
