"""`/admin/tts/generate`: the system prompts said and put where `/media/system/…` finds them."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from pbxd.api.contract import Identity
from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.edge.tenancy import is_house
from pbxd.errors import Conflict, Denied, Invalid
from pbxd.services.prompts import PROMPTS, Gender, Made, Progress, languages

__all__ = ["EDGE"]


class GenerateQuery(BaseModel):
    model_config = ConfigDict(frozen=True)

    lang: Annotated[
        str | None, Field(max_length=16, description="a language of the catalogue; none: all", examples=["en"])
    ] = None
    gender: Annotated[Gender | None, Field(description="none: both")] = None
    force: Annotated[bool, Field(description="1 makes anew what is there")] = False


@EDGE.operation(
    "POST",
    "/admin/tts/generate",
    tag="media",
    scope=SCOPE,
    errors=(Invalid, Conflict),
    answer_type="application/json",
)
async def generate_prompts(
    edge: Edge, query: GenerateQuery, identity: Identity, request: web.Request
) -> web.StreamResponse:
    """Say the system prompts and keep them as `system/<lang>/<gender>/<id>.wav`.

    The answer is one JSON object, written as it goes: a line for each prompt of `prompts` when it is kept (`made`,
    `kept` where it was there, `failed`), at the end the counts. Calls do not wait for it; who hangs up ends it.
    """
    if not is_house(edge, identity):
        raise Denied("the system prompts are the house's own")
    known = languages()
    if query.lang is not None and query.lang not in known:
        raise Invalid(f"lang: one of {', '.join(known)}")
    wanted = known if query.lang is None else (query.lang,)
    genders = tuple(Gender) if query.gender is None else (query.gender,)
    prompts = edge.media.prompts
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
    with prompts.turn(), contextlib.suppress(ConnectionError):
        await response.prepare(request)
        async for line in _lines(prompts.generate(wanted, genders, force=query.force), wanted, genders):
            await response.write(line.encode())
        await response.write_eof()
    return response


async def _lines(work: AsyncIterator[Progress], wanted: Sequence[str], genders: Sequence[Gender]) -> AsyncIterator[str]:
    total = len(wanted) * len(genders) * len(PROMPTS)
    yield f'{{"languages": {json.dumps(wanted)}, "genders": {json.dumps(genders)}, "total": {total}, "prompts": ['
    counts: Counter[Made] = Counter(dict.fromkeys(Made, 0))
    async for progress in work:
        yield f"{',' if counts.total() else ''}\n{json.dumps(_said(progress))}"
        counts[progress.made] += 1
    said = {"ok": not counts[Made.FAILED], **{made.value: count for made, count in counts.items()}}
    yield f"\n], {json.dumps(said)[1:]}\n"


def _said(progress: Progress) -> dict[str, Any]:
    said = {"key": progress.key, "state": progress.made.value}
    if progress.seconds is not None:
        return said | {"seconds": round(progress.seconds, 2)}
    return said if progress.reason is None else said | {"reason": progress.reason}
