"""Running averages of the cost of work on one device, learnt from the steps' reports. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from service.messages.from_worker import StepReport
from service.moving_average import moving_average

SMOOTHING = 0.2  # weight of the newest step


@dataclass(frozen=True, slots=True)
class Costs:
    """Average costs in seconds; 0.0 if nothing was measured yet.

    Attributes:
        tile_s: encoding one tile, in batches as they come.
        prompt_token_s: reading one prompt token, the image's keys and values included.
        decode_step_s: one token for every running row.
    """

    tile_s: float = 0.0
    prompt_token_s: float = 0.0
    decode_step_s: float = 0.0

    def after(self, report: StepReport) -> Costs:
        """Return the averages after one more step."""
        return Costs(
            _updated(self.tile_s, report.encode_s, report.encoded_tiles),
            _updated(self.prompt_token_s, report.prefill_s, report.prompt_tokens),
            _updated(self.decode_step_s, report.decode_s, int(report.decode_rows > 0)),
        )


def _updated(average_s: float, seconds: float, units: int) -> float:
    return moving_average(average_s, seconds / units, SMOOTHING) if units else average_s
