"""The README is short, names every option there is, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

import paths_config
from utils.tables.table_schema import FileFormat, Groups, Label, Rule, Split, TableSchema

ROOT = paths_config.ROOT
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LAUNCHERS = {"basic"}  # Hydra's own


def parts() -> dict[str, set[str]]:
    """The options that the README's table names, by group."""
    rows = re.findall(r"^\| `([\w/]+)` \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return {group: set(re.findall(r"`(\w+)`", text)) for group, text in rows}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)#]+)\)", page.read_text())


def test_a_stranger_finishes_the_readme():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("group", sorted(parts()))
def test_the_table_of_parts_names_every_option(group):
    there = {path.stem for path in (ROOT / "config" / group).glob("*.yaml")}
    assert parts()[group] - LAUNCHERS == there


def test_the_table_of_parts_names_every_group():
    groups = {p.name for p in (ROOT / "config").iterdir() if p.is_dir()} - {"hydra"}
    assert set(parts()) == groups | {"hydra/launcher", "hydra/sweeper"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page):
    assert [link for link in links(page) if "://" not in link and not (page.parent / link).exists()] == []


def test_the_page_on_tables_explains_every_key_of_the_schema():
    """As ``name``, ``file.encoding``, ``.decimal`` behind another of its part, or ``columns.NAME.type``."""
    text = (ROOT / "docs" / "own_table.md").read_text()
    parts = {"file": FileFormat, "columns.NAME": Rule, "label": Label, "groups": Groups, "split": Split}
    keys = [name for name in TableSchema.model_fields if name not in {part.split(".")[0] for part in parts}]
    assert [key for key in keys if f"| `{key}` |" not in text] == []
    rows = {part: "\n".join(re.findall(rf"^\| `{re.escape(part)}\..*$", text, re.MULTILINE)) for part in parts}
    inner = [(part, key) for part, model in parts.items() for key in model.model_fields if key != "median"]
    assert [(part, key) for part, key in inner if not re.search(rf"`({re.escape(part)})?\.{key}`", rows[part])] == []


def test_every_page_can_be_reached_from_the_readme():
    found = {
        (page.parent / link).resolve() for page in PAGES for link in re.findall(r"\]\(([^)#]+)\)", page.read_text())
    }
    assert [page for page in PAGES if page.resolve() not in found and page.name != "README.md"] == []
