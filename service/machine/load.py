"""The load on this machine: how many processes wanted a core in the last minute, beside how many cores there are.

Says beside a measured time for which machine it holds. A container is told its host's load, and so compares it with the
host's cores. Any thread.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_BUSY = 0.5  # of the cores: from there on other work takes a good part of what a measurement could have had


@dataclass(frozen=True, slots=True)
class MachineLoad:
    """The load average of the last minute, in processes, and the number of cores."""

    average: float
    cores: int

    def warning(self) -> str | None:
        """Say that the machine is busy; None if it is not.

        >>> MachineLoad(5.96, 2).warning()
        'this machine is busy: 6.0 processes at a time on 2 cores in the last minute; times hold while it stays so'
        >>> MachineLoad(0.9, 2).warning()
        """
        if self.average < _BUSY * self.cores:
            return None
        return (
            f"this machine is busy: {self.average:.1f} processes at a time on {self.cores} cores in the last minute; "
            "times hold while it stays so"
        )


def machine_load() -> MachineLoad:
    """Return the load of now; read it before a measurement, which adds to it."""
    try:
        average = os.getloadavg()[0]
    except OSError:  # this system does not tell
        average = 0.0
    return MachineLoad(average, os.cpu_count() or 1)
