"""What work has cost lately on one device, learnt from the steps' reports. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from service.messages import StepReport

SMOOTHING = 0.2  # weight of the newest step


@dataclass(frozen=True, slots=True)
class Costs:
    """Running averages in seconds; 0.0 where nothing was measured yet.

    Attributes:
        tile_s: encoding one tile, in batches as they come.
        prompt_token_s: reading one prompt token, the image's keys and values included.
        decode_step_s: one token for every running row.
    """

    tile_s: float = 0.0
    prompt_token_s: float = 0.0
    decode_step_s: float = 0.0

    def after(self, report: StepReport) -> Costs:
        """The averages after one more step."""
        return Costs(
            _smooth(self.tile_s, report.encode_s, report.encoded_tiles),
            _smooth(self.prompt_token_s, report.prefill_s, report.prompt_tokens),
            _smooth(self.decode_step_s, report.decode_s, int(report.decode_rows > 0)),
        )


def _smooth(average_s: float, seconds: float, units: int) -> float:
    if not units:
        return average_s
    newest_s = seconds / units
    return newest_s if not average_s else (1 - SMOOTHING) * average_s + SMOOTHING * newest_s
