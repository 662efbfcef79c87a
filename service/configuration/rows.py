"""The settings as rows, for the command-line flags and the documentation's tables.

Knows nothing of the environment; the settings themselves are `service.configuration.settings`'. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.configuration.settings import PREFIX, Settings

NO_FLAG = ("api_keys",)  # a command line can be read by every user of the machine


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A line of the table of settings in `docs/configuration.md`; `flag` is empty where there is none."""

    variable: str
    flag: str
    default: str
    description: str


def setting_rows() -> Iterator[SettingRow]:
    """List every setting, in order, for the generated table.

    >>> next(setting_rows()).variable
    'PHEYE_MODEL'
    """
    for name, info in Settings.model_fields.items():
        empty = info.default is None or info.default == ()
        yield SettingRow(
            variable=PREFIX + name.upper(),
            flag="" if name in NO_FLAG else "--" + name.replace("_", "-"),
            default="" if empty else str(info.default),
            description=info.description or "",
        )
