"""What every client is taken through: the tools are there, a job runs to its end, an error is read, a job is stopped."""

import json

# The tools, each with what all its replies hold.
ALWAYS = {
    "execute_command_background": {"success", "ref_id", "error"},
    "get_command_background_result": {
        *("running", "state", "returncode", "cmd", "created_at", "finished_at", "output", "error"),
    },
    "list_background_processes": {"success", "count", "processes"},
    "cleanup_background_process": {"success", "ref_id", "message"},
}
TOOLS = set(ALWAYS)


def expect(found, expected):
    if found != expected:
        raise AssertionError(f"found {found!r} instead of {expected!r}")


def expect_in(part, text):
    if part not in text:
        raise AssertionError(f"{part!r} is not in {text!r}")


def expect_whole(tool, reply):
    """What has become plain text on its way, as some clients' errors do, has no keys to look at."""
    if isinstance(reply, dict):
        expect(ALWAYS[tool] - reply.keys(), set())


async def walk(names, ask, wait_seconds=30):
    """`names` are the tools the client sees; `ask(tool, arguments)` answers the reply and whether it is an error."""

    async def call(tool, arguments):
        reply, failed = await ask(tool, arguments)
        expect_whole(tool, reply)
        return reply, failed

    expect(sorted(names), sorted(TOOLS))
    started, failed = await call("execute_command_background", {"cmd": "echo out; echo problem >&2; exit 3"})
    expect((started["success"], failed), (True, False))
    result, failed = await call(
        "get_command_background_result", {"ref_id": started["ref_id"], "wait_seconds": wait_seconds}
    )
    found = (result["state"], result["returncode"], result["output"], result["error"], failed)
    expect(found, ("exited", 3, "out\n", "problem\n", False))
    unknown, failed = await call("get_command_background_result", {"ref_id": "4711"})
    expect(failed, True)
    expect_in("looks like a pid", unknown["error"] if isinstance(unknown, dict) else unknown)
    server, _ = await call("execute_command_background", {"cmd": "sleep 600"})
    listed, _ = await call("list_background_processes", {})
    expect([job["running"] for job in listed["processes"]], [True, False])
    for job in (server, started):
        cleaned, failed = await call("cleanup_background_process", {"ref_id": job["ref_id"]})
        expect((cleaned["success"], failed), (True, False))
    listed, _ = await call("list_background_processes", {})
    expect(listed["count"], 0)


def of_text(text):
    """A reply that the client hands on as text: JSON, or what an error has become on its way."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
