"""HTML from text that nobody vouches for: whatever is not markup already is escaped."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

_VOID = frozenset({"br", "img", "link", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *content: str, **attributes: str | int | None) -> Markup:
    """An element of escaped content.

    Args:
        name: of the element.
        content: its children: `Markup` goes in as it is, other text escaped.
        attributes: `class_` is `class`, `data_study` is `data-study`; one that is None is left out.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items() if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{join(content)}</{name}>")


def join(content: Iterable[str]) -> Markup:
    """Pieces one after the other, without anything between them."""
    return Markup("".join(piece if isinstance(piece, Markup) else escape(piece) for piece in content))


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: Collection[int] = (0,), faded: Sequence[bool] = ()
) -> Markup:
    """A table that scrolls by itself where it is wider than the page.

    Args:
        caption: what it shows.
        heads: (c,) titles of its columns.
        rows: (r, c) cells; the first names its row.
        words: the columns of words; the others are numbers.
        faded: (r,) the rows that claim nothing; none when shorter.
    """
    side = ["word" if k in words else None for k in range(len(heads))]
    head = element("tr", *(element("th", text, scope="col", class_=s) for text, s in zip(heads, side, strict=True)))
    body = [
        element(
            "tr",
            *(
                element("th", cell, scope="row", class_=s) if c == 0 else element("td", cell, class_=s)
                for c, (cell, s) in enumerate(zip(row, side, strict=True))
            ),
            class_="faded" if r < len(faded) and faded[r] else None,
        )
        for r, row in enumerate(rows)
    ]
    inner = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", inner, class_="wide", tabindex=0, role="region", aria_label=caption)


def facts(known: Mapping[str, str]) -> Markup:
    """Names and what is known of them, side by side where there is room."""
    return element("dl", *(element("div", element("dt", name), element("dd", text)) for name, text in known.items()), class_="facts")


def more(summary: str, *content: str) -> Markup:
    """What opens on demand."""
    return element("details", element("summary", summary), *content)
