"""FastMCP's client, which takes the configuration that desktop clients take."""

# snippet
import asyncio

from fastmcp import Client

config = {"mcpServers": {"background-command": {"command": "background-command-mcp", "args": ["--cwd", "."]}}}


async def main():
    async with Client(config) as client:
        tools = await client.list_tools()
        # end of snippet
        await walk([tool.name for tool in tools], lambda tool, arguments: call(client, tool, arguments))


async def call(client, tool, arguments):
    result = await client.call_tool(tool, arguments, raise_on_error=False)
    expect(json.loads(result.content[0].text), result.structured_content)
    return result.structured_content, result.is_error


import json

from walk import expect, walk

asyncio.run(main())
