"""Labels of results, shared by the terminal, the report and comparisons."""

from __future__ import annotations

CAM_LABELS = {
    "classify": "CAM",
    "match": "CAM + match",
    "refine": "CAM + full",
}
"""Stage -> label of its CAMs."""

SPLIT_LABELS = {"train": "train", "val": "held out"}
"""Split -> label."""

PSEUDO_MASKS = "Pseudo masks"
SEGMENTATION = "Segmentation"
SUPERVISED_BOUND = "Supervised bound"

METHOD_LABELS = {
    "classify": CAM_LABELS["classify"],
    "match": CAM_LABELS["match"],
    "generic": "CAM + generic words",
    "manual": "CAM + true context words",
    "clip-es": "CLIP-ES style",
    "full": CAM_LABELS["refine"],
    "dense-none": "Dense, class texts alone",
    "dense-generic": "Dense + generic words",
    "dense-picked": "Dense + picked words",
    "dense-mixtures": "Dense + word mixtures",
    "dense-vectors": "Dense + learned vectors",
    "dense-vectors-places": "Dense + learned vectors, places",
    "supervised-bound": SUPERVISED_BOUND,
}
"""Method of ``semples compare`` -> label, in the order of its table."""


def refined_label(step: str) -> str:
    """Return the label of the masks after a refinement step."""
    return f"After {step}"
