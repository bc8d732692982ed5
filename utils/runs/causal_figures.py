"""A causal figure belongs to its causal model: the figures that compare, and the words for those that do not.

A figure is causal where its metric says so (``utils.metrics.directions.is_causal``), and of a robust accuracy where
the attack moved noise through the SCM. Causal figures compare where the fingerprints of their SCMs agree.
"""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from utils.metrics.directions import describe, is_causal
from utils.records.later import Record, evaluations, of_evaluation
from utils.records.settings import walk
from utils.scms.identity import FITTED, POSTERIOR, THRESHOLDED, causal_of
from utils.system.console import count
from utils.words.levels import write_arrow

DIRECT = "the direct effect of the sensitive column alone"
MIDDLE_NOISE = "one middle noise, not its posterior"
AREA = re.compile(r"uai_(cf|\d[^_]*)")  # figures that are told for several causal models
WITHOUT_TWINS = "uai_ar"  # moves no sensitive column
OF_SEVERAL = re.compile(r"_(least|most|refits)(_|$)")  # in figures of several causal models
THREAT = "utils.threats.causal"
# parts of regularizers that move individuals by the equations of the causal model
BY_TWINS = (THREAT, "utils.losses.fair_metrics.causal_twins", "utils.regularizers.causal_dro.causal_dro")
BY_ATTACK = "utils.regularizers.adversarial.adversarial"  # that of the attack option
TRAINED_AGAINST = "trained against the very equations that judge here, fitted to the same rows, so others may find more"
BY_REFITS = "evaluate.py id=... sensitivity=true judges by refits"
UNKNOWN = "not recorded"
Causal = Mapping[str, Any]
Models = Mapping[str, tuple[Causal | None, list[Record]]]  # by fingerprint, and the records under each
_is_causal = lru_cache(is_causal)


def rests_on_scm(record: Record, key: str) -> bool:
    """Returns whether a record's figure, ``uai_0.05`` or ``<evaluation>/uai_0.05``, depends on a causal model."""
    evaluation, plain = of_evaluation(key, record.get("evaluations") or {})
    later = ((record.get("evaluations") or {}).get(evaluation) or {}).get("settings")
    return rests(plain, (record.get("params") or {}) if evaluation is None else (later or {}))


def rests(key: str, settings: Mapping[str, Any]) -> bool:
    """Returns the same for a figure of a run, or of an evaluation, with these settings, also before there is one."""
    return _is_causal(key) or (key.startswith("robust_accuracy") and _attacked_causally(settings, key))


@lru_cache
def _may_rest(key: str) -> bool:
    """Returns whether some record's figure of this key could be causal; most keys say by their name that none is."""
    parts = key.split("/")  # the name of a later evaluation may hold a slash too
    plain = ["/".join(parts[i:]) for i in range(len(parts))]
    return any(is_causal(own) or own.startswith("robust_accuracy") for own in plain)


def _attacked_causally(settings: Mapping[str, Any], key: str) -> bool:
    """Returns whether the attack of a robust accuracy, or one of several, moved noise through the SCM."""
    attack = settings.get("attack") or {}
    named = f"robust_accuracy_{attack.get('name')}_"
    if f"{key}_".startswith(named):
        return _moves_noise(attack.get("evasion"))
    metrics = (settings.get("evaluation") or {}).get("metrics") or {}
    return any(_moves_noise(metrics.get(name)) for name in ("robust", "ensemble"))


def _moves_noise(node: Any) -> bool:
    return any(isinstance(part, Mapping) and part.get("_target_") == THREAT for _, part in walk(node))


def model_of(record: Record, key: str) -> Causal | None:
    """Returns the causal model that a figure rests on; None where it rests on none, or on one that is not recorded."""
    if not rests_on_scm(record, key):
        return None
    return causal_of(record, of_evaluation(key, record.get("evaluations") or {})[0])


def models(records: Sequence[Record], key: str) -> dict[str, tuple[Causal | None, list[Record]]]:
    """Returns by fingerprint the causal models of a figure and the records that have it under each; else nothing."""
    found: dict[str, tuple[Causal | None, list[Record]]] = {}
    for record in records if _may_rest(key) else ():
        if has(record, key) and rests_on_scm(record, key):
            causal = model_of(record, key)
            found.setdefault(str((causal or {}).get("fingerprint")), (causal, []))[1].append(record)
    return found


def has(record: Record, key: str) -> bool:
    """Returns whether a record has a figure, of its training or of a later evaluation."""
    evaluation, plain = of_evaluation(key, record.get("evaluations") or {})
    later = (record.get("evaluations") or {}).get(evaluation) or {}
    value = ((record if evaluation is None else later).get("metrics") or {}).get(plain)
    return value is not None and not math.isnan(value)


def compares(records: Sequence[Record], key: str) -> bool:
    """Returns whether the figures of a key rest on one causal model, or on none."""
    return len(models(records, key)) <= 1


# --- words -----------------------------------------------------------------------------------------------------


def name(causal: Causal | None, among: Sequence[Causal]) -> str:
    """Returns a causal model in words: its option, and in what it differs from others of that option."""
    if causal is None:
        return UNKNOWN
    own, alike = _facts(causal), [_facts(other) for other in among if other["option"] == causal["option"]]
    apart = [key for key in own if any(other.get(key) != own[key] for other in alike)]
    words = [causal["option"], *(f"{key} {own[key]}" for key in apart)]
    return ", ".join(words)


