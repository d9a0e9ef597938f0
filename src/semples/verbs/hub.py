"""A look at the hub of models, without downloading anything: models in its cache, and models it has."""

from __future__ import annotations

import os
import threading
from typing import Literal

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

SECONDS = 5.0
"""Time in which the hub must answer."""
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
"""Files of a model of which one must be there beside its config: its weights, or the list of their parts."""
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")

Answer = Literal["has it", "does not show it", "does not answer"]


def is_cached(name: str) -> bool:
    """Return whether the config and the weights of a model are in the hub's cache."""
    return _is_file_cached(name, "config.json") and any(_is_file_cached(name, file) for file in WEIGHTS)


def offline_variable() -> str | None:
    """Return the environment variable that forbids the network, if one does."""
    return next((name for name in OFFLINE_VARIABLES if _is_set(os.environ.get(name, ""))), None)


def ask_hub(name: str) -> Answer:
    """Ask the hub for a model, for a few seconds at most; a hub that refuses to show it may want a login."""
    answers: list[Answer] = []
    # In a thread of its own, because looking up the hub's address has no time limit.
    thread = threading.Thread(target=lambda: answers.append(_ask(name)), daemon=True)
    thread.start()
    thread.join(SECONDS)
    return answers[0] if answers else "does not answer"


def _ask(name: str) -> Answer:
    try:
        HfApi().model_info(name, timeout=SECONDS)
    except (GatedRepoError, RepositoryNotFoundError):
        return "does not show it"
    except Exception:  # the HTTP library raises dozens of types here
        return "does not answer"
    return "has it"


def _is_file_cached(name: str, file: str) -> bool:
    return isinstance(try_to_load_from_cache(name, file), str)


def _is_set(value: str) -> bool:
    return value.upper() in ("1", "ON", "YES", "TRUE")
