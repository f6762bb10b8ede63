"""Markdown of ours as HTML for a page; what is not Markdown in it is escaped."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markupsafe import Markup


def rendered(text: str, below: int = 2) -> Markup:
    """Render Markdown.

    Parameters
    ----------
    text : str
        CommonMark with tables.
    below : int, default 2
        Levels by which headings are lowered: the page has titles of its own.

    Returns
    -------
    Markup
        HTML; tables scroll where they are too wide.
    """
    lowered = re.sub(r"^(?=#+ )", "#" * below, text, flags=re.MULTILINE)
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(lowered)
    start = '<div class="scroll" role="region" tabindex="0" aria-label="Table"><table>'
    return Markup(html.replace("<table>", start).replace("</table>", "</table></div>"))
