"""The MCP tools `caption`, `ask` and `estimate`: what an agent is told of them, and what a call of one does.

Owns names and descriptions. Knows neither the SDK nor where the service is. Event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from service.errors import InvalidField
from service.mcp.arguments import AskArguments, CaptionArguments, EstimateArguments, ImageArguments, input_schema
from service.mcp.images import ImageSources, none_given
from service.mcp.results import AskResult, CaptionResult, ToolResult, ask_result, caption_result, estimate_result
from service.mcp.service_client import CaptionService, SentImage, ToolError, answered
from service.schemas.estimate import Estimate
from service.schemas.requests import check
from service.schemas.responses import CaptionAnswer, VqaAnswer

INSTRUCTIONS = (
    "Pheye is a small vision-language model that reads fine detail and text in images. Describe an image with caption, "
    "ask about it with ask; several questions about one image are cheapest in one call. It answers about what is in "
    "the image, one image a call, and remembers nothing. Read the warnings of a result before you rely on it."
)


@dataclass(frozen=True, slots=True)
class ToolCard:
    """Description of a tool, as an agent is told it."""

    name: str
    title: str
    description: str
    arguments: type[ImageArguments]
    result: type[BaseModel]


CARDS = (
    ToolCard("caption", "Describe an image", "Describe an image in words.", CaptionArguments, CaptionResult),
    ToolCard(
        "ask",
        "Ask about an image",
        "Answer one or several questions about an image, or choose among given answers.",
        AskArguments,
        AskResult,
    ),
    ToolCard(
        "estimate",
        "Estimate the cost",
        "Estimate what a caption or answers would cost - time, tokens, FLOPs - without making them.",
        EstimateArguments,
        Estimate,
    ),
)


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools over one service, for agents that may name images of these kinds.

    Attributes:
        refusal: why no call is answered now; empty if calls are.
    """

    service: CaptionService
    images: ImageSources
    refusal: str = ""

    def input_schema(self, card: ToolCard) -> dict[str, Any]:
        """Write the schema of a tool's arguments."""
        return input_schema(card.arguments, local=self.images.local)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call a tool.

        Raises:
            ToolError: there is no such tool, the arguments are wrong, or the service gave no answer.
        """
        if self.refusal:
            raise ToolError(self.refusal)
        card = next((card for card in CARDS if card.name == name), None)
        if card is None:
            raise ToolError(f"there is no tool {name[:64]!r}; there are {', '.join(each.name for each in CARDS)}")
        try:
            given = check(card.arguments, arguments, strict=True)
        except InvalidField as error:
            raise ToolError(error.detail) from None
        image = await self.images.image(given.image)
        if image is None and card.name != "estimate":
            raise none_given(self.images.local)
        try:
            return await self._answer(given, image)
        except (ValidationError, ValueError):
            raise ToolError("the service's answer is not of the form it should have; is it of this version?") from None

    async def _answer(self, given: ImageArguments, image: SentImage | None) -> ToolResult:
        fields = _fields(given)
        if isinstance(given, CaptionArguments):
            return caption_result(CaptionAnswer.model_validate_json(await self._post("caption", fields, image)))
        if isinstance(given, AskArguments):
            body = await self._post("vqa", fields, image)
            return ask_result(given.questions, VqaAnswer.model_validate_json(body))
        return estimate_result(Estimate.model_validate_json(await self._post("estimate", fields, image)))

    async def _post(self, route: str, fields: Mapping[str, Any], image: SentImage | None) -> bytes:
        return await answered(self.service, f"/v1/{route}", fields, image)


def _fields(given: ImageArguments) -> dict[str, Any]:
    """Build the fields of a request: what the agent wrote, and nothing of what it left out."""
    written = given.model_dump(exclude_unset=True, exclude_none=True, exclude={*given.image, "max_tokens"})
    return written if given.max_tokens is None else {**written, "settings": {"max_tokens": given.max_tokens}}
