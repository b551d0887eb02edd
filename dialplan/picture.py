"""A flow as an SVG: a card for each part, its steps as lines, arrows for branches. It needs nothing to be looked at but
a browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

from dialplan.diagram import by_part, label
from dialplan.flow import Flow, first_step, part_of
from dialplan.graph import EXIT, Ways, ways_of

WIDTH, LINE, HEAD, PAD = 300, 20, 30, 8
GAP_X, GAP_Y, MARGIN = 250, 36, 30
MAX_LABEL, MAX_LINE = 42, 44
MAX_CARDS = 500

_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1c2733}.t{font-weight:600;font-size:13px;fill:#fff}"
    ".l{font-size:11px;fill:#4a5a6a}.c{fill:#fff;stroke:#9fb0c0}.h{fill:#2f5d8a}"
    ".a{fill:none;stroke:#2f5d8a;stroke-width:1.3}.b{fill:none;stroke:#9a6a2f;stroke-width:1.3;stroke-dasharray:5 3}"
)
_HEAD_OF_ARROW = (
    '<marker id="m" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#2f5d8a"/></marker>'
)


@dataclass(frozen=True, slots=True)
class _Card:
    """A part and where it stands; `lines` are the heights of its steps by id."""

    part: str
    column: int
    x: int
    y: int
    height: int
    lines: Mapping[str, int]

    @property
    def entry(self) -> tuple[int, int]:
        return self.x, self.y + HEAD // 2


def svg(flow: Flow) -> str:
    """The picture. Texts are escaped: nothing in a flow can become markup."""
    ways = ways_of(flow)
    cards = _placed(flow, ways)
    width = max(card.x for card in cards.values()) + WIDTH + GAP_X
    height = max(card.y + card.height for card in cards.values()) + MARGIN
    body = [*_arrows(cards, flow, ways), *(line for card in cards.values() for line in _drawn(card, flow))]
    title = escape(flow.title or flow.name)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f"<title>{title}</title><style>{_STYLE}</style>",
            f"<defs>{_HEAD_OF_ARROW}</defs>",
            *body,
            "</svg>\n",
        ]
    )


def _placed(flow: Flow, ways: Ways) -> dict[str, _Card]:
    """Each part in the column of its distance from the first, below the others of that column."""
    columns = _columns(flow, ways)
    bottom: dict[int, int] = {}
    cards = {}
    for part, steps in list(by_part(flow).items())[:MAX_CARDS]:
        column = columns.get(part, 0)
        y = bottom.get(column, MARGIN)
        height = HEAD + LINE * len(steps) + PAD
        lines = {step.id: y + HEAD + LINE * row + LINE // 2 + 2 for row, step in enumerate(steps)}
        cards[part] = _Card(part, column, MARGIN + column * (WIDTH + GAP_X), y, height, lines)
        bottom[column] = y + height + GAP_Y
    return cards


def _columns(flow: Flow, ways: Ways) -> dict[str, int]:
    found = {part_of(flow.first): 0}
    waiting = [part_of(flow.first)]
    parts = by_part(flow)
    for part in waiting:
        for to in (part_of(way.to) for step in parts[part] for way in ways[step.id] if way.to != EXIT):
            if to not in found:
                found[to] = found[part] + 1
                waiting.append(to)
    return found


def _drawn(card: _Card, flow: Flow) -> Iterator[str]:
    yield f'<rect class="c" x="{card.x}" y="{card.y}" width="{WIDTH}" height="{card.height}" rx="6"/>'
    yield f'<rect class="h" x="{card.x}" y="{card.y}" width="{WIDTH}" height="{HEAD - 4}" rx="6"/>'
    yield f'<text class="t" x="{card.x + 10}" y="{card.y + 18}">{escape(card.part)}</text>'
    for step_id, y in card.lines.items():
        indent = 10 + 12 * max(0, (step_id.count(".") - 1) // 2)
        said = _cut(label(flow.steps[step_id]), MAX_LINE - indent // 6)
        yield f'<text x="{card.x + indent}" y="{y + 4}">{escape(said)}</text>'


def _arrows(cards: Mapping[str, _Card], flow: Flow, ways: Ways) -> Iterator[str]:
    """From each step to the parts its branches lead to, with the branches' names where the arrow arrives; those that
    lead back, or end the call, are named beside the step. What only goes on with the next step, or round a loop, is not
    drawn: the eye does that."""
    arrived: dict[str, int] = {}
    for card in cards.values():
        for step_id, y in card.lines.items():
            beside = []
            for to, labels in _leaving(flow, ways, step_id).items():
                said = ", ".join(filter(None, labels))
                if to in cards:
                    yield _arrow(card, y, cards[to])
                if said and to in cards and cards[to].column > card.column:
                    x, end_y = cards[to].entry
                    yield _text(x - 12, end_y - 7 - 12 * arrived.get(to, 0), said, "end")
                    arrived[to] = arrived.get(to, 0) + 1
                elif said:
                    beside.append(f"{said} → {to}")
            if beside:
                yield _text(card.x + WIDTH + 6, y - 3, "; ".join(beside), "start")


def _text(x: int, y: int, said: str, anchor: str) -> str:
    text = f"<title>{escape(said)}</title>{escape(_cut(said, MAX_LABEL))}"
    return f'<text class="l" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _leaving(flow: Flow, ways: Ways, step_id: str) -> dict[str, list[str]]:
    """The labels of the branches by where they lead: a part, or `end`."""
    step = flow.steps[step_id]
    leaving: dict[str, list[str]] = {}
    for way in ways[step_id]:
        if way.to == EXIT:
            if way.label and step.after is not None:
                leaving.setdefault("end", []).append(way.label)
        elif way.to != step.after and way.to == first_step(part_of(way.to)):
            leaving.setdefault(part_of(way.to), []).append("" if way.label == "goto" else way.label)
    return leaving


def _arrow(card: _Card, y: int, to: _Card) -> str:
    end_x, end_y = to.entry
    if to.column > card.column:
        x = card.x + WIDTH
        middle = (x + end_x) // 2
        return f'<path class="a" marker-end="url(#m)" d="M{x} {y}C{middle} {y} {middle} {end_y} {end_x} {end_y}"/>'
    bend = end_x - MARGIN + 6
    return f'<path class="b" marker-end="url(#m)" d="M{card.x} {y}C{card.x - 60} {y} {bend} {end_y} {end_x} {end_y}"/>'


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
