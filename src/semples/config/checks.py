"""Checks that the sections share: a setting out of range is told with its value."""

from __future__ import annotations

from collections.abc import Collection

from semples.errors import ConfigError, did_you_mean


def positive(section: object, prefix: str, *names: str) -> None:
    """Refuse values of the section that are not above 0."""
    for name in names:
        value = getattr(section, name)
        if value <= 0:
            raise ConfigError(f"{prefix}.{name} is {value}, expected a number above 0")


def not_negative(section: object, prefix: str, *names: str) -> None:
    """Refuse values of the section below 0."""
    for name in names:
        value = getattr(section, name)
        if value < 0:
            raise ConfigError(f"{prefix}.{name} is {value}, expected 0 or more")


def fraction(section: object, prefix: str, *names: str) -> None:
    """Refuse values of the section outside of 0 to 1."""
    for name in names:
        value = getattr(section, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"{prefix}.{name} is {value}, expected a number from 0 to 1")


def one_of(setting: str, value: str, known: Collection[str]) -> None:
    """Refuse a name that is not known."""
    if value not in known:
        expected = ", ".join(f'"{name}"' for name in known)
        raise ConfigError(f'{setting} is "{value}", expected one of {expected}{did_you_mean(value, known)}')
