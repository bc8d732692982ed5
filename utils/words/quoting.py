"""Words of command lines, written so that the shell and the program read back what was meant.

Two grammars: the overrides of ``train.py`` and ``evaluate.py``, which Hydra reads, and the options of
``python -m evals.*``, which are YAML where they look like it and else the text as typed. Whatever is written here is
read once by the very parser that will read it; what does not come back is refused, and so is what holds control
characters, which no shell takes literally when it is pasted.
"""

import ast
import json
import re
import shlex
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

# names, paths, fractions: what Hydra reads as text without quotes
BARE = re.compile(r"(?!(?:null|true|false|inf|nan)$)[a-z_][\w./-]*|\d+(\.\d+)?/\d+(\.\d+)?", re.IGNORECASE | re.ASCII)
ESCAPED = re.compile(r"[\\()\[\]{}:=,\s]")  # in the keys of a mapping
KEY = re.compile(r"[~+]{0,2}[A-Za-z_][\w./@-]*", re.ASCII)  # dotted, of settings and groups
INTERPOLATION = re.compile(r"(\\*)\$\{")
UNTYPABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode categories: controls, formats, surrogates, ends of lines
ASSIGNED = re.compile(r"(\w+)[\w./@-]*=(?!=)")  # not a condition such as seed==3
HELP = ("--help", "-h")
PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)  # means itself in every shell


def without_dashes(words: Sequence[str], known: Collection[str], flags: Collection[str] = HELP) -> list[str]:
    """The words, those with two dashes as ``KEY=VALUE`` if the first part of the key is ``known``.

    ``--seed 3`` and ``--seed=3`` mean ``seed=3``. All else stays, unknown keys too. None of ``flags`` is a value.

    Raises:
        ValueError: no value stands behind such a word.
    """
    plain: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or re.split(r"[./@]", key)[0] not in known:
            plain.append(word)
            continue
        if not equals:
            if not left or left[0].startswith("--") or left[0] in flags or _first_part(left[0]) in known:
                raise ValueError(f"--{key} needs a value: {key}=...")
            value = left.pop(0)
        plain.append(f"{key}={value}")
    return plain


def _first_part(word: str) -> str:
    """The first part of the key of ``KEY=VALUE``, "" of any other word, such as a condition."""
    found = ASSIGNED.match(word)
    return found[1] if found else ""


def override(key: str, value: Any) -> str:
    """``key=value`` for Hydra, not yet quoted for a shell; a key may begin with ``+``, ``++`` or ``~``.

    Raises:
        ValueError: a key or a value that cannot be said.
    """
    texts = [_hydra(value)]
    if isinstance(value, Mapping):  # Hydra has no spelling for keys such as séx; their text is read by ``mapping``
        texts.append(_text(json.dumps(value, ensure_ascii=False)))
    for text in texts:
        if KEY.fullmatch(key) and _typable(text) and _reads(f"{key}={text}", key.lstrip("+~"), value):
            return f"{key}={text}"
    raise ValueError(f"no word of the command line says {visible(key)}={visible(value)}")


def _reads(word: str, key: str, value: Any) -> bool:
    """Returns whether Hydra makes this key and value of a word."""
    try:
        found, read = read_override(word)
        return found == key and _same(mapping(read) if isinstance(value, Mapping) else read, value)
    except ValueError:
        return False


