"""The rating report as PDF: the blocks of a RatingDocument on A4 pages, with their number and provenance.

The same document gives the same bytes: no clock, fixed identifiers, fonts embedded. Not here: what the report says.
"""

from __future__ import annotations

import io
from html import escape
from typing import Any

from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, CondPageBreak, Frame, PageTemplate, Paragraph, Spacer, Table, TableStyle
from reportlab.platypus.flowables import Flowable, KeepTogether

from marketplace.rating_drawings import INK, LINE, MUTED, drawn
from marketplace.report_blocks import Block, Facts, Grid, Plot, RatingDocument, Sentences

# Bitstream Vera, which reportlab brings along: free to embed, and it has the true minus and figures of one width.
FONT, BOLD = "Vera", "VeraBd"
MARGIN, HEAD, FOOT = 18 * mm, 16 * mm, 18 * mm
PAGE_WIDTH = A4[0] - 2 * MARGIN
FEW_COLUMNS = 5
WHOLE_ROWS = 16  # of a table that is not torn
ROOM, GAP = 45 * mm, 5.0  # to begin a long block on a page; between blocks
# What the font lacks, in letters it has.
SUBSTITUTES = str.maketrans({"₂": "2", "σ": "sigma", "ρ": "rho", "ᵏ": "^k", "\u2009": " ", "\u202f": " ", "→": "to"})


def _style(size: float, **options: Any) -> ParagraphStyle:
    values: dict[str, Any] = {"fontName": FONT, "fontSize": size, "leading": 1.36 * size, "textColor": INK}
    return ParagraphStyle(f"s{size}{sorted(options)}", **(values | options))


TITLE = _style(16, fontName=BOLD, spaceAfter=2)
LEAD = _style(8, textColor=MUTED, spaceAfter=4)
SECTION = _style(11, fontName=BOLD, spaceBefore=14, spaceAfter=4)
SUBTITLE = _style(8, fontName=BOLD, spaceBefore=8, spaceAfter=3)
TEXT, SMALL = _style(7.2), _style(6.4)
FIGURE, FIGURE_SMALL = _style(7.2, alignment=TA_RIGHT), _style(6.4, alignment=TA_RIGHT)
HEADER, HEADER_FIGURE = _style(6.2, textColor=MUTED), _style(6.2, textColor=MUTED, alignment=TA_RIGHT)
NAME, LINES = _style(7.2, textColor=MUTED), _style(7.2, spaceAfter=3)
CODE = _style(6.4, wordWrap="CJK")  # breaks hashes anywhere

_RULES = [
    ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 6),
    ("TOPPADDING", (0, 0), (-1, -1), 2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2.4),
]


class _NumberedCanvas(Canvas):
    """Pages are kept until the last one is known, then numbered "3 of 9"."""

    def __init__(self, *args: Any, running: tuple[str, str] = ("", ""), **options: Any) -> None:
        super().__init__(*args, **options)
        self._running, self._pages = running, list[dict[str, Any]]()

    def showPage(self) -> None:  # noqa: N802 - reportlab's own name
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        total = len(self._pages)
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self._furnish(number, total)
            super().showPage()
        super().save()

    def _furnish(self, number: int, total: int) -> None:
        title, provenance = self._running
        self.setFillColor(MUTED)
        self.setStrokeColor(LINE)
        self.setLineWidth(0.4)
        self.line(MARGIN, FOOT - 2 * mm, A4[0] - MARGIN, FOOT - 2 * mm)
        self.setFont(FONT, 6)
        self.drawString(MARGIN, FOOT - 6 * mm, _fitting(provenance, PAGE_WIDTH - 24 * mm))
        self.drawRightString(A4[0] - MARGIN, FOOT - 6 * mm, f"{number} of {total}")
        if number > 1:
            self.drawString(MARGIN, A4[1] - HEAD + 3 * mm, _fitting(title, PAGE_WIDTH))


def _fitting(text: str, width: float) -> str:
    """The text, cut where it would not fit at size 6."""
    text = text.translate(SUBSTITUTES)
    while text and pdfmetrics.stringWidth(text, FONT, 6) > width:
        text = text[:-2].rstrip("…") + "…"
    return text


