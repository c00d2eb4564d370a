"""Starts an unpacked bundle as a host does: host.py BUNDLE [SETTING=VALUE...] prints its command line and environment.

Each line is one NAME=VALUE, then the command and its arguments; for `env`. Settings that have neither a value nor a
default stay as the manifest has them, which is the worst that hosts do.
"""

import json
import pathlib
import sys

bundle = pathlib.Path(sys.argv[1]).resolve()
manifest = json.loads((bundle / "manifest.json").read_text())
values = {f"user_config.{name}": option.get("default") for name, option in manifest["user_config"].items()}
values |= {f"user_config.{name}": value for name, value in (setting.split("=", 1) for setting in sys.argv[2:])}
values["__dirname"] = str(bundle)


def expanded(text):
    for name, value in values.items():
        if value is not None:
            text = text.replace("${" + name + "}", json.dumps(value) if isinstance(value, bool) else str(value))
    return text


launch = manifest["server"]["mcp_config"]
for name, value in launch["env"].items():
    print(f"{name}={expanded(value)}")
for word in [launch["command"], *launch["args"]]:
    print(expanded(word))
