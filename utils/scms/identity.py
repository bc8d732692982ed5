"""The identity of a causal model, from an ``scm`` option and its settings, in plain values to file and compare.

Nothing here needs torch, so that whoever only reads records need not wait for it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from utils.records.typed import Record
from utils.words.quoting import mapping

Reading = Literal["posterior", "threshold", "anm"]  # of discrete columns
Keep = Literal["best", "last"]
Noise = Literal["additive", "flow"]  # of columns of numbers
Coupling = Literal["gumbel", "monotone", "independent"]
# facts of an SCM about its columns. Counterfactuals may leave {0, 1}, or rest on one middle noise; a discrete node's
# noise is drawn from its posterior; no radius moves a discrete root; a whole-number column's twins are also rounded;
# the noise of a number is not additive
REAL_VALUED, THRESHOLDED, POSTERIOR = "scm_real_valued_", "scm_thresholded_", "scm_posterior_"
STILL, WHOLE, FLOW = "scm_still_", "scm_whole_", "scm_flow_"
FIRST = (("keep", "last"), ("noise", "additive"))  # settings as all once were
OF_POSTERIOR = ("nodes", "coupling", "draws")  # settings that other readings do not have


def choose_reading(discrete: Reading | None, sampling: str) -> Reading:
    """Returns how discrete columns are read: as asked, else ``anm`` for published noise, ``posterior`` for any other.

    Raises:
        ValueError: another word, or another reading beside the published noise, which is that of additive equations.
    """
    found = discrete or ("anm" if sampling == "published" else "posterior")
    if found not in ("posterior", "threshold", "anm"):
        raise ValueError(f"scm.discrete={discrete!r} is not known; choose posterior, threshold or anm, or null")
    if found != "anm" and sampling == "published":
        raise ValueError("scm.sampling=published is noise of additive equations; use scm.discrete=anm with it")
    return found


def choose_epoch(keep: Keep | None, sampling: str) -> Keep:
    """Returns which parameters of a learned equation are kept: as asked, else ``last`` for published noise, ``best``.

    Raises:
        ValueError: another word.
    """
    found = keep or ("last" if sampling == "published" else "best")
    if found not in ("best", "last"):
        raise ValueError(f"scm.keep={keep!r} is not known; choose best or last, or null")
    return found


def settle(node: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an ``scm`` option, with what null stands for, and ``nodes`` that are spelt in a text."""
    found, sampling = dict(node), str(node.get("sampling"))
    if isinstance(node.get("nodes"), str):  # for names that Hydra cannot spell as keys
        found["nodes"] = mapping(node["nodes"])
    if "discrete" in node:
        found["discrete"] = choose_reading(node["discrete"], sampling)
    if "keep" in node:
        found["keep"] = choose_epoch(node["keep"], sampling)
    return found


