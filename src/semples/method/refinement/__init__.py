"""Refine soft masks with the colors of the image (``docs/method.md``).

Each step takes scores and returns scores, so that steps can run in any order. Scores are [K'+1, H, W], 0 or more, for
background (first) and the K' classes present in the image; a pixel gets the label of its highest score. The
first scores are CAMs with a constant background (:func:`semples.method.masks.with_background`); images are [3, H, W] in
[0, 1].
"""
