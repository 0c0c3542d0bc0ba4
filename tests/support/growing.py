"""A dictionary that grows while it is encoded, as when another task or thread adds to it."""

from __future__ import annotations

from pydantic import BaseModel, model_serializer


class Growing(BaseModel):
    """A value that adds to the dictionary that it is in, whenever it is encoded."""

    model_config = {"arbitrary_types_allowed": True}
    within: dict[str, object]

    @model_serializer
    def encoded(self) -> str:
        self.within[f"another {len(self.within)}"] = 1
        return "value"


def growing() -> dict[str, object]:
    """Makes such a dictionary."""
    first = Growing(within={})
    cart: dict[str, object] = {"first": first, "second": 2}
    first.within = cart  # later, since pydantic copies what it is made of
    return cart