def upgrade(node: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an ``scm`` option with what those of older records lack, as it was then."""
    option = part_of(node)
    if option == "known":
        return {"draws": 16, **node}  # which have no meaning there
    if option == "learned":
        node = {"noise": "additive", **node}
    if option not in (*FITTED, "independent") or "discrete" in node:
        return dict(node)
    kept = {key: value for key, value in node.items() if key != "binary"}
    filled: dict[str, Any] = {"discrete": node.get("binary") or "anm", "nodes": {}, "coupling": "gumbel", "draws": 16}
    filled |= {"keep": "last"} if option == "learned" else {}
    return {**kept, **(filled if option in FITTED else {"discrete": "anm"})}


def read_settings(node: Mapping[str, Any], facts: Mapping[str, float]) -> dict[str, Any]:
    """The settings of an ``scm`` option as far as the data let them matter.

    Where no discrete column has parents or is moved by a radius, as the ``facts`` of the SCM say, all readings are
    one: it counts as ``anm``.
    """
    read = any(fact.startswith((REAL_VALUED, THRESHOLDED)) for fact in facts)
    if "binary" in node:  # of the first versions
        return dict(node) if read else {**node, "binary": "anm"}
    found = {key: value for key, value in node.items() if (key, value) not in FIRST}
    drawn = any(fact.startswith((POSTERIOR, STILL, WHOLE)) for fact in facts)
    if not any(fact.startswith(POSTERIOR) for fact in facts):
        found.pop("draws", None)
        found.pop("coupling", None)
    if "discrete" in found and not drawn:
        reading = found.pop("discrete")
        flows = any(fact.startswith(FLOW) for fact in facts)
        found = {k: value for k, value in found.items() if k not in OF_POSTERIOR or (flows and k == "nodes" and value)}
        if part_of(node) in FITTED:
            cut = reading == "posterior" and any(fact.startswith(THRESHOLDED) for fact in facts)
            found["discrete"] = "threshold" if cut else reading if read and reading != "posterior" else "anm"
    return found


def as_hashed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings under the names that they had in the first versions, of which hashes are made."""
    first = settings.get("discrete") in ("anm", "threshold")
    return {"binary" if first and key == "discrete" else key: value for key, value in settings.items()}


# --- which figures compare -------------------------------------------------------------------------------------


FITTED = ("learned", "linear")  # options that read the causal graph
ROWS_OMIT = ("graph", "sensitive", "actionable", "split")  # settings of a data set that its rows do not depend on
FIRST_GENERATED = {
    "lin",
    "nlm",
    "imf",
    "loan",
}  # data sets that were drawn when records did not hold their causal model


def describe(
    scm: Mapping[str, Any],
    dataset: Mapping[str, Any],
    *,
    facts: Mapping[str, float],
    data: str,
    drawing: int | None,
    arrows: Mapping[str, Sequence[str]] | None,
    equations: str | None,
) -> dict[str, Any]:
    """The causal model of a run as its record holds it, with the ``fingerprint`` by which its figures compare.

    Figures compare where option, settings, graph, source and the sensitive attributes, whose change makes the twins,
    agree: never the seed, nor what was fitted.

    Args:
        scm: the settings of the ``scm`` option, without a seed.
        dataset: those of the data set, whose ``graph`` is that which was asked for, and its ``sensitive`` attributes.
        facts: of the SCM.
        data: the fingerprint of the rows.
        drawing: the version of the generator of a data set that is drawn by the seed; None of any other.
        arrows: the graph, child -> parents, as columns.
        equations: the hash of what was fitted.
    """
    option = part_of(scm)
    read = read_settings(scm, facts)
    own = {key: value for key, value in read.items() if not (key.startswith("_") or key == "draws")}
    source: dict[str, Any] = {"fingerprint": data}
    if drawing is not None:
        source = {"generated": part_of(dataset), "rows": dataset.get("rows"), "version": drawing}
    asked = _normal(dataset.get("graph")) if option in FITTED else None
    sensitive = attributes(dataset)
    return {
        "option": option,
        "settings": own,
        "graph": {child: list(of) for child, of in arrows.items()} if arrows and option in FITTED else asked,
        "source": source,
        "sensitive": sensitive,
        "fingerprint": _about(_hash([option, as_hashed(own), asked, source]), sensitive),
        "equations": equations,
    }


def attributes(dataset: Mapping[str, Any]) -> list[str] | None:
    """The sensitive attributes that the settings of a data set name, in alphabetical order; None where they do not."""
    given = dataset.get("sensitive", (dataset.get("schema") or {}).get("sensitive"))
    return None if given is None else sorted(map(str, [given] if isinstance(given, str) else given))


def _about(fingerprint: str, sensitive: Sequence[str] | None) -> str:
    """The fingerprint of a causal model, and of the attributes that its figures are about."""
    return fingerprint if sensitive is None else _hash([fingerprint, list(sensitive)])


def is_under(causal: Mapping[str, Any], graph: Any) -> bool:
    """Returns whether a causal model is that of its option, settings and source under a ``graph`` as asked for."""
    asked = _normal(graph) if causal["option"] in FITTED else None
    own = _hash([causal["option"], as_hashed(causal["settings"]), asked, causal["source"]])
    return bool(causal["fingerprint"] == _about(own, causal.get("sensitive")))


def causal_of(record: Record, evaluation: str | None = None) -> dict[str, Any] | None:
    """The causal model that the figures of a record rest on, or those of a later evaluation; None where none is known.

    Of records from before they held it, it follows from their settings, and so do the sensitive attributes.
    """
    later = (record.get("evaluations") or {}).get(evaluation) or {}
    found: dict[str, Any] | None = later.get("causal") or record.get("causal")
    params = record["params"]
    scm, dataset = params.get("scm"), params.get("dataset")
    if found is not None:
        return found if "sensitive" in found else _with_attributes(found, dataset)
    if not (isinstance(scm, Mapping) and isinstance(dataset, Mapping) and part_of(scm) not in ("", "none")):
        return None
    return describe(
        scm,
        dataset,
        facts=record.get("scm") or {},
        data=str(record.get("fingerprint")),
        drawing=1 if part_of(dataset) in FIRST_GENERATED else None,
        arrows=None,
        equations=None,
    )


def _with_attributes(causal: dict[str, Any], dataset: Any) -> dict[str, Any]:
    """A causal model from before it held the sensitive attributes, with those of the settings of its data set."""
    sensitive = attributes(dataset) if isinstance(dataset, Mapping) else None
    return {**causal, "sensitive": sensitive, "fingerprint": _about(causal["fingerprint"], sensitive)}


def describe_requested(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """The causal model that a configuration asks for, before there are data: those that differ do not compare.

    Its source is the settings of the data set, as far as rows depend on them. None where there is none, as of images.
    """
    scm, dataset = params["scm"], params["dataset"]
    if part_of(scm) in ("", "none"):
        return None
    rows = {key: value for key, value in dataset.items() if key not in ROWS_OMIT}
    facts = {POSTERIOR: 1.0}  # a discrete column may have parents
    data = json.dumps({key: value for key, value in rows.items() if key != "name"}, sort_keys=True, default=str)
    found = describe(settle(scm), dataset, facts=facts, data=data, drawing=None, arrows=None, equations=None)
    return {**found, "source": {key: value for key, value in rows.items() if not key.startswith("_")}}


def part_of(node: Mapping[str, Any]) -> str:
    """The option that a part of a configuration is: the name of its module."""
    return str(node.get("_target_") or "").rpartition(".")[0].rpartition(".")[2]


def _normal(graph: Any) -> dict[str, list[str]] | None:
    """A graph as it is typed, in one form: children with parents, both in alphabetical order."""
    if not isinstance(graph, Mapping):
        return None
    listed = {str(child): [of] if isinstance(of, str) else list(of or ()) for child, of in graph.items()}
    return {child: sorted(map(str, listed[child])) for child in sorted(listed) if listed[child]}


def hash_of_graph(graph: Mapping[str, Any]) -> str:
    """6 hex digits that name a graph."""
    return _hash(_normal(graph))[:6]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(_numbers(value), sort_keys=True).encode()).hexdigest()[:16]


def _numbers(value: Any) -> Any:
    """The same with 1.0 for 1."""
    if isinstance(value, Mapping):
        return {str(key): _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
