"""The method against its own parts and against others, on built-in scenes, over seeds and pairings.

``comparison`` goes over pairings and seeds; ``methods`` and ``ablations`` say what is run in each; ``statistics``,
``figure`` and ``page`` what is told of it.
"""

from __future__ import annotations

from semples.verbs.comparison.runs import compare
from semples.verbs.comparison.statistics import paired_difference

__all__ = ["compare", "paired_difference"]
