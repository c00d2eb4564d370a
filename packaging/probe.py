"""One conversation with a server, and its ends: probe.py VERSION COMMAND [ARGUMENT...]. Standard library only."""

import os
import pathlib
import signal
import subprocess
import sys
import time

from conversation import Conversation

version, *command = sys.argv[1:]


def expect(found, expected):
    if found != expected:
        sys.exit(f"found {found!r} instead of {expected!r}")


def works():
    talk = Conversation(command)
    expect((talk.server["name"], talk.server["version"]), ("background-command-mcp", version))
    expect(len(talk.request("tools/list", {})["tools"]), 4)
    reply = talk.execute("echo it runs; exit 3", wait_seconds=30)
    expect((reply["result"]["returncode"], reply["result"]["output"]), (3, "it runs\n"))
    talk.process.stdin.close()
    expect(talk.process.wait(timeout=10), 0)
    print(f"{talk.server['name']} {talk.server['version']}: a job ran in {reply['cwd']}")


def talks_to_people():
    """What a person types reaches the server, and its exit code comes back."""
    for flags, code, part in [
        (["--version"], 0, f"background-command-mcp {version}"),
        (["--check"], 0, "all is well"),
        (["--check", "--shell", "/no/such/shell"], 1, "/no/such/shell cannot be started"),
        (["--no-such-flag"], 2, "--no-such-flag"),
    ]:
        run = subprocess.run([*command, *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        expect((run.returncode, part in run.stdout + run.stderr), (code, True))


def gives_jobs_the_clients_environment():
    """What npx, uvx and the like set for what they start reaches no job: another project's programs, npm's prefix."""
    talk = Conversation(command)
    reply = talk.execute("env", wait_seconds=30)
    found = dict(line.split("=", 1) for line in reply["result"]["output"].splitlines() if "=" in line)
    given, path = os.environ["PATH"].split(":"), found["PATH"].split(":")
    if found.get("BACKGROUND_COMMAND_MCP_LOGIN_ENV") == "true":
        # As the bundle is set up: the login shell adds to it.
        expect([entry for entry in given if entry not in path], [])
    else:
        expect(path, given)
    expect([name for name in found if name.startswith("npm_") or name in ("INIT_CWD", "NODE", "COLOR", "VIRTUAL_ENV")], [])
    talk.process.stdin.close()
    talk.process.wait(timeout=10)


def family(pid):
    """A process and all that descends from it, dead ones not."""
    parents = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state not in "ZX":
            parents.setdefault(int(parent), []).append(int(stat.parent.name))
    found = [pid]
    for member in found:
        found.extend(parents.get(member, []))
    return found


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ends(name):
    """Whatever stands between client and server, nothing outlives the client's end of it, however it comes."""
    talk = Conversation(command)
    job = talk.execute("sleep 600 & sleep 601", wait_seconds=1, until_pattern=".")
    everyone = family(talk.process.pid)
    if job["pid"] not in everyone:
        sys.exit(f"the job {job['pid']} is not among {everyone}")
    if name != "EOF":
        os.kill(talk.process.pid, getattr(signal, name))
    talk.process.stdin.close()
    until = time.monotonic() + 5
    while left := [pid for pid in everyone if is_alive(pid)]:
        if time.monotonic() > until:
            lines = [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in left]
            sys.exit(f"after {name} there still is {lines}")
        time.sleep(0.02)
    talk.process.wait()


works()
gives_jobs_the_clients_environment()
talks_to_people()
if sys.platform == "linux":
    for name in ("EOF", "SIGTERM", "SIGKILL"):
        ends(name)
