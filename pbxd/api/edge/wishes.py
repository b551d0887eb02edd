"""What the edge is told: camelCase or snake_case, numbers as text or not, and unknown fields are let pass.

The nodes are of many makes: what one of them says beyond the contract is its own business.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

MAX_OBJECT_CHARS = 16_384

Text = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
AccountName = Annotated[Word, Field(description="an account's id or slug", examples=["lab"])]


class EdgeWish(BaseModel):
    """Something the edge is told."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True, coerce_numbers_to_str=True
    )

    @model_validator(mode="before")
    @classmethod
    def _given(cls, told: Any) -> Any:
        """A field that is null is one that was not given: some nodes say all that they know of, each time."""
        if isinstance(told, dict) and None in told.values():
            return {name: value for name, value in told.items() if value is not None}
        return told


def _from_text(value: object) -> object:
    """A form says an object or list as JSON text."""
    if not isinstance(value, str):
        return value
    if len(value) > MAX_OBJECT_CHARS:
        raise ValueError("this is too long")
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("in a form this is JSON text") from None


FromForm = BeforeValidator(_from_text)
"""Annotates a field that is an object or a list: in a form its value is JSON text."""
JsonObject = Annotated[dict[str, Any], FromForm]
