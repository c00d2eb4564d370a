"""LangChain's MCP adapters as they come: each call starts a server of its own, and with --keep the jobs are there all the same."""

import subprocess
import sys

if "no background process" not in subprocess.run(
    ["background-command-mcp", "daemon", "status"], capture_output=True, text=True
).stdout:
    print("a background process of this user is running, and it is not the test's to stop")
    sys.exit(77)

# snippet
import asyncio

from langchain_mcp_adapters.client import MultiServerMCPClient

client = MultiServerMCPClient(
    {"background-command": {"transport": "stdio", "command": "background-command-mcp", "args": ["--keep", "--cwd", "."]}}
)


async def main():
    tools = await client.get_tools()
    # end of snippet
    by_name = {tool.name: tool for tool in tools}

    async def call(tool, arguments):
        message = await by_name[tool].ainvoke({"type": "tool_call", "id": "1", "name": tool, "args": arguments})
        expect(message.status, "success")
        return of_text("".join(part["text"] for part in message.content if part["type"] == "text"))

    started = await call("execute_command_background", {"cmd": "echo one; read line; sleep 600", "keep_stdin_open": True})
    ref_id = started["ref_id"]
    read = await call(
        "get_command_background_result", {"ref_id": ref_id, "wait_seconds": 20, "until_pattern": "one"}
    )
    expect((read["running"], read["matched"]), (True, "one"))
    stopped = await call("cleanup_background_process", {"ref_id": ref_id})
    expect(stopped["result"]["state"], "stopped")


from walk import expect, of_text

try:
    asyncio.run(main())
finally:
    subprocess.run(["background-command-mcp", "daemon", "stop"], check=True)
