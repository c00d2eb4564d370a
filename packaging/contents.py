"""Looks into the packages as a stranger would: contents.py VERSION DIRECTORY. Standard library only.

Each names its version, carries the licence and something to read, no more than it has to, and a binary that may run.
"""

import pathlib
import re
import sys
import tarfile
import zipfile

version, directory = sys.argv[1:]
LICENCE = (pathlib.Path(__file__).parent.parent / "LICENSE").read_bytes()
# A binary is some megabytes, whatever is around it is text.
MOST_BYTES = 16 << 20


def files(path):
    """What is inside: name, content, whether it may be executed."""
    if path.suffix in (".whl", ".mcpb"):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield entry.filename, archive.read(entry), bool(entry.external_attr >> 16 & 0o111)
    else:
        with tarfile.open(path) as archive:
            for entry in archive:
                if entry.isfile():
                    yield entry.name, archive.extractfile(entry).read(), bool(entry.mode & 0o111)


def is_program(content, may_run):
    # Windows asks no file whether it may run.
    return content[:2] == b"MZ" or content[:4] in (b"\x7fELF", b"\xcf\xfa\xed\xfe") and may_run


def complaints(path):
    inside = list(files(path))
    if version not in path.name:
        yield f"its name does not say {version}"
    if path.stat().st_size > MOST_BYTES:
        yield f"it has {path.stat().st_size} bytes"
    if not any(name.rpartition("/")[2] == "LICENSE" and content == LICENCE for name, content, _ in inside):
        yield "the licence is missing"
    if not any(re.search(r"(^|/)(README\.md|METADATA)$", name) and len(content) > 200 for name, content, _ in inside):
        yield "there is nothing to read"
    programs = [name for name, content, may_run in inside if is_program(content, may_run)]
    is_source = path.suffix == ".crate" or path.name == f"background-command-mcp-{version}.tgz"
    if len(programs) != (0 if is_source else 1):
        yield f"the programs in it are {programs}"
    placeholder = [name for name, content, _ in inside if name.endswith(".json") and b'"0.0.0"' in content]
    if placeholder and path.suffix != ".crate":
        yield f"{placeholder} still have the version of the template"
    if any(re.search(r"__pycache__|/target/|node_modules", name) for name, _, _ in inside):
        yield "it holds what a build has left"


failed = False
for path in sorted(pathlib.Path(directory).iterdir()):
    if path.suffix not in (".whl", ".mcpb", ".tgz", ".crate"):
        continue
    print(f"{path.name}: {', '.join(name for name, _, _ in files(path)) if path.suffix != '.crate' else 'sources'}")
    for complaint in complaints(path):
        failed = True
        print(f"  {complaint}")
sys.exit(failed)
