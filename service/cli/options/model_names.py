"""Model names that were typed, checked before a command imports torch.

Owns the end of the command; `model.checkpoint.names` judges. Main thread only.
"""

from __future__ import annotations

from service.cli.options.flags import fail_for


def check_model(source: str, revision: str | None = None, *, weights: bool = True) -> None:
    """End the command, with what was probably meant, if there is no such model or a part of it is missing."""
    from model.checkpoint.names import check_source

    try:
        check_source(source, revision, weights=weights)
    except (ValueError, OSError) as error:
        fail_for(error)
