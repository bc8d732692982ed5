"""The words for what was done to training rows, and for added ones: copies of records, relabelled or invented."""

from collections.abc import Mapping
from typing import Any

# what a record counts of the rows of a search, by its key
DONE = {"rows": "added", "removed": "removed", "relabelled": "relabelled", "reweighed": "reweighed"}


def describe_origins(counted: Mapping[str, Any]) -> list[str]:
    """Says in words what the rows are, as ``utils.poisoning.origins`` counts them; only what there is."""
    words = (
        ("copies", "copies of records, a person's features with the label that person had"),
        ("relabelled", "people's features with a chosen label, which none of these people had"),
        ("invented", "invented, features that nobody in the training data has"),
        ("beyond", "beyond everybody, with a number below or above all people's"),
    )
    return [f"{counted[key]} of {counted['rows']}: {text}" for key, text in words if counted.get(key)]
