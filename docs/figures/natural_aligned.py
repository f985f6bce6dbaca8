"""Draw natural_aligned.svg: what the V x U values at one place of a mask tensor are.

``python docs/figures/natural_aligned.py`` writes the picture beside this file.
"""

from __future__ import annotations

from pathlib import Path

PICTURE = Path(__file__).with_suffix(".svg")
SIDE, PX = 9, 30  # pixels per side of the image, and how large each is drawn
PLACE = (4, 5)  # (y, x)
OFFSETS = (-1, 0, 1)  # centred v and u of a 3 x 3 window
OBJECT, GROUND, WINDOW, VALUE = "#9ecae1", "#ececec", "#d94801", "#08519c"


def inside(y: int, x: int) -> bool:
    """Return whether a pixel belongs to the object."""
    return (y - 5) ** 2 + (x - 3.5) ** 2 < 6.5


def square(y: float, x: float, side: float, style: str) -> str:
    """Return a square of ``side`` pixels centred at the pixel (y, x)."""
    left, top = ((c + 0.5 - side / 2) * PX for c in (x, y))
    return f'<rect x="{left:g}" y="{top:g}" width="{side * PX:g}" height="{side * PX:g}" {style}/>'


def dot(y: float, x: float, radius: float, colour: str) -> str:
    """Return a dot in the middle of the pixel (y, x)."""
    cx, cy = ((c + 0.5) * PX for c in (x, y))
    return f'<circle cx="{cx:g}" cy="{cy:g}" r="{radius:g}" fill="{colour}"/>'


def image() -> list[str]:
    """Return the pixels, the object in blue."""
    colours = {True: OBJECT, False: GROUND}
    pixels = [(y, x) for y in range(SIDE) for x in range(SIDE)]
    return [square(y, x, 1, f'fill="{colours[inside(y, x)]}" stroke="#fff"') for y, x in pixels]


def natural() -> list[str]:
    """Return one window, centred at the place, and the nine pixels that it describes."""
    y, x = PLACE
    window = square(y, x, 3, f'fill="none" stroke="{WINDOW}" stroke-width="3"')
    values = [dot(y + v, x + u, 6, VALUE) for v in OFFSETS for u in OFFSETS]
    return [window, *values, dot(y, x, 3, WINDOW)]


def aligned() -> list[str]:
    """Return the nine windows that hold the one pixel at the place, and their centres."""
    y, x = PLACE
    style = f'fill="none" stroke="{WINDOW}" stroke-width="1.5" stroke-dasharray="5 4"'
    centres = [(y - v, x - u) for v in OFFSETS for u in OFFSETS]
    windows = [square(*centre, 3, style) for centre in centres if centre != PLACE]
    pixel = square(y, x, 1, f'fill="none" stroke="{VALUE}" stroke-width="3"')
    return [*windows, pixel, dot(y, x, 6, VALUE), *(dot(*centre, 3, WINDOW) for centre in centres)]


def panel(left: int, title: str, caption: str, marks: list[str]) -> str:
    """Return one half of the picture."""
    lines = [f'<text y="-34" font-weight="bold">{title}</text>', f'<text y="-12">{caption}</text>']
    return f'<g transform="translate({left} 60)">' + "\n".join([*lines, *image(), *marks]) + "</g>"


def picture() -> str:
    """Return the whole picture as SVG."""
    width, height = 2 * SIDE * PX + 100, SIDE * PX + 80
    halves = [
        panel(20, "Natural[:, :, y, x]", "one window, all its pixels", natural()),
        panel(80 + SIDE * PX, "Aligned[:, :, y, x]", "one pixel, all its windows", aligned()),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" font-family="sans-serif" font-size="16">',
            '<rect width="100%" height="100%" fill="#fff"/>',
            *halves,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(picture())
