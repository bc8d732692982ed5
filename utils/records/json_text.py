"""JSON as this program files it: that of the standard library without blanks, by orjson where that writes the same."""

import json
import re
from functools import cache
from typing import Any

import orjson

SORTED = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
IN_ORDER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
SAME_DIGITS = bytes.maketrans(b"123456789", b"000000000")
# a float that Python writes otherwise, behind what comes before a number; or a text like it
ODD = re.compile(r"[\[:,]-?(?:[0-9]+(?:\.[0-9]+)?e[-+]?[0-9]+|0\.0000[0-9]*)")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?')


def write_json(value: Any, *, sort: bool) -> str:
    """Returns plain values as ASCII text without blanks, numbers as Python writes them.

    Args:
        value: in JSON types, floats finite.
        sort: keys are sorted at every level, so that equal values have one text.
    """
    own = SORTED if sort else IN_ORDER
    try:
        found = orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort else None)
    except orjson.JSONEncodeError:  # integers of more than 64 bits, keys that are no text
        return own.encode(value)
    if not found.isascii() or b"\x7f" in found:
        return own.encode(value)
    text = found.decode()
    # only floats with an exponent here or there are written otherwise; searching for them by an expression is slow
    odd = b"0.0000" in found or b"0e" in found.translate(SAME_DIGITS)
    return _as_python(text) if odd else text


def _as_python(text: str) -> str:
    """Returns JSON without blanks whose floats are as Python writes them."""
    if "\\" in text:  # a quote may be part of a text
        return TOKEN.sub(_of_token, text)
    text = f":{text}"
    parts: list[str] = []
    end, quotes = 1, 0
    for odd in ODD.finditer(text):
        start = odd.start() + 1
        quotes += text.count('"', end, start)
        within = quotes % 2  # a text
        parts += text[end:start], odd[0][1:] if within else repr(float(odd[0][1:]))
        end = odd.end()
    return "".join((*parts, text[end:]))


def _of_token(token: re.Match[str]) -> str:
    """Returns a text as it is, and a float as Python writes it."""
    found = token[0]
    return repr(float(found)) if found[0] != '"' and ("." in found or "e" in found) else found


@cache
def write_key(key: str) -> str:
    """Returns a key of a record in JSON."""
    return json.dumps(key)
