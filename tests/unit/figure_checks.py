"""What tests look at in a figure: its texts, and whether they leave it or lie over each other."""

from __future__ import annotations

import itertools

from matplotlib.figure import Figure
from matplotlib.text import Text

LONGEST = "rppa:Acetyl-a-Tubulin (Lys40) and a longer name_Caution"


def title(figure: Figure) -> str:
    return str(figure.get_suptitle())


def visible_texts(figure: Figure) -> list[Text]:
    """Texts that are drawn: those of ticks outside the axis limits are not."""
    hidden = {
        id(t)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for t in (tick.label1, tick.label2)
        if not (min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval()))
        or not t.get_visible()
        or not axes.axison
    }
    found = figure.findobj(lambda a: isinstance(a, Text) and a.get_visible() and a.get_text().strip())
    return [t for t in found if id(t) not in hidden]


def crowded(figure: Figure) -> list[str]:
    """Name texts that leave the figure or lie over each other."""
    figure.canvas.draw()  # places everything for the dots per inch that the figure itself has
    boxes = [(t.get_text(), t.get_window_extent()) for t in visible_texts(figure)]
    width, height = figure.canvas.get_width_height()
    out = [f"cut: {n!r}" for n, b in boxes if b.x0 < 0 or b.y0 < 0 or b.x1 > width or b.y1 > height]
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        across, up = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if across > 1 and up > 3:  # boxes hold the room of letters that hang below the line
            out.append(f"over each other: {one!r} and {two!r}")
    return out


def texts(figure: Figure) -> set[str]:
    return {t.get_text() for t in visible_texts(figure)}
