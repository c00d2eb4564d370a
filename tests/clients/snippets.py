"""Holds docs/clients.md to what is tested: `snippets.py check`, or `snippets.py show NAME` for one that is run as it stands."""

import pathlib
import re
import sys
import textwrap

here = pathlib.Path(__file__).parent
page = (here / "../../docs/clients.md").read_text()
blocks = dict(re.findall(r"<!-- snippet: (\S+) -->\n+```\w*\n(.*?)```", page, re.S))


def region(source):
    lines = source.splitlines()
    marks = [number for number, line in enumerate(lines) if re.fullmatch(r"\s*(#|//) (end of )?snippet", line)]
    first, last = marks
    return textwrap.dedent("\n".join(lines[first + 1 : last])).strip()


def check():
    tested = {path.name for path in here.iterdir() if re.search(r"^(#|//) snippet$", path.read_text(), re.M)}
    missing = tested - blocks.keys()
    if missing:
        sys.exit(f"docs/clients.md does not show {missing}")
    for name in tested:
        if region((here / name).read_text()) != blocks[name].strip():
            sys.exit(f"docs/clients.md does not show {name} as it is tested")


match sys.argv[1:]:
    case ["check"]:
        check()
    case ["show", name]:
        print(blocks[name], end="")
