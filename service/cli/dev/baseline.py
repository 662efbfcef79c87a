"""`pheye dev baseline`: the options of the naive server. Main thread only."""

from __future__ import annotations

from service.cli.options.dataclass_options import options
from service.cli.options.flags import OFFLINE_NAMES, fail_for, read_settings, setting_flags
from service.cli.options.model_names import check_model

SETTINGS = ("model", "revision", "devices", "dtype", "threads", "host", "port")


@options(setting_flags(*SETTINGS, renamed=OFFLINE_NAMES))
def baseline(**flags: str | None) -> None:
    """Serve the naive model behind a lock, to measure `serve` against; never deploy it."""
    settings = read_settings(flags, OFFLINE_NAMES)
    check_model(settings.model, settings.revision)
    from service.bench.baseline import serve as run_baseline

    try:
        run_baseline(settings)
    except (ValueError, OSError) as error:
        fail_for(error)
