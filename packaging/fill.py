"""Fills the version and the platforms into the packages' files: fill.py VERSION OUT NODE_PLATFORM=BINARY... Standard library only.

Writes OUT/npm (the launcher, which names all platforms), OUT/server.json, and for each platform OUT/npm-PLATFORM (the binary)
and OUT/mcpb-PLATFORM.
"""

import json
import pathlib
import shutil
import sys

version, out, *parts = sys.argv[1:]
binaries = dict(part.split("=", 1) for part in parts)
here = pathlib.Path(__file__).parent
licence = here.parent / "LICENSE"
out = pathlib.Path(out)


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
launcher["optionalDependencies"] = {f"background-command-mcp-{platform}": version for platform in binaries}
write(out / "npm/package.json", launcher)
for name in ("launch.js", "README.md"):
    put(here / "npm" / name, out / "npm" / name)
put(licence, out / "npm/LICENSE")

for platform, binary in binaries.items():
    system, cpu = platform.split("-")
    file = pathlib.Path(binary).name
    npm, bundle = out / f"npm-{platform}", out / f"mcpb-{platform}"
    part = {key: launcher[key] for key in ("version", "description", "license")}
    part = {"name": f"background-command-mcp-{platform}"} | part | {"os": [system], "cpu": [cpu], "files": [file]}
    if system == "linux":
        part["libc"] = ["glibc"]
    write(npm / "package.json", part)
    put(binary, npm / file)
    put(licence, npm / "LICENSE")
    text = f"""# background-command-mcp-{platform}

The binary of `background-command-mcp` for {platform}, an MCP server that lets an AI agent start shell commands in the
background and come back for the result. Install `background-command-mcp`, which brings this along.
"""
    (npm / "README.md").write_text(text)

    manifest = read("mcpb/manifest.json") | {"version": version, "compatibility": {"platforms": [system]}}
    manifest["server"]["entry_point"] = f"server/{file}"
    manifest["server"]["mcp_config"]["command"] = "${__dirname}/server/" + file
    write(bundle / "manifest.json", manifest)
    put(binary, bundle / "server" / file)
    put(licence, bundle / "LICENSE")
    put(here / "mcpb/README.md", bundle / "README.md")
