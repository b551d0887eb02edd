"""A call as a picture: what happened, what was said, and how well each side was heard. SVG 1.1, of nothing but
shapes and text, so that every browser and every viewer shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from html import escape
from itertools import groupby

from media.history import Sample
from pbxd.trace.story import CALLEE, CALLER, SIDES, Mark, Side, Story, Track

WIDTH = 1200
LEFT, RIGHT = 64, 40
PLOT = WIDTH - LEFT - RIGHT
POINTS = PLOT  # of a waveform: one for each pixel
_HEAD = 118  # title, marks
_WAVE, _CHART, _GAP, _FOOT = 96, 132, 64, 72
_INK, _SOFT, _LINE, _PAPER = "#1f2933", "#6b7785", "#e3e8ee", "#ffffff"
_COLOURS = {CALLER: "#2463b0", CALLEE: "#b4580f"}
_BAD = "#c62f3b"
_ZONES = ((4.0, 4.5, "#eef7f0"), (3.6, 4.0, "#fdf8e4"), (3.1, 3.6, "#fdf0e2"), (1.0, 3.1, "#fdf2f1"))
_MARKS = {
    Mark.RINGING: "#6b7785",
    Mark.ANSWERED: "#2c8a4b",
    Mark.HELD: "#8a5fb0",
    Mark.RESUMED: "#8a5fb0",
    Mark.ENDED: _BAD,
}
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_FONT = "font-family=\"Inter,'Segoe UI','Helvetica Neue',Arial,'DejaVu Sans',sans-serif\""
_MOS_LOW, _MOS_HIGH = 1.0, 4.5
_LOSS_FULL = 0.2  # of a bar as high as the chart
_LABEL_WIDTH = 8.0  # about, of a letter


def picture(story: Story, zone: tzinfo | None = None) -> str:
    """The SVG document; times of day are those of `zone` (None: the local one)."""
    drawing = _Drawing(story, zone)
    drawing.head()
    for role in SIDES:
        if story.sides[role].there:
            drawing.side(story.sides[role])
    return drawing.document()


class _Drawing:
    def __init__(self, story: Story, zone: tzinfo | None) -> None:
        self._story = story
        self._zone = zone
        self._seconds = story.ended - story.began
        self._parts: list[str] = []
        self._lanes: list[tuple[float, float]] = []
        self._y = float(_HEAD)

    # ---- the parts

    def head(self) -> None:
        story = self._story
        began = datetime.fromtimestamp(story.began, self._zone)
        self._text(LEFT, 34, story.title, size=20, weight=600)
        ending = f" · {story.ending}" if story.ending else "" if story.over else " · still up"
        self._text(LEFT, 56, f"{began:%A, %d %B %Y, %H:%M:%S} · {_clock(self._seconds)}{ending}", fill=_SOFT)

    def side(self, side: Side) -> None:
        """Its heading, its waveforms and its chart, one below the other."""
        self._y += 34
        self._text(LEFT, self._y - 14, f"What the {side.role} said", size=14, weight=600, fill=_COLOURS[side.role])
        self._text(WIDTH - RIGHT, self._y - 14, side.label, size=12, fill=_SOFT, anchor="end")
        for track in self._story.tracks:
            if len(track.wave.channels) > 1 or side.role == CALLER:
                self._wave(track, side)
        self._chart(side)

    def document(self) -> str:
        """All of it; what lies behind the lanes is drawn first."""
        bottom = self._y
        height = bottom + _FOOT
        lanes, self._parts = self._parts, []
        self._axis(bottom)
        self._marks()
        self._legend(bottom + 52)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
            f'viewBox="0 0 {WIDTH} {height:.0f}" {_FONT} font-size="12" fill="{_INK}">'
        )
        title = f"<title>{_safe(self._story.title)}</title>"
        return "\n".join([head, title, _box(0, 0, WIDTH, height, _PAPER), *lanes, *self._parts, "</svg>\n"])

    # ---- sound

    def _wave(self, track: Track, side: Side) -> None:
        """Loudness in colour, its peaks pale behind it."""
        channels = track.wave.channels
        points = channels[SIDES.index(side.role)] if len(channels) > 1 else channels[0]
        top, middle = self._y, self._y + _WAVE / 2
        self._lanes.append((top, top + _WAVE))
        self._parts.append(_box(LEFT, top, PLOT, _WAVE, "#f7f9fb"))
        if points:
            each = track.wave.seconds / len(points)
            xs = [self._x(track.at + (number + 0.5) * each) for number in range(len(points))]
            scale = _WAVE / 2 - 4
            colour = _COLOURS[side.role] if len(channels) > 1 else _SOFT
            peaks = [*((x, middle - scale * point.high) for x, point in zip(xs, points, strict=True))]
            peaks += [(x, middle - scale * point.low) for x, point in zip(reversed(xs), reversed(points), strict=True)]
            loud = [(x, middle - scale * point.loud) for x, point in zip(xs, points, strict=True)]
            loud += [(x, middle + scale * p.loud) for x, p in zip(reversed(xs), reversed(points), strict=True)]
            self._parts.append(_shape(peaks, colour, opacity=0.35))
            self._parts.append(_shape(loud, colour))
        self._parts.append(_rule(LEFT, middle, WIDTH - RIGHT, middle, _LINE))
        if len(channels) == 1:
            self._text(LEFT + 8, top + 16, "both sides, mixed", size=11, fill=_SOFT)
        self._y += _WAVE + 10

    # ---- quality

    def _chart(self, side: Side) -> None:
        top = self._y
        self._lanes.append((top, top + _CHART))
        for low, high, colour in _ZONES:
            self._parts.append(_box(LEFT, self._mos(top, high), PLOT, (high - low) * _CHART / 3.5, colour))
        for score in (1, 2, 3, 4):
            y = self._mos(top, score)
            self._parts.append(_rule(LEFT, y, WIDTH - RIGHT, y, _LINE))
            self._text(LEFT - 10, y + 4, str(score), size=11, fill=_SOFT, anchor="end")
        self._text(LEFT - 10, top + 6, "MOS", size=10, fill=_SOFT, anchor="end")
        self._losses(side.samples, top)
        self._missed(side, top)
        self._scores([(sample.at, sample.remote_mos) for sample in side.samples], side, top, heard=False)
        self._scores([(sample.at, sample.mos) for sample in side.samples], side, top, heard=True)
        if not side.samples:
            self._text(LEFT + PLOT / 2, top + _CHART / 2, "too short to be judged", fill=_SOFT, anchor="middle")
        self._digits(side, top + _CHART)
        self._text(LEFT, top + _CHART + 25, _summary(side), fill=_SOFT)
        self._y += _CHART + _GAP - 20

    def _losses(self, samples: Sequence[Sample], top: float) -> None:
        for begin, sample in zip(self._begins(samples), samples, strict=True):
            if sample.loss:
                height = max(1.5, min(1.0, sample.loss / _LOSS_FULL) * _CHART)
                x, end = self._x(begin), self._x(sample.at)
                bar = _box(x + 0.5, top + _CHART - height, max(1.0, end - x - 1), height, _BAD, opacity=0.55)
                self._parts.append(bar.replace("/>", f"><title>{100 * sample.loss:.1f} % lost</title></rect>"))

    def _missed(self, side: Side, top: float) -> None:
        for begin, end in side.missed:
            x, width = self._x(begin), self._x(end) - self._x(begin)
            self._parts.append(_box(x, top, max(2.0, width), _CHART, _BAD, opacity=0.18))
            text = f"nothing came for {end - begin:.0f} s"
            y = top + _CHART / 2 + 4
            if x + width + _LABEL_WIDTH * len(text) < WIDTH - RIGHT:
                self._text(x + width + 6, y, text, fill=_BAD, weight=600)
            else:
                self._text(x - 6, y, text, fill=_BAD, anchor="end", weight=600)

    def _scores(self, scores: Iterable[tuple[float, float | None]], side: Side, top: float, *, heard: bool) -> None:
        """A line for each stretch without a gap; a score stands for the time up to it."""
        begins = self._begins(side.samples)
        stretches = groupby(zip(begins, scores, strict=True), key=lambda pair: pair[1][1] is not None)
        for scored, stretch in stretches:
            if not scored:
                continue
            points: list[tuple[float, float]] = []
            for begin, (at, mos) in stretch:
                y = self._mos(top, mos or _MOS_LOW)
                points += [*([] if points else [(self._x(begin), y)]), (self._x((begin + at) / 2), y)]
                last = (self._x(at), y)
            points.append(last)
            self._parts.append(_path(points, _COLOURS[side.role], dashed=not heard))

    def _digits(self, side: Side, y: float) -> None:
        """A stroke for each; which ones they were nobody is told."""
        for at in side.digits:
            self._parts.append(_rule(self._x(at), y + 2, self._x(at), y + 9, _INK, width=1.5))

    def _begins(self, samples: Sequence[Sample]) -> list[float]:
        """When each sample's time begins; the first is as long as the second."""
        ends = [sample.at for sample in samples]
        if not ends:
            return []
        each = ends[1] - ends[0] if len(ends) > 1 else 5.0
        return [max(self._story.began, ends[0] - each), *ends[:-1]]

    # ---- what is common to all lanes

    def _axis(self, bottom: float) -> None:
        step = next((step for step in _STEPS if self._seconds / step <= 12), _STEPS[-1])
        step *= max(1, round(self._seconds / step / 12))
        for number in range(int(self._seconds // step) + 1):
            x = self._x(self._story.began + number * step)
            self._parts.append(_rule(x, bottom, x, bottom + 5, _SOFT))
            self._text(x, bottom + 20, _clock(number * step), size=11, fill=_SOFT, anchor="middle")
        self._parts.append(_rule(LEFT, bottom, WIDTH - RIGHT, bottom, _SOFT))

    def _marks(self) -> None:
        """Lines through all lanes; their words on two levels, so that neighbours do not collide."""
        taken = [float("-inf")] * 3
        for at, mark in self._story.marks:
            if mark not in _MARKS:
                continue
            x, width = self._x(at), _LABEL_WIDTH * len(mark.value)
            level = next((level for level, end in enumerate(taken) if x - width / 2 > end), len(taken) - 1)
            left = min(x - width / 2, WIDTH - RIGHT - width + 8)
            taken[level] = max(taken[level], left + width)
            y = _HEAD - 4 - 16 * level
            for begin, end in [(y + 4, _HEAD + 4.0), *self._lanes]:
                self._parts.append(_rule(x, begin, x, end, _MARKS[mark], dashes="3 3"))
            self._text(left + width / 2, y, mark.value, fill=_MARKS[mark], anchor="middle", weight=600)

    def _legend(self, y: float) -> None:
        x = float(LEFT)
        for dashed, text in ((False, "how it was heard here"), (True, "how it heard us, by its reports")):
            self._parts.append(_path([(x, y - 4), (x + 26, y - 4)], _INK, dashed=dashed))
            self._text(x + 34, y, text, size=11, fill=_SOFT)
            x += 34 + 6.4 * len(text) + 20
        self._parts.append(_box(x, y - 10, 10, 11, _BAD, opacity=0.55))
        self._text(x + 18, y, f"packets lost (full height: {100 * _LOSS_FULL:.0f} %)", size=11, fill=_SOFT)
        x += 236
        self._parts.append(_rule(x, y - 9, x, y, _INK, width=1.5))
        self._text(x + 10, y, "a digit was dialled", size=11, fill=_SOFT)
        self._text(WIDTH - RIGHT, y, "MOS after ITU-T G.107, every 5 s", size=11, fill=_SOFT, anchor="end")

    def _x(self, at: float) -> float:
        share = (at - self._story.began) / self._seconds
        return LEFT + PLOT * min(1.0, max(0.0, share))

    @staticmethod
    def _mos(top: float, score: float) -> float:
        return top + _CHART * (_MOS_HIGH - score) / (_MOS_HIGH - _MOS_LOW)

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 12,
        fill: str = _INK,
        anchor: str = "start",
        weight: int = 400,
    ) -> None:
        look = f'font-size="{size}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}"'
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {look}>{_safe(text)}</text>')


def _summary(side: Side) -> str:
    scores = [sample.mos for sample in side.samples if sample.mos is not None]
    words = []
    if scores:
        words.append(f"MOS {sum(scores) / len(scores):.2f} on average, {min(scores):.2f} at worst")
    elif side.samples:
        words.append("nothing was heard of it")
    if side.samples:
        bursts = sum(sample.bursts for sample in side.samples)
        words.append(f"{bursts} bursts of loss" if bursts else "no packet lost")
        words.append(f"jitter up to {max(sample.jitter_ms for sample in side.samples):.1f} ms")
        words.append(f"{max(sample.delay_ms for sample in side.samples)} ms to the ear at most")
    if concealed := sum(sample.concealed_ms for sample in side.samples):
        words.append(f"{concealed} ms concealed")
    if side.digits:
        words.append("1 digit" if len(side.digits) == 1 else f"{len(side.digits)} digits")
    return " · ".join(words)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _safe(text: str) -> str:
    """What XML takes: no control characters, and nothing that would be markup."""
    return escape("".join(letter for letter in text if letter.isprintable()))


def _box(x: float, y: float, width: float, height: float, fill: str, *, opacity: float = 1.0) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}" '
        f'fill-opacity="{opacity}"/>'
    )


def _rule(x: float, y: float, to_x: float, to_y: float, colour: str, *, width: float = 1.0, dashes: str = "") -> str:
    dashing = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}" '
        f'stroke-width="{width}"{dashing}/>'
    )


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _shape(points: Iterable[tuple[float, float]], colour: str, *, opacity: float = 1.0) -> str:
    return f'<polygon points="{_points(points)}" fill="{colour}" fill-opacity="{opacity}"/>'


def _path(points: Iterable[tuple[float, float]], colour: str, *, dashed: bool) -> str:
    look = 'stroke-width="1.5" stroke-dasharray="5 4" stroke-opacity="0.8"' if dashed else 'stroke-width="2.2"'
    return (
        f'<polyline points="{_points(points)}" fill="none" stroke="{colour}" {look} stroke-linejoin="round" '
        'stroke-linecap="round"/>'
    )
