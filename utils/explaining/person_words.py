"""A row in the words of the owner: attributes, their levels and numbers; and what a twin holds that no person can."""

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from utils.datasets.column_rules import outside
from utils.types import Column, Dataset

SURE = 0.02  # how near to 0 and 1 the indicators of a level are


def attributes_of(columns: Sequence[Column]) -> dict[str, tuple[int, ...]]:
    """The places of the columns of every attribute, in their order."""
    found: dict[str, tuple[int, ...]] = {}
    for i, c in enumerate(columns):
        name = c.attribute or c.name
        found[name] = (*found.get(name, ()), i)
    return found


def list_words(attributes: Mapping[str, str]) -> str:
    """``sex man, age 35``."""
    return ", ".join(f"{name} {text}" for name, text in attributes.items())


def describe_person(dataset: Dataset, values: Sequence[float]) -> dict[str, str]:
    """The attributes of a row in natural units, each in the words of the owner."""
    rules = (dataset.schema or {}).get("columns") or {}
    found = {}
    for name, places in attributes_of(dataset.columns).items():
        own = [dataset.columns[i] for i in places]
        if own[0].attribute:
            found[name] = _of_indicators(own, [values[i] for i in places])
        else:
            rule = rules.get(name) or {}
            levels = tuple(rule.get("levels") or ()) if own[0].discrete == "ordered" else own[0].texts
            unit = f" {rule['unit']}" if rule.get("unit") else ""
            found[name] = f"{_text(own[0], values[places[0]], levels)}{unit}"
    return found


def _text(column: Column, value: float, levels: Sequence[str]) -> str:
    """A value: its level, or its number; a number that is no level of the column as such."""
    place = round(value)
    if levels and abs(value - place) <= SURE and 0 <= place < len(levels):
        return levels[place]
    whole = column.integer or column.levels
    return f"{place}" if whole and abs(value - place) <= SURE else f"{value:.4g}"


def _of_indicators(own: Sequence[Column], values: Sequence[float]) -> str:
    """The level whose indicator is 1; of a twin that is no person, as under additive noise, what each indicator is."""
    texts = [c.texts[1] if c.texts else c.name.partition("=")[2] or c.name for c in own]
    if all(min(abs(value), abs(value - 1)) <= SURE for value in values) and sum(values) < 1 + SURE:
        return next((text for text, value in zip(texts, values, strict=True) if value > 0.5), "other")
    return " + ".join(f"{value:.2g} {text}" for text, value in zip(texts, values, strict=True) if abs(value) > SURE)


def describe_twin(dataset: Dataset, values: Tensor) -> dict[str, str]:
    """The attributes of a counterfactual (d,), natural units, with a word where no row can be or is like it."""
    after = describe_person(dataset, values.tolist())
    impossible = outside(dataset.columns, values.unsqueeze(0).cpu().numpy())
    after |= {name: f"{after[name]} (impossible)" for name, of in impossible.items() if of[0]}
    return after | {name: f"{after[name]} (beyond any row)" for name in _beyond(dataset, values.tolist())}


def _beyond(dataset: Dataset, values: Sequence[float]) -> Iterator[str]:
    """Yields the numbers of a twin that are outside of what rows may hold."""
    for column, value in zip(dataset.columns, values, strict=True):
        if column.bounds and not column.bounds[0] - SURE <= value <= column.bounds[1] + SURE:
            yield column.name


def is_set_by_do(columns: Sequence[Column], name: str) -> bool:
    """Returns whether an intervention on the sensitive attributes sets the whole attribute."""
    return all(c.sensitive for c in columns if (c.attribute or c.name) == name)
