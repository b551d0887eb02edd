"""Bounds of settings: what a field says of itself is not undone by its type, which pydantic would let come last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError

from pbxd.config.accounts import TrunkRegister
from pbxd.config.section import Section
from pbxd.directory.resources import KINDS


def below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in model.__subclasses__():
        yield one
        yield from below(one)


MODELS: set[type[BaseModel]] = {model for model in below(Section) if model.__module__.startswith("pbxd.")} | {
    one.model for one in KINDS.values()
}


@pytest.mark.parametrize("model", sorted(MODELS, key=str), ids=str)
def test_the_narrowest_bound_that_is_said_holds(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        lowest = [one.ge if isinstance(one, Ge) else one.gt for one in field.metadata if isinstance(one, Ge | Gt)]
        highest = [one.le if isinstance(one, Le) else one.lt for one in field.metadata if isinstance(one, Le | Lt)]
        assert lowest[-1:] == sorted(lowest)[-1:], f"{name} is bounded from below by {lowest}"  # type: ignore[type-var]
        assert highest[-1:] == sorted(highest)[:1], f"{name} is bounded from above by {highest}"  # type: ignore[type-var]


def test_a_registration_is_asked_for_a_minute_at_least() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 60"):
        TrunkRegister.model_validate({"username": "a", "password": "b", "expires_s": 59})
