"""Fills the version and the platform into the packages' files: fill.py VERSION NODE_PLATFORM BINARY OUT. Standard library only.

Writes OUT/npm (the launcher), OUT/npm-platform (the binary), OUT/mcpb and OUT/server.json.
"""

import json
import pathlib
import shutil
import sys

version, platform, binary, out = sys.argv[1:]
here = pathlib.Path(__file__).parent
licence = here.parent / "LICENSE"
out = pathlib.Path(out)
system, cpu = platform.split("-")


def read(name):
    return json.loads((here / name).read_text())


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def put(source, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, path)


server = read("server.json")
settings = read("settings.json")
server["version"] = version
for package in server["packages"]:
    package |= {"version": version, "environmentVariables": settings}
write(out / "server.json", server)

# Registries ask that a package names the server that claims it.
launcher = read("npm/package.json") | {"version": version, "mcpName": server["name"]}
launcher["optionalDependencies"] = {f"background-command-mcp-{platform}": version}
write(out / "npm/package.json", launcher)
for name in ("launch.js", "README.md"):
    put(here / "npm" / name, out / "npm" / name)
put(licence, out / "npm/LICENSE")

file = pathlib.Path(binary).name
part = {key: launcher[key] for key in ("version", "description", "license")}
part = {"name": f"background-command-mcp-{platform}"} | part | {"os": [system], "cpu": [cpu], "files": [file]}
if system == "linux":
    part["libc"] = ["glibc"]
write(out / "npm-platform/package.json", part)
put(binary, out / "npm-platform" / file)
put(licence, out / "npm-platform/LICENSE")
text = f"""# background-command-mcp-{platform}

The binary of `background-command-mcp` for {platform}, an MCP server that lets an AI agent start shell commands in the
background and come back for the result. Install `background-command-mcp`, which brings this along.
"""
(out / "npm-platform/README.md").write_text(text)

manifest = read("mcpb/manifest.json") | {"version": version, "compatibility": {"platforms": [system]}}
write(out / "mcpb/manifest.json", manifest)
put(binary, out / "mcpb/server" / file)
put(licence, out / "mcpb/LICENSE")
put(here / "mcpb/README.md", out / "mcpb/README.md")
