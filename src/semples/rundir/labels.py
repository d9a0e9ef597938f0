"""What tables, figures and the report call the rows of a result."""

from __future__ import annotations

METHOD_LABELS = {
    "classify": "CAM",
    "match": "Match only",
    "generic": "Generic words",
    "manual": "True context words",
    "clip-es": "CLIP-ES style",
    "full": "Full method",
}
"""Method of ``semples compare`` -> what tables and figures call it."""
