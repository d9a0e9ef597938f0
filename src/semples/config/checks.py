"""Checks that the sections share; their errors name the setting and its value."""

from __future__ import annotations

from collections.abc import Collection

from semples.errors import ConfigError, did_you_mean


def positive(section: object, prefix: str, *names: str) -> None:
    """Refuse values of a section that are not above 0.

    Raises:
        ConfigError: One of the named settings is 0 or less.
    """
    for name in names:
        value = getattr(section, name)
        if value <= 0:
            raise ConfigError(f"{prefix}.{name}: {value} is out of range; expected a number above 0")


def not_negative(section: object, prefix: str, *names: str) -> None:
    """Refuse values of a section below 0.

    Raises:
        ConfigError: One of the named settings is negative.
    """
    for name in names:
        value = getattr(section, name)
        if value < 0:
            raise ConfigError(f"{prefix}.{name}: {value} is out of range; expected 0 or more")


def fraction(section: object, prefix: str, *names: str) -> None:
    """Refuse values of a section outside of 0 to 1.

    Raises:
        ConfigError: One of the named settings is below 0 or above 1.
    """
    for name in names:
        value = getattr(section, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"{prefix}.{name}: {value} is out of range; expected a number from 0 to 1")


def one_of(setting: str, value: str, known: Collection[str]) -> None:
    """Refuse a name that is not among the known ones.

    Raises:
        ConfigError: The name is unknown.
    """
    if value not in known:
        expected = ", ".join(f'"{name}"' for name in known)
        raise ConfigError(
            f'{setting}: "{value}" does not exist; expected one of {expected}{did_you_mean(value, known)}'
        )
