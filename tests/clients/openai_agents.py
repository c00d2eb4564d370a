"""The OpenAI Agents SDK: five seconds for a call unless told otherwise, and strict schemas."""

# snippet
import asyncio

from agents.mcp import MCPServerStdio

server = MCPServerStdio(
    params={"command": "background-command-mcp", "args": ["--cwd", "."]},
    cache_tools_list=True,
    client_session_timeout_seconds=60,
)
# end of snippet


async def main():
    async with server:
        await walk([tool.name for tool in await server.list_tools()], lambda *of: call(server, *of))
        await strict()
    async with MCPServerStdio(params=server.params.model_dump(exclude_none=True)) as hasty:
        await walk([tool.name for tool in await hasty.list_tools()], lambda *of: call(hasty, *of), wait_seconds=3)
        await five_seconds(hasty)


async def call(server, tool, arguments):
    result = await server.call_tool(tool, arguments)
    expect(len(result.content), 1)
    return of_text(result.content[0].text), bool(getattr(result, "is_error", None) or getattr(result, "isError", None))


async def strict():
    """Strict schemas make every parameter required, so that a model sends the optional ones empty."""
    empty = {"string": "", "number": 0, "integer": 0, "boolean": False}
    tools = await server.list_tools()
    converted = await MCPUtil.get_function_tools(
        server, convert_schemas_to_strict=True, run_context=RunContextWrapper(None), agent=Agent(name="test")
    )
    expect(sorted(tool.name for tool in converted if tool.strict_json_schema), sorted(tool.name for tool in tools))
    execute = next(tool for tool in converted if tool.name == "execute_command_background")
    parameters = execute.params_json_schema["properties"]
    arguments = {name: empty[schema["type"]] for name, schema in parameters.items()} | {"cmd": "echo strict"}
    started, failed = await call(server, "execute_command_background", arguments)
    expect(failed, False)
    result, _ = await call(server, "get_command_background_result", {"ref_id": started["ref_id"], "wait_seconds": 30})
    expect(result["output"], "strict\n")


async def five_seconds(hasty):
    """A wait that is longer than the client's patience costs a call, but neither the server nor the job."""
    started, _ = await call(hasty, "execute_command_background", {"cmd": "sleep 7; echo done"})
    wait = {"ref_id": started["ref_id"], "wait_seconds": 45}
    try:
        await call(hasty, "get_command_background_result", wait)
    except Exception as error:
        expect_in("time", f"{type(error).__name__} {error} {error.__cause__}".lower())
    else:
        raise AssertionError("a wait of seven seconds went through")
    result, _ = await call(hasty, "get_command_background_result", wait | {"wait_seconds": 4})
    expect((result["state"], result["output"]), ("exited", "done\n"))


from agents import Agent, RunContextWrapper
from agents.mcp import MCPUtil
from walk import expect, expect_in, of_text, walk

asyncio.run(main())
