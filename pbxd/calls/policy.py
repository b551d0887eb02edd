"""What may be negotiated with one side, and what a far side's audio line offers, in our words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

from media.plan import Codec, CodecSettings, Jitter
from pbxd.calls.crypto import Protection, acceptable
from pbxd.calls.opus import OpusParameters
from pbxd.sip.sdp import Format, MediaLine

COMFORT_NOISE = 13
EVENT_NAME = "TELEPHONE-EVENT"
LAWS = (Codec.PCMU, Codec.PCMA)
EVENT_CLOCK = 8000  # of those that say no other: many phones give it beside Opus, too


@dataclass(frozen=True, slots=True)
class OfferedAudio:
    """What a far side's audio line says. `events` are its telephone-events by clock (RFC 4733 §2.4.1); `opus` what it
    wants to hear of Opus; `secured`: with a key that we can use."""

    codecs: tuple[Codec, ...]
    payload_types: dict[Codec, int]
    events: dict[int, Format]
    comfort_noise: bool
    opus: OpusParameters
    secured: bool = False

    def event_for(self, codec: Codec) -> Format | None:
        """The telephone-event beside `codec`: that of its clock (RFC 4733 §2.1), else the common one.
        Not what RFC 4733 says: it knows no other clock than that of the audio; phones do."""
        return self.events.get(codec.clock) or self.events.get(EVENT_CLOCK)

    def noise_beside(self, codec: Codec) -> bool:
        """Whether comfort noise may come beside `codec`: its one payload type counts at 8000 Hz (RFC 3389 §4)."""
        return self.comfort_noise and codec.clock == EVENT_CLOCK


_NOTHING_TO_SET = CodecSettings()
SILENT = OfferedAudio((), {}, {}, False, OpusParameters())
"""Of an offer without audio that can be answered all the same."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be negotiated: codecs in order of preference, packet time in ms, extras, our Opus, and after how many
    seconds without a packet a stream counts as dead (0: never), how long sound waits in a room for packets that are
    late. `converts`: whatever two sides speak can be joined, so
    that both may be offered all; without it only what needs no more than a relay. `hears` is what the one at the other
    end of the call said of the Opus it wants."""

    codecs: tuple[Codec, ...] = (Codec.PCMU, Codec.PCMA)
    ptime_ms: int = 20
    dtmf: bool = True
    comfort_noise: bool = False
    silence_s: float = 60.0
    jitter: Jitter = field(default_factory=Jitter)
    opus: CodecSettings = field(default_factory=CodecSettings)
    converts: bool = False
    hears: OpusParameters = field(default_factory=OpusParameters)
    protection: Protection = field(default_factory=Protection)

    def for_fax(self) -> Policy:
        """This policy for a leg that carries a fax: the two laws of G.711, and nothing that changes the sound."""
        laws = tuple(codec for codec in self.codecs if codec in LAWS) or LAWS
        return replace(self, codecs=laws, comfort_noise=False)

    def like(self, offered: OfferedAudio | None) -> Policy:
        """This policy for a callee of who offered that: in the caller's order, first what needs no conversion at all.
        It has no codecs when there is nothing in common. Who calls under SRTP
        has the callee asked for it, too."""
        if offered is None:
            return self
        codecs = self._joining(offered.codecs)
        protection = replace(self.protection, offers=self.protection.offers or offered.secured)
        noise, hears = offered.comfort_noise, offered.opus
        return replace(self, codecs=codecs, comfort_noise=noise, hears=hears, protection=protection)

    def joining(self, codec: Codec) -> tuple[Codec, ...]:
        """What may be offered to a side that is to be joined with `codec`, that one first."""
        return self._joining((codec,))

    def _joining(self, with_: tuple[Codec, ...]) -> tuple[Codec, ...]:
        same = [codec for codec in with_ if codec in self.codecs]
        rest = [codec for codec in self.codecs if codec not in same]
        relayed = [codec for codec in rest if any(codec.relays(other) for other in with_)]
        converted = [codec for codec in rest if codec not in relayed] if self.converts else []
        return (*same, *relayed, *converted)

    def settings(self, codec: Codec, theirs: OpusParameters) -> CodecSettings:
        """How our encoder works for a side that wants `theirs`: what we would do, within what it can use."""
        if codec is not Codec.OPUS:
            return _NOTHING_TO_SET
        bitrates = [bitrate for bitrate in (self.opus.bitrate, theirs.max_bitrate) if bitrate]
        return replace(
            self.opus,
            bitrate=min(bitrates, default=0),
            fec=self.opus.fec and theirs.fec,
            dtx=self.opus.dtx and theirs.dtx,
        )

    def opus_format(self, payload_type: int) -> Format:
        """Opus as we write it: what we want to hear, within what the other end of the call said."""
        return _opus_format(self.hears, self.opus.fec, self.opus.dtx, payload_type)


@lru_cache(maxsize=256)
def _opus_format(hears: OpusParameters, fec: bool, dtx: bool, payload_type: int) -> Format:
    said = replace(hears, fec=fec, dtx=dtx, min_ptime_ms=None)
    return Format(pt=payload_type, name="OPUS", rate=Codec.OPUS.clock, channels=2, fmtp=str(said))


def understood(line: MediaLine, policy: Policy, ours: MediaLine | None = None) -> OfferedAudio:
    """What of `line` the policy allows. `ours` is the offer that it answers: what was not in it counts for nothing, and
    a dynamic payload type without rtpmap means what it meant there."""
    named = {form.pt: form for form in ours.formats} if ours is not None else {}
    allowed = {codec_of(form) for form in ours.formats} if ours is not None else set(policy.codecs)
    payload_types: dict[Codec, int] = {}
    events: dict[int, Format] = {}
    comfort_noise = False
    opus = OpusParameters()
    for form in line.formats:
        if not form.name and (meant := named.get(form.pt)) is not None:
            form = replace(meant, fmtp=form.fmtp)
        codec = codec_of(form)
        if codec is not None and codec in policy.codecs and codec in allowed:
            if codec is Codec.OPUS and codec not in payload_types:
                opus = OpusParameters.parse(form.fmtp)
            payload_types.setdefault(codec, int(form.pt))
        elif form.name == EVENT_NAME:
            events.setdefault(form.rate, form)
        elif form.pt == COMFORT_NOISE or form.name == "CN":
            comfort_noise = form.pt == COMFORT_NOISE
    secured = ours is None and acceptable(line, policy.protection) is not None
    return OfferedAudio(tuple(payload_types), payload_types, events, comfort_noise, opus, secured)


def codec_of(form: Format) -> Codec | None:
    """The codec of ours that a format names; tolerant of `opus/48000` and of G.722 by its true sampling rate."""
    found = _CODECS.get((form.name, form.rate, form.channels))
    if found is None and form.channels == 1:
        found = _MISSAID.get((form.name, form.rate))
    return found


_CODECS = {(codec.encoding, codec.clock, codec.channels): codec for codec in Codec}
_MISSAID = {("OPUS", 48000): Codec.OPUS, ("G722", 16000): Codec.G722}
