"""The settings of the edge's control plane: who may ask, and how long things are remembered there."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pbxd.config.section import Count, Seconds, Section, Switch
from pbxd.config.values import NetworkField


class EdgeControl(Section):
    sources: tuple[NetworkField, ...] = Field(
        default=(), max_length=256, description="addresses that need no key; loopback counts only where it stands here"
    )
    media_sources: tuple[NetworkField, ...] = Field(
        default=(),
        max_length=256,
        description="media nodes: addresses that need no key for /media, and for nothing else",
    )
    media_max_mb: Annotated[Count, Field(le=4_096)] = Field(
        default=64, description="size of one object of /media; larger ones get 413"
    )
    foreign_nonces: Switch = Field(default=True, description="whether a node may challenge with nonces of its own")
    nonce_s: Annotated[Seconds, Field(le=86_400)] = Field(default=300, description="how long a nonce is good for")
    session_s: Annotated[Seconds, Field(le=604_800)] = Field(
        default=3_600, description="a flow not stepped for so long is over"
    )
    max_sessions: Annotated[Count, Field(le=1_000_000)] = Field(
        default=10_000, description="flows of nodes at a time; more get 503"
    )
    setup_s: Annotated[Seconds, Field(le=86_400)] = Field(
        default=300, description="a call of which a node says nothing after /route is over then"
    )
    call_s: Annotated[Seconds, Field(le=604_800)] = Field(
        default=14_400, description="a call whose end no node reports is over then"
    )
    max_calls: Annotated[Count, Field(le=1_000_000)] = Field(
        default=10_000, description="calls of nodes remembered at a time"
    )