def rating_pdf(document: RatingDocument) -> bytes:
    """The report as a PDF file; equal documents give equal bytes under one version of reportlab."""
    for name in (FONT, BOLD):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    out = io.BytesIO()
    template = BaseDocTemplate(
        out, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=HEAD, bottomMargin=FOOT, invariant=1,
        title=document.title, author="Glasspool", subject=document.provenance, lang="en",
    )  # fmt: skip
    frame = Frame(MARGIN, FOOT, PAGE_WIDTH, A4[1] - HEAD - FOOT, 0, 0, 0, 0)
    template.addPageTemplates(PageTemplate(frames=[frame]))
    running = (document.title, document.provenance)

    def canvas(*args: Any, **options: Any) -> _NumberedCanvas:
        return _NumberedCanvas(*args, running=running, **options)

    template.build(_story(document), canvasmaker=canvas)
    return out.getvalue()


def _story(document: RatingDocument) -> list[Flowable]:
    """All of the document. A heading stays with what follows it; what fits a page is not torn."""
    story: list[Flowable] = [_words(document.title, TITLE), _words(document.lead, LEAD), _words(document.notice, LEAD)]
    for section in document.sections:
        heading: list[Flowable] = [_words(section.title, SECTION)]
        for block in section.blocks:
            parts, whole = _block(block)
            if whole:
                story.append(KeepTogether([*heading, *parts]))
            else:
                story += [CondPageBreak(ROOM), *heading, *parts]
            story.append(Spacer(1, GAP))
            heading = []
    return story


def _words(text: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(text.translate(SUBSTITUTES), quote=False), style)


def _block(block: Block) -> tuple[list[Flowable], bool]:
    """A block with its title, and whether it should stand on one page."""
    title: list[Flowable] = [_words(block.title, SUBTITLE)] if block.title else []
    if isinstance(block, Plot):
        drawing = drawn(block.name, block.data, FONT)
        scale = PAGE_WIDTH / drawing.width
        drawing.width, drawing.height = PAGE_WIDTH, drawing.height * scale
        drawing.scale(scale, scale)
        return [*title, drawing], True
    if isinstance(block, Sentences):
        return [*title, *(_words(line, LINES) for line in block.lines)], False
    table = _facts(block) if isinstance(block, Facts) else _grid(block)
    return [*title, table], len(block.rows) <= WHOLE_ROWS


def _facts(block: Facts) -> Table:
    rows = [[_words(name, NAME), _words(text, CODE if _hash(text) else TEXT)] for name, text in block.rows]
    table = Table(rows or [["", ""]], colWidths=[0.38 * PAGE_WIDTH, 0.62 * PAGE_WIDTH])
    table.setStyle(TableStyle(_RULES))
    return table


def _hash(text: str) -> bool:
    return len(text) > 24 and " " not in text


def _grid(block: Grid) -> Table:
    many = len(block.header) > FEW_COLUMNS
    words, figures = (SMALL, FIGURE_SMALL) if many or block.words > 1 else (TEXT, FIGURE)
    rows: list[list[Any]] = [[_words(text, HEADER_FIGURE if figure else HEADER) for figure, text in block.heads]]
    rows += [[_words(text, figures if figure else words) for figure, text in line] for line in block.cells]
    table = Table(rows, colWidths=_widths(block), repeatRows=1)
    heading = [("LINEBELOW", (0, 0), (-1, 0), 0.6, MUTED), ("VALIGN", (0, 0), (-1, 0), "BOTTOM")]
    table.setStyle(TableStyle([*_RULES, *heading]))
    return table


def _widths(block: Grid) -> list[float]:
    """Shares as given; else the first column of words as wide as its longest text, up to 40 %, the others even."""
    columns = len(block.header)
    if block.widths:
        return [PAGE_WIDTH * share / sum(block.widths) for share in block.widths]
    longest = max(pdfmetrics.stringWidth(row[0], FONT, 7.2) for row in (block.header, *block.rows)) + 8
    first = min(max(longest, PAGE_WIDTH / (columns + 1)), 0.4 * PAGE_WIDTH)
    return [first, *([(PAGE_WIDTH - first) / max(columns - 1, 1)] * (columns - 1))]
