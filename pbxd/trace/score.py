"""Quality over time as a note of a trace: a sentence for people, and behind it the rows for who draws them."""

from __future__ import annotations

from collections.abc import Sequence

from media.history import Sample

DIALS = "dials a digit"  # notes that begin so; which digit is in no trace
ONE_WAY = "is not heard: no packet"
HEARD_AGAIN = "is heard again: packets come"
MAX_ROWS = 240
_ROWS = " | "  # what follows is for programs


def told(role: str, samples: Sequence[Sample], now: float, longest_burst: int) -> str:
    """The note, as of `now`, of a leg that was `role`."""
    rows = ";".join(_row(sample, now) for sample in samples)
    return f"{role} over time: {_sentence(samples, now, longest_burst)}{_ROWS}{rows}"


def for_people(text: str) -> str:
    """Without its rows."""
    return text.partition(_ROWS)[0]


def read(text: str, at: float) -> tuple[str, list[Sample]]:
    """Whose note of the time `at` it is, and its samples by the same clock; rows that are none are left out."""
    head, _, rows = text.partition(_ROWS)
    samples = []
    for row in rows.split(";"):
        try:
            samples.append(_sample(row.split(","), at))
        except ValueError:
            continue
    return head.split(" ", 1)[0], samples


def _sentence(samples: Sequence[Sample], now: float, longest_burst: int) -> str:
    scored = [(sample.mos, sample.at) for sample in samples if sample.mos is not None]
    if not scored:
        return "nothing was heard"
    least, at = min(scored)
    mean = sum(score for score, _ in scored) / len(scored)
    words = [f"MOS {mean:.2f}"]
    if len(scored) > 1:
        words.append(f"least {least:.2f}, {now - at:.0f} s before the end")
    if bursts := sum(sample.bursts for sample in samples):
        words.append(f"{bursts} bursts of loss, the longest of {longest_burst} packets")
    words.append(f"jitter up to {max(sample.jitter_ms for sample in samples):.1f} ms")
    if concealed := sum(sample.concealed_ms for sample in samples):
        words.append(f"{concealed} ms concealed")
    return "; ".join(words)


def _row(sample: Sample, now: float) -> str:
    fields = (
        f"{now - sample.at:.1f}",
        _score(sample.mos),
        _score(sample.remote_mos),
        f"{100 * sample.loss:.2f}",
        str(sample.bursts),
        f"{sample.jitter_ms:.1f}",
        str(sample.concealed_ms),
        str(sample.delay_ms),
        str(sample.received),
    )
    return ",".join(fields)


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"


def _sample(fields: Sequence[str], at: float) -> Sample:
    ago, heard, remote, loss, bursts, jitter, concealed, delay, received = fields
    return Sample(
        at - float(ago),
        float(heard) if heard else None,
        float(remote) if remote else None,
        float(loss) / 100,
        int(bursts),
        float(jitter),
        int(concealed),
        int(delay),
        int(received),
    )
