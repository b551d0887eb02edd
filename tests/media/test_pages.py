"""Documents become fax pages of the right size and look; what cannot is refused in words, and hurts nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pypdfium2
import pytest
from PIL import Image
from reportlab.lib.pagesizes import A4, A5, LEGAL, LETTER, landscape

from media.halftone import bilevel
from media.pages import BadDocument, Kind, Layout, Pages, Paper, Resolution
from media.paper import WIDTH, paper_of, place
from media.sheets import Coding, TiffWriter, encode
from tests.media import papers

LINES = {  # of a page by paper and lines per inch
    ("a4", Resolution.STANDARD): 1146,
    ("a4", Resolution.FINE): 2292,
    ("a4", Resolution.SUPERFINE): 4572,
    ("letter", Resolution.FINE): 2156,
    ("letter", Resolution.STANDARD): 1078,
}


def pages_of(tiff: Path) -> list[npt.NDArray[np.bool_]]:
    """Every page, True where it is black."""
    found = []
    with Image.open(tiff) as file:
        for index in range(getattr(file, "n_frames", 1)):
            file.seek(index)
            found.append(~np.asarray(file.convert("1")))
    return found


async def faxed(source: Path, tmp_path: Path, layout: Layout | None = None, kind: Kind | None = None) -> Path:
    tiff = tmp_path / "fax.tiff"
    found = kind or Kind.of(source.read_bytes()[:1024])
    assert found is not None
    await Pages().render(source, found, tiff, layout or Layout())
    return tiff


@pytest.mark.parametrize(("size", "resolution"), list(LINES))
async def test_a_page_has_the_size_of_its_paper_and_what_is_on_it_keeps_its_shape(
    size: str, resolution: Resolution, tmp_path: Path
) -> None:
    source = papers.pdf(tmp_path / "a.pdf", size=papers.SIZES[size])
    tiff = await faxed(source, tmp_path, Layout(resolution))
    with Image.open(tiff) as file:
        assert (file.size, file.mode) == ((WIDTH, LINES[size, resolution]), "1")
        assert tuple(map(float, file.info["dpi"])) == (204.0, float(resolution.value))
    (page,) = pages_of(tiff)
    square = page[-round(1.9 * resolution.value) : -round(1.1 * resolution.value)].all(0)  # lines of the black inch
    runs = np.diff(np.flatnonzero(np.diff(np.pad(square.astype(int), 1))))[::2]
    assert max(runs) == pytest.approx(204 + 3, abs=2)  # the line around it is a point wide
    left = int(np.flatnonzero(square)[20])
    column = np.flatnonzero(np.diff(np.pad(page[:, left + 100].astype(int), 1)))
    tall = max(np.diff(column)[::2])
    assert tall == pytest.approx(resolution.value * (1 + 1 / 72), abs=2)


async def test_every_page_is_there_in_order(tmp_path: Path) -> None:
    source = papers.pdf(tmp_path / "a.pdf", pages=3)
    tiff = tmp_path / "fax.tiff"
    assert await Pages().render(source, Kind.PDF, tiff, Layout()) == 3
    first, second, third = pages_of(tiff)
    assert (first != second).any()
    assert (second != third).any()
    assert (first != second).sum() < 500  # a digit


def _points(size: tuple[float, float]) -> tuple[float, float]:
    width, height = size
    return width, height


def test_a_page_is_turned_or_shrunk_where_it_does_not_fit() -> None:
    lying = place(*_points(landscape(A4)), Paper.AUTO, Resolution.FINE)
    assert (lying.turned, lying.columns, lying.rows) == (True, 1687, 2292)
    small = place(*_points(A5), Paper.A4, Resolution.FINE)
    assert (small.turned, small.columns, small.height) == (False, round(A5[0] / 72 * 204), 2292)
    assert place(*_points(landscape(A5)), Paper.A4, Resolution.FINE).turned is False  # it fits as it lies
    long = place(*_points(LEGAL), Paper.LETTER, Resolution.FINE)
    assert (long.rows, long.height) == (2156, 2156)
    assert long.columns == pytest.approx(8.5 * 204 * 11 / 14, abs=1)
    poster = place(3 * A4[0], 3 * A4[1], Paper.A4, Resolution.FINE)
    assert (poster.columns, poster.rows) == (1687, 2292)
    assert [paper_of(*_points(size)) for size in (A4, LETTER, LEGAL, landscape(LETTER), A5)] == [
        Paper.A4,
        Paper.LETTER,
        Paper.LEGAL,
        Paper.LETTER,
        Paper.A4,
    ]


async def test_a_lying_page_is_turned_whole(tmp_path: Path) -> None:
    tiff = await faxed(papers.pdf(tmp_path / "a.pdf", size=landscape(A4)), tmp_path)
    (page,) = pages_of(tiff)
    assert page.shape == (2292, WIDTH)
    ink = np.argwhere(page)
    top, left = ink.min(0)
    bottom, right = ink.max(0)
    assert (left, right) == pytest.approx((20 + 102, WIDTH - 20 - 102), abs=3)  # half an inch from the paper's edge
    assert (top, bottom) == pytest.approx((98, 2292 - 98), abs=3)


async def test_text_is_set_in_utf_8_with_tabs_and_long_lines(tmp_path: Path) -> None:
    source, pdf = tmp_path / "a.txt", tmp_path / "a.pdf"
    words = "price\t12 €\n" + "word " * 60 + "\n" + "x" * 200 + "\nΕλληνικά, русский, ćwiąk\fnext"
    source.write_text(words, encoding="utf-8")
    assert await Pages().examine(source, Kind.TEXT, pdf, Layout()) == 2
    found = [page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(pdf)]
    assert "12 €" in found[0]
    assert "Ελληνικά, русский, ćwiąk" in found[0]
    assert found[0].count("word") == 60
    assert found[0].count("x") == 200
    assert found[1].strip() == "next"
    page = pypdfium2.PdfDocument(pdf)[0].get_textpage()
    right = max(page.get_charbox(index)[2] for index in range(page.count_chars()))
    assert right < A4[0] - 40
    columns = [
        page.get_charbox(index)[0] for index in range(page.count_chars()) if page.get_text_range(index, 1) in "p1"
    ]
    assert columns[1] - columns[0] == pytest.approx(8 * 6.02, abs=1.5)  # the tab's column
    assert await Pages().render(pdf, Kind.PDF, tmp_path / "a.tiff", Layout()) == 2
    assert pages_of(tmp_path / "a.tiff")[0].sum() > 2000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("中文".encode(), r"no font here has the letter U\+4E2D CJK UNIFIED IDEOGRAPH-4E2D"),
        ("שלום".encode(), "from right to left .U.05E9 HEBREW LETTER SHIN. cannot be set"),
        (b"caf\xe9", r"the text is not UTF-8 \(byte 3\)"),
        (b" \n\t\n", "the text is empty"),
        (b"", "the text is empty"),
        (b"a\n" * 20_000, "the text has more than 200 pages"),
    ],
)
async def test_text_that_cannot_be_set_is_refused_in_words(content: bytes, reason: str, tmp_path: Path) -> None:
    source, pdf = tmp_path / "a.txt", tmp_path / "a.pdf"
    source.write_bytes(content)
    with pytest.raises(BadDocument, match=reason):
        await Pages().examine(source, Kind.TEXT, pdf, Layout())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt"]


def test_a_document_is_known_by_its_first_bytes() -> None:
    known = [b"%PDF-1.7", b"\n\n%PDF-1.4", b"II*\0", b"MM\0*", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"Dear", b""]
    assert [Kind.of(start) for start in known] == [
        *(Kind.PDF, Kind.PDF, Kind.TIFF, Kind.TIFF, Kind.PNG, Kind.JPEG, Kind.TEXT, Kind.TEXT)
    ]
    assert [Kind.of(start) for start in (b"PK\3\4", b"\x7fELF", b"a\0b", b"GIF89a\1")] == [None] * 4


async def test_documents_nobody_should_send_are_refused_in_words(tmp_path: Path) -> None:
    whole = papers.pdf(tmp_path / "whole.pdf").read_bytes()
    huge = papers.pdf(tmp_path / "huge.pdf", size=(20_000, 300))
    refused = {
        papers.pdf(tmp_path / "secret.pdf", password="x"): "the PDF is encrypted",
        _file(tmp_path / "cut.pdf", whole[:300]): "the PDF is broken",
        _file(tmp_path / "junk.pdf", b"%PDF-1.7\n" + bytes(range(256)) * 40): "the PDF is broken",
        papers.pdf(tmp_path / "long.pdf", pages=201): "the PDF has 201 pages, more than 200",
        huge: "page 1 measures 278 × 4 inches",
        papers.bomb(tmp_path / "bomb.png"): "the file takes more memory than a fax may",
        _file(tmp_path / "cut.png", papers.grey_ramp(tmp_path / "p.png").read_bytes()[:900]): "the file is broken",
        _file(tmp_path / "cut.jpg", b"\xff\xd8\xff\xe0" + bytes(50)): "the file is broken",
        _file(tmp_path / "cut.tif", b"II*\0\x08\0\0\0"): "the file is broken",
    }
    for source, reason in refused.items():
        kind = Kind.of(source.read_bytes()[:1024])
        assert kind is not None
        with pytest.raises(BadDocument, match=reason.replace(".", r"\.")):
            await Pages().render(source, kind, tmp_path / "fax.tiff", Layout())
    assert not (tmp_path / "fax.tiff").exists()
    assert list(tmp_path.glob("*.part")) == []


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


async def test_one_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    source = papers.pdf(tmp_path / "a.pdf", pages=100)
    with pytest.raises(BadDocument, match="took too much time or memory"):
        await Pages(patience_s=0.3).render(source, Kind.PDF, tmp_path / "fax.tiff", Layout(Resolution.SUPERFINE))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf"]


async def test_one_that_nobody_waits_for_is_killed(tmp_path: Path) -> None:
    source = papers.pdf(tmp_path / "a.pdf", pages=100)
    rendering = asyncio.create_task(
        Pages().render(source, Kind.PDF, tmp_path / "fax.tiff", Layout(Resolution.SUPERFINE))
    )
    await asyncio.sleep(0)
    rendering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rendering
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf"]


@pytest.mark.parametrize("name", ["ramp.png", "ramp.jpg", "ramp.tif"])
async def test_a_picture_is_dithered_and_fills_the_width(name: str, tmp_path: Path) -> None:
    (page,) = pages_of(await faxed(papers.grey_ramp(tmp_path / name), tmp_path))
    ink = page[:1200].mean(0).reshape(-1, 64).mean(1)  # how black each of 27 columns is
    assert ink[0] > 0.95
    assert ink[-1] < 0.05
    assert ink[13] == pytest.approx(0.5, abs=0.07)
    assert (np.diff(ink) < 0.02).all()
    assert page.shape == (2292, WIDTH)


def test_letters_stay_crisp_beside_a_picture() -> None:
    sheet = np.full((320, WIDTH), 255, np.uint8)
    sheet[:160, 100:104] = 140  # a thin grey line
    sheet[160:, 800:1200] = 128
    page = bilevel(Image.fromarray(sheet))
    assert page[:160, 100:104].all()
    assert page[160:, 800:1200].mean() == pytest.approx(0.5, abs=0.03)
    assert not page[:, :100].any()
    assert not page[:, 1300:].any()


async def test_a_fax_goes_on_pel_by_pel_and_comes_back_as_pdf(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    sheets = [np.repeat(rng.random((1146, WIDTH // 8)) < 0.3, 8, 1) for _ in range(2)]
    received = tmp_path / "in.tiff"
    with TiffWriter(received) as writer:
        writer.add(encode(sheets[0], 98))
        writer.add(encode(sheets[1], 98, Coding.G3))
    assert all((a == b).all() for a, b in zip(pages_of(received), sheets, strict=True))
    again = await faxed(received, tmp_path, Layout(Resolution.STANDARD))
    assert all((a == b).all() for a, b in zip(pages_of(again), sheets, strict=True))
    assert await Pages().bind(received, tmp_path / "in.pdf") == 2
    document = pypdfium2.PdfDocument(tmp_path / "in.pdf")
    assert document[0].get_size() == pytest.approx((WIDTH / 204 * 72, 1146 / 98 * 72), abs=0.1)
    drawn = document[1].render(scale=204 / 72, grayscale=True).to_numpy().squeeze()
    assert (drawn.reshape(-1, WIDTH)[::2][:1146] < 128).mean() == pytest.approx(sheets[1].mean(), abs=0.02)


async def test_a_broken_fax_is_no_pdf(tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match="the file is broken"):
        await Pages().bind(_file(tmp_path / "in.tiff", b"II*\0junk"), tmp_path / "in.pdf")
    assert not (tmp_path / "in.pdf").exists()
