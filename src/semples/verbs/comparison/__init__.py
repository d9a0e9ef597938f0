"""Compares the method with its own parts and with others, on built-in scenes, over seeds and pairings.

``runs`` loops over pairings and seeds; ``methods`` and ``ablations`` define the runs of each; ``statistics``, ``rows``,
``figure`` and ``page`` summarize the results.
"""

from __future__ import annotations

from semples.verbs.comparison.runs import compare
from semples.verbs.comparison.statistics import paired_difference

__all__ = ["compare", "paired_difference"]
