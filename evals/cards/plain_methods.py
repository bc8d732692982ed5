"""The plain methods beside a search for rows, as the card of one run shows them."""

from collections.abc import Iterator, Mapping, Sequence

from evals.cards.card_sections import number
from evals.cards.document import Block, Heading, Paragraph, Table
from evals.choosing.comparison import error_rates
from evals.poisoning import beside
from evals.poisoning.beside import Method
from evals.poisoning.paired import Setting
from evals.poisoning.poison_tables import ACCURACY, DASH, three
from evals.records import levelling, query
from evals.records.query import Record
from utils.words.quoting import copyable, option

CAPTION = (
    "On the test rows, for the same split, learner, seed and limits on accuracy and harm, which are held on validation "
    "rows. What has a number is swept, and the best is taken on validation; where no try keeps to the limits, the "
    "nearest is shown. Thresholds of groups need everybody's group to decide, which may be unlawful. CPU-s: of all its "
    "trainings."
)


def facts(record: Record) -> Iterator[str]:
    """Yields of each method its figures on test rows in short."""
    metric = str(record["poison"]["metric"])
    for own in record["poison"].get("baselines") or ():
        test = own.get("test") or {}
        figures = ", ".join(f"{key} {number(test.get(key))}" for key in dict.fromkeys((metric, ACCURACY)))
        yield f"{own['method']}: {own.get('error') or figures + _broken(own.get('broken') or (), ', ')}"


def section(record: Record) -> list[Block]:
    """The methods' figures, what they cost, and what follows from it; nothing where none was tried."""
    setting = _alone(record)
    methods = beside.methods_of(setting)
    if not methods:
        return []
    rates = [(rate, i) for rate in error_rates(setting.metric) for i in range(len(setting.groups))]
    named = [f"{rate} {setting.groups[i]}" for rate, i in rates]
    keys = [f"{rate}_group{i}" for rate, i in rates]
    first = methods[0]
    before = [first.change.before, first.accuracy.before, *(first.rates[key].before for key in keys)]
    rows = [[beside.NOTHING, *map(three, before), DASH], *(_figures(method, keys) for method in methods)]
    header = ["method", setting.metric, ACCURACY, *named, "limits"]
    costs = Table(["method", "trainings", "CPU-s", "by the words"], [_costs(of) for of in methods if of.change.n])
    said = [Paragraph(_advise(setting, methods))] if setting.objective == "fair" else []
    return [Heading("Plain methods beside the search", 3), Table(header, rows, CAPTION), costs, *said]


def _figures(method: Method, keys: Sequence[str]) -> list[str]:
    if not method.change.n:
        return [method.name, *[DASH] * (len(keys) + 2), f"not there: {method.error}"]
    figures = [method.change.after, method.accuracy.after, *(method.rates[key].after for key in keys)]
    return [method.name, *map(three, figures), _broken(method.broken) or "kept"]


def _costs(method: Method) -> list[str]:
    return [method.name, f"{method.trainings:g}", f"{method.seconds:.2g}", " ".join(method.words) or DASH]


def _broken(limits: Sequence[str] | Mapping[str, float], before: str = "") -> str:
    return f"{before}breaks {', '.join(limits)}" if limits else ""


def _advise(setting: Setting, methods: list[Method]) -> str:
    """Says whether a plain method is better on the validation rows of the run, with both sides of it on test rows."""
    search, best, metric = methods[0], beside.best_of(setting, methods), setting.metric
    several = copyable("python -m evals.poison", option("dataset", str(setting.records[0]["dataset"])))
    more = f"One seed: no interval can be given; {several} compares over several."
    if best is None:
        return f"No plain method keeps to the limits on validation rows. {more}"
    named = f"{best.name} ({' '.join(best.words)})" if best.words else best.name
    valid = f"{metric} {three(best.valid)} against {three(search.valid)} of the search"
    test = f"on the test rows {three(best.change.after)} against {three(search.change.after)}"
    if not beside.is_better(setting, best.valid, search.valid):
        start = "On validation rows no plain method within the limits is better"
        return f"{start}: {named} has {valid}; {test}. {more}"
    moves = {key: (of.before, of.after) for key, of in best.rates.items()}
    sides = levelling.sides(error_rates(metric), setting.groups, moves.__getitem__, setting.records)
    both = "".join(f" With it, {text}." for text in sides)
    return f"A plain method is better on validation rows: {named}, {valid}; {test}.{both} {more}"


def _alone(record: Record) -> Setting:
    """Returns a run as a setting of its own, by its own thresholds, which its methods have too."""
    own: Record = {**record, "metrics": record.get("own_metrics", record["metrics"])}
    return Setting(str(record["name"]), query.frame([own]), [own])