def _facts(causal: Causal) -> dict[str, str]:
    graph = causal.get("graph") or {}
    arrows = "; ".join(write_arrow(of, child) for child, of in graph.items()) or "none"
    source = {f"data {key}" if key == "fingerprint" else key: str(of) for key, of in (causal["source"] or {}).items()}
    about = {"sensitive": ", ".join(causal.get("sensitive") or ["unknown"])}
    return {**{key: str(of) for key, of in causal["settings"].items()}, "graph": arrows, **source, **about}


def remark(records: Sequence[Record], key: str) -> str:
    """Returns the remark for the label of a causal figure, where that of all records is the same; else nothing."""
    remarks = {_remark(record, key) for record in (records if _may_rest(key) else ()) if has(record, key)}
    return next(iter(remarks)) if len(remarks) == 1 else ""


def _remark(record: Record, key: str) -> str:
    evaluation, plain = of_evaluation(key, record.get("evaluations") or {})
    causal = model_of(record, key)
    if causal is None:
        return ""
    later = (record.get("evaluations") or {}).get(evaluation) or {}
    if "metrics" in later and (judged := later.get("sensitivity")):
        if "_refits" in plain and judged.get("refits"):
            return count(judged["refits"]["number"], "refit")
        return count(len(judged["models"]), "causal model")
    if causal["option"] == "independent":
        return DIRECT if is_causal(plain) and not plain.startswith(WITHOUT_TWINS) else ""
    facts = (record if evaluation is None or "scm" not in later else later).get("scm") or {}
    if any(fact.startswith(POSTERIOR) for fact in facts) and "coupling" in causal["settings"]:
        return f"coupling {causal['settings']['coupling']}"
    middle = causal["settings"].get("discrete") != "posterior" and any(fact.startswith(THRESHOLDED) for fact in facts)
    return MIDDLE_NOISE if middle else ""


def label(records: Sequence[Record], key: str, groups: Sequence[str], classes: Sequence[str] = ()) -> str:
    """Returns a metric in words, with the remark on its causal model in (...) and its later evaluation in [...]."""
    evaluation, plain = of_evaluation(key, evaluations(records))
    words = with_remark(describe(plain, groups, classes), remark(records, key))
    return words if evaluation is None else f"{words} [{evaluation}]"


def with_remark(words: str, said: str) -> str:
    """Returns ``unfair area (share of individuals; the direct effect of ...)``."""
    if not said:
        return words
    return f"{words[:-1]}; {said})" if words.endswith(")") else f"{words} ({said})"


def sentences(records: Sequence[Record], keys: Sequence[str]) -> list[str]:
    """Returns the remarks on the causal models of the figures shown, each once, for a legend."""
    found: dict[str, list[str]] = {}
    for key in filter(_may_rest, dict.fromkeys(keys)):
        for record in records:
            if has(record, key) and (said := _remark(record, key)):
                found.setdefault(f"under scm={(model_of(record, key) or {})['option']}: {said}", []).append(key)
    told = [f"{', '.join(dict.fromkeys(of))} {said}" for said, of in found.items()]
    return [*told, *tell_trained_against(records, keys)]


def tell_trained_against(records: Sequence[Record], keys: Sequence[str]) -> list[str]:
    """Returns a sentence for each fitted causal model that judges models which were trained against it."""
    areas = [key for key in dict.fromkeys(keys) if AREA.fullmatch(key)]
    found: dict[str, list[Record]] = {}
    for record in records:
        causal = causal_of(record) if is_trained_against(record) else None
        if causal and any(has(record, key) for key in areas):
            found.setdefault(causal["option"], []).append(record)
    return [_trained_against(areas, option, own) for option, own in found.items()]


def _trained_against(areas: Sequence[str], option: str, records: Sequence[Record]) -> str:
    names = list(dict.fromkeys("+".join(record["params"]["regularizer"]) for record in records))
    were = f"{' and '.join(names)} {'was' if len(names) == 1 else 'were'}"
    filed: list[str] = []
    for key in areas:
        means = {find_mean(record, key) for record in records}
        filed += filter(None, means if len(means) == 1 else ())
    more = f"{', '.join(filed)}: the mean over refits" if filed else BY_REFITS
    return f"{', '.join(areas)} under scm={option}: {were} {TRAINED_AGAINST} ({more})"


def find_mean(record: Record, key: str) -> str:
    """Returns the column with a figure's mean over refits of a record's own causal model, as filed last; else empty.

    ``refits@0.05/uai_cf_refits`` of ``uai_cf``.
    """
    own, mean = (causal_of(record) or {}).get("fingerprint"), name_of_many(key, "refits")
    found = [
        (str(of.get("created")), f"{name}/{mean}")
        for name, of in (record.get("evaluations") or {}).items()
        if mean in (of.get("metrics") or {}) and (of.get("causal") or {}).get("fingerprint") == own
    ]
    return max(found, default=("", ""))[1]


def name_of_many(key: str, part: str) -> str:
    """``uai_least_0.05`` of ``uai_0.05``, and ``uai_cf_least`` of ``uai_cf``: a figure of several causal models."""
    return f"{key}_{part}" if key == "uai_cf" else f"uai_{part}_{key.removeprefix('uai_')}"


def is_trained_against(record: Record) -> bool:
    """Returns whether a model was trained by the twins of the equations that judge it, fitted to its training rows."""
    params: Mapping[str, Any] = record.get("params") or {}
    if ((params.get("scm") or {}).get("_target_") or "").rpartition(".")[2] not in (*FITTED, "discovered"):
        return False
    terms = [node for node in (params.get("regularizer") or {}).values() if node.get("weight")]
    parts = [of.get("_target_") for node in terms for _, of in walk(node) if isinstance(of, Mapping)]
    by_attack = BY_ATTACK in parts and _moves_noise((params.get("attack") or {}).get("evasion"))
    return by_attack or any(part in BY_TWINS for part in parts)
