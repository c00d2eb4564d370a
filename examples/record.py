"""Records the tour as an animated picture: python3 examples/record.py [docs/tour.svg]. Standard library only.

It runs `cargo run --release --example tour` and keeps when each line came. The picture plays the lines in that order and
rhythm, slowed down so that they can be read, and rests on the last ones where animations are switched off.
"""

import html
import pathlib
import re
import subprocess
import sys
import time

SLOWER = 3.0
# No line stays alone for less or for longer than this, and the end for this long.
SHORTEST, LONGEST, LAST = 0.12, 1.5, 6.0
COLUMNS, ROWS = 118, 26
CELL, LINE, SIZE, MARGIN, BAR = 7.83, 18, 13, 16, 34

COLOURS = {
    "ground": "#0d1117",
    "text": "#c9d1d9",
    "faint": "#6e7681",
    "call": "#79c0ff",
    "reply": "#d2a8ff",
    "check": "#7ee787",
    "heading": "#ffa657",
}


def record():
    """The lines of the tour, each with the seconds since the first."""
    subprocess.run(["cargo", "build", "--release", "--quiet", "--example", "tour"], check=True)
    command = ["cargo", "run", "--release", "--quiet", "--example", "tour"]
    tour = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines = [(time.monotonic(), line.rstrip("\n")) for line in tour.stdout]
    if tour.wait() != 0:
        sys.exit("the tour has failed")
    start = lines[0][0]
    return [(came - start, line) for came, line in lines]


def wrapped(line):
    """A long line goes on below, under its text."""
    indent = " " * (11 if re.match(r".{9}│ ", line) else 0)
    rows = []
    while len(line) > COLUMNS:
        at = line.rfind(" ", COLUMNS // 2, COLUMNS)
        at = at if at > 0 else COLUMNS
        rows.append(line[:at])
        line = indent + line[at:].lstrip()
    return [*rows, line]


def kind(line):
    if line.startswith("───"):
        return "heading"
    if re.match(r"\s*✓ │", line):
        return "check"
    if re.match(r"\s*[\d.]+ │ →", line):
        return "reply"
    if re.match(r"\s*[\d.]+ │", line):
        return "call"
    return "text"


def spans(row, colour):
    """What stands left of the rule is faint."""
    left, rule, right = row.partition("│")
    if not rule or len(left) != 9:
        return f'<tspan class="{colour}">{html.escape(row)}</tspan>'
    mark = "check" if "✓" in left else "faint"
    return f'<tspan class="{mark}">{html.escape(left)}│</tspan><tspan class="{colour}">{html.escape(right)}</tspan>'


def picture(lines):
    rows, steps, clock, before = [], [], 0.0, 0.0
    for came, line in lines:
        clock += min(max((came - before) * SLOWER, SHORTEST), LONGEST) if rows else 0.0
        before = came
        rows.extend((row, kind(line)) for row in wrapped(line))
        steps.append((clock, len(rows)))
    whole = clock + LAST
    width, height = round(COLUMNS * CELL + 2 * MARGIN), ROWS * LINE + BAR + MARGIN
    scroll, cover = [], []
    for at, shown in steps:
        percent = f"{100 * at / whole:.2f}%"
        up = max(shown - ROWS, 0) * LINE
        scroll.append(f"{percent}{{transform:translateY(-{up}px)}}")
        cover.append(f"{percent}{{transform:translateY({shown * LINE}px)}}")
    texts = [
        f'<text x="{MARGIN}" y="{BAR + (number + 1) * LINE - 5}" xml:space="preserve">{spans(row, colour)}</text>'
        for number, (row, colour) in enumerate(rows)
        if row.strip()
    ]
    last = max(len(rows) - ROWS, 0) * LINE
    style = [
        f"text{{font:{SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}}",
        *(f".{name}{{fill:{colour}}}" for name, colour in COLOURS.items()),
        ".heading,.call{font-weight:600}",
        f".scroll{{transform:translateY(-{last}px);animation:scroll {whole:.2f}s step-end infinite}}",
        f".cover{{transform:translateY({len(rows) * LINE}px);animation:cover {whole:.2f}s step-end infinite}}",
        "@keyframes scroll{" + "".join(scroll) + "}",
        "@keyframes cover{" + "".join(cover) + "}",
        "@media (prefers-reduced-motion:reduce){.scroll,.cover{animation:none}}",
    ]
    dots = "".join(f'<circle cx="{MARGIN + 4 + 18 * n}" cy="17" r="5" class="faint"/>' for n in range(3))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
            "<title>The tour: an agent starts, awaits, reads and stops jobs</title>",
            "<style>" + "\n".join(style) + "</style>",
            f'<rect width="{width}" height="{height}" rx="8" class="ground"/>',
            dots,
            f'<text x="{width / 2}" y="21" text-anchor="middle" class="faint">cargo run --release --example tour</text>',
            f'<clipPath id="screen"><rect y="{BAR}" width="{width}" height="{ROWS * LINE}"/></clipPath>',
            '<g clip-path="url(#screen)"><g class="scroll">',
            *texts,
            f'<rect y="{BAR}" width="{width}" height="{len(rows) * LINE}" class="ground cover"/>',
            "</g></g>",
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    root = pathlib.Path(__file__).parent.parent
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "docs/tour.svg"
    target.write_text(picture(record()))