def read_override(word: str) -> tuple[str, Any]:
    """Key and plain value of a word, as they stand in the configuration that Hydra makes of it.

    Raises:
        ValueError: Hydra or OmegaConf cannot read it.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        read = OverridesParser.create().parse_override(word)
        held = OmegaConf.create({"value": None})
        OmegaConf.update(held, "value", read.value(), merge=True)
        plain: Any = OmegaConf.to_container(held, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"cannot read {visible(word)}: {str(error).splitlines()[0]}") from error
    return read.key_or_group, plain["value"]


def option(key: str, value: Any) -> str:
    """``key=value`` for ``python -m evals.*``, not yet quoted for a shell: the text, in quotes where YAML needs them.

    Raises:
        ValueError: a key or a value that cannot be said.
    """
    text = value if isinstance(value, str) else _hydra(value)
    for written in (text, "'" + text.replace("'", "''") + "'"):
        if KEY.fullmatch(key) and _typable(written) and _same(read_option(f"{key}={written}"), value):
            return f"{key}={written}"
    raise ValueError(f"no word of the command line says {visible(key)}={visible(value)}")


def read_option(word: str) -> Any:
    """The value of ``key=value``: a number, null or boolean as YAML reads it; else the text (``title=Loan: all``)."""
    key, _, text = word.partition("=")
    try:
        held: Any = OmegaConf.to_container(OmegaConf.from_cli([word]), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException):  # not YAML, hence text
        return text
    return text if isinstance(held[key], Mapping | list) else held[key]


def literal(text: str) -> str:
    """The text as a configuration holds it: ``${`` in it is no interpolation."""
    return INTERPOLATION.sub(lambda found: f"{found[1] * 2}\\${{", text)


def quoted(word: str) -> str:
    """A word as a shell takes it: bare, in single quotes, or in double quotes where those are easier to read.

    Raises:
        ValueError: it holds control characters.
    """
    if not _typable(word):
        raise ValueError(f"no word of the command line says {visible(word)}")
    if PLAIN.fullmatch(word):
        return word
    double = word.replace("\\", "\\\\").replace('"', '\\"')
    written = f'"{double}"' if "'" in word and not set(word) & set("$`!") else shlex.quote(word)
    assert shlex.split(written) == [word]
    return written


def copyable(program: str, *words: str) -> str:
    """A line to copy: a program that we name, and its words quoted for the shell."""
    return " ".join([program, *map(quoted, words)])


def write_word(key: str, value: Any) -> str:
    """One word for ``train.py`` or ``evaluate.py``, quoted for the shell: what an error tells a user to type."""
    return quoted(override(key, value))


def load_call(doc_id: int, dataset: str, *, schema: Mapping[str, Any] | None, **point: int) -> str:
    """The call that loads a model: ``from_database(3, "loan", point=1)``.

    That of a user's own table, which has a ``schema``, is ``predictor(3, "people")``, which takes rows of its file.
    """
    return call("predictor" if schema else "from_database", doc_id, dataset, **point)


def with_import(load: str) -> str:
    """A line to paste into Python, of a call that loads a model."""
    return f"from utils.model_zoo import {load.partition('(')[0]}; model = {load}"


def call(function: str, *arguments: Any, **keywords: Any) -> str:
    """A call in Python, ``from_database(3, "loan", point=1)``, of whole numbers and texts."""
    given = [_literal(a) for a in arguments] + [f"{key}={_literal(a)}" for key, a in keywords.items()]
    return f"{function}({', '.join(given)})"


def _literal(value: int | str) -> str:
    written = json.dumps(value, ensure_ascii=not (isinstance(value, str) and _typable(value)))
    assert ast.literal_eval(written) == value
    return written


# --- Hydra's grammar -------------------------------------------------------------------------------------------


def _hydra(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_key(key)}:{_hydra(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_hydra, value))}]"
    return _text(value) if isinstance(value, str) else repr(value)


def _key(key: Any) -> str:
    return ESCAPED.sub(r"\\\g<0>", key) if isinstance(key, str) else str(key)


def _text(text: str) -> str:
    """Bare, or in the quotes that need fewer escapes; ``${`` is kept from being an interpolation."""
    if BARE.fullmatch(text):
        return text
    from hydra.core.override_parser.types import Quote, QuotedString

    kind = Quote.double if "'" in text and '"' not in text else Quote.single
    return QuotedString(literal(text), kind).with_quotes()


def mapping(value: Any) -> dict[str, Any]:
    """A mapping as it is, or that which a text spells in YAML or JSON, such as ``{"séx": [age]}``.

    Raises:
        ValueError: it is none and spells none.
    """
    try:
        read = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        read = None
    if not isinstance(read, Mapping):
        raise ValueError(f"cannot read {visible(value)} as a mapping, {{name: [names]}}")
    return dict(read)


def _same(read: Any, meant: Any) -> bool:
    """Equal in value and in kind: 1 is neither 1.0 nor True."""
    if isinstance(meant, Mapping):
        keys = [(type(key), key) for key in meant]
        return (
            isinstance(read, Mapping)
            and [(type(key), key) for key in read] == keys
            and all(_same(read[key], meant[key]) for key in meant)
        )
    if isinstance(meant, list | tuple):
        return isinstance(read, list | tuple) and len(read) == len(meant) and all(map(_same, read, meant))
    return type(read) is type(meant) and (read == meant or (read != read and meant != meant))


def _typable(text: str) -> bool:
    return not any(unicodedata.category(sign) in UNTYPABLE for sign in text)


def visible(value: Any) -> str:
    """A value for an error: its controls as escapes, and harmless where it is pasted into a shell all the same."""
    return shlex.quote(ascii(value)[1:-1] if isinstance(value, str) and not _typable(value) else str(value))
