"""The effect of poisoning on a setting in one sentence, which claims no more than the test rows bear out."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evals.choosing.comparison import error_rates
from evals.poisoning.changed_rows import describe_changes, describe_rows
from evals.poisoning.paired import Change, Setting
from evals.records import levelling, query
from utils.metrics import directions
from utils.metrics.directions import describe, direction
from utils.words.numbers import write_estimate

CLOSE = 5e-4  # a difference that three decimals do not show


class Said(NamedTuple):
    """The subject of a sentence: a setting and its metric."""

    setting: str
    metric: str  # its key
    words: str  # the same for a reader
    objective: str  # fair or unfair
    done: Mapping[str, float]  # rows added, removed, relabelled and reweighed, means over seeds


def statements(settings: Sequence[Setting]) -> list[str]:
    """A sentence for each setting on what holds on the test rows, then what its rows are."""
    return [
        f"{_state(setting)}{''.join(f' {text}.' for text in describe_rows(setting.records))}" for setting in settings
    ]


def _state(setting: Setting) -> str:
    """Returns the sentence of a setting, then both sides of each error rate that its metric is the gap of."""
    key = setting.metric
    words = f"the {describe(key, setting.groups, query.class_names(setting.records)).partition(' (')[0]}"
    said = Said(setting.label, key, words, setting.objective, setting.done)
    valid, test = (setting.change(key, split) for split in ("valid", "test"))
    accuracy = None if key == "accuracy" else setting.change("accuracy", "test")
    return f"{statement(said, valid, test, accuracy)}{describe_sides(setting)}"


def describe_sides(setting: Setting) -> str:
    """Returns a sentence on the error rates of each group before and after, on the test rows; none where all stayed."""

    def moved(key: str) -> tuple[float, float]:
        found = setting.change(key, "test")
        return found.before, found.after

    rates = tuple(
        dict.fromkeys((*error_rates(setting.metric), *directions.ERRORS))
    )  # what one gap gains the other may pay
    texts = levelling.sides(rates, setting.groups, moved, setting.records) if setting.done else []
    return "".join(f" {text[0].upper()}{text[1:]}." for text in texts)


def statement(said: Said, valid: Change, test: Change, accuracy: Change | None) -> str:
    """Describes the change of the poisoned metric on validation and test rows, and of accuracy if that is another."""
    sentence = _describe_attack if said.objective == "unfair" else _describe_search
    text = sentence(said, valid, test)
    if not said.done:
        return f"{said.setting}: {text}."
    if accuracy is not None and accuracy.n:
        text += f"; accuracy on the test rows changes by {_amount(accuracy, 1, '+')}"
    alone = " One seed: no interval can be given, and nothing is known of another." if test.n == 1 else ""
    return f"{said.setting}: {text}.{alone}"


def _describe_search(said: Said, valid: Change, test: Change) -> str:
    """The sentence where a fairer model was searched for."""
    if not said.done:
        return f"the search found no change of rows that helps, so {said.words} stays as it is"
    wanted = _find_sign(said, valid)
    start = f"on validation {said.words} {describe_change(valid)}"
    if not test.n:
        return f"{start}; on the test rows it is undefined"
    gain = wanted * test.mean
    if CLOSE <= gain <= wanted * valid.mean:
        start += f"; of that {_amount(test, wanted)} remain on the test rows"
    else:
        start += f"; on the test rows it {describe_change(test)}"
    return start + _verdict(test, wanted, "the opposite of what was searched for")


def _describe_attack(said: Said, valid: Change, test: Change) -> str:
    """The sentence where the search was turned against fairness: how much an attacker can do."""
    who = f"an attacker with {_describe_means(said.done)}"
    if not said.done:
        return f"the attacker found no change of rows that harms, so {said.words} stays as it is"
    wanted = _find_sign(said, valid)
    raises = {1: "raises", -1: "lowers"}[wanted]
    seen = f"on validation, which the attacker saw, it {describe_change(valid)}"
    if not test.n:
        return f"{who} {raises} {said.words} as follows: {seen}; on the test rows it is undefined"
    if wanted * test.mean <= 0:
        tried = (
            f"{who} does not {raises.removesuffix('s')} {said.words} on the test rows, where it {describe_change(test)}"
        )
        return f"{tried}{_verdict(test, wanted, 'the opposite of what was searched for')}; {seen}"
    amount = f"by {_amount(test, wanted)} on the test rows"
    path = f"from {test.before:.3f} to {test.after:.3f}"
    return f"{who} {raises} {said.words} {amount}, {path}{_verdict(test, wanted, '')}; {seen}"


def _describe_means(done: Mapping[str, float]) -> str:
    """Returns ``37 rows`` where rows were added alone, else what was done: ``rows (30 added, 12 removed)``."""
    return f"{done['added']:.3g} rows" if [*done] == ["added"] else f"rows ({describe_changes(done)})"


def _find_sign(said: Said, valid: Change) -> int:
    """+1 where the search was for more of the metric, -1 for less; what it found where neither end is better."""
    better = direction(said.metric)
    if not better:
        return -1 if valid.mean < 0 else 1
    return -better if said.objective == "unfair" else better


def describe_change(change: Change) -> str:
    """``falls by 0.031 [0.022, 0.040]``."""
    if not change.n:
        return "is undefined"
    if abs(change.mean) < CLOSE:
        return f"changes by {_amount(change, 1)}"
    sign = 1 if change.mean > 0 else -1
    return f"{'rises' if sign > 0 else 'falls'} by {_amount(change, sign)}"


def _amount(change: Change, sign: int, shown: str = "") -> str:
    """The change, or the fall where the sign is -1, with its interval; without one for one seed or for equal ones.

    ``shown`` is "+" where a rise is written with its sign.
    """
    mean = sign * change.mean
    if math.isnan(change.low):
        return f"{mean:{shown}.3f}"
    low, high = sorted((sign * change.low, sign * change.high))
    written = write_estimate(mean, low, high)
    return f"{shown}{written}" if mean >= 0 else written


def _verdict(test: Change, wanted: int, opposite: str) -> str:
    """States whether the effect left on the test rows can be told from none."""
    if math.isnan(test.low):
        return f": the same in each of {test.n} seeds, so no interval can be given" if test.n > 1 else ""
    low, high = sorted((wanted * test.low, wanted * test.high))
    over = f"over {test.n} seeds"
    if low > 0:
        return f": distinguishable from none {over}"
    return f": {opposite}, {over}" if high < 0 else f": not distinguishable from none {over}"
