"""The official Python SDK."""

# snippet
import asyncio

from mcp import ClientSession, StdioServerParameters, stdio_client

server = StdioServerParameters(command="background-command-mcp", args=["--cwd", "."])


async def main():
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        tools = await session.list_tools()
        # end of snippet
        await walk([tool.name for tool in tools.tools], lambda tool, arguments: call(session, tool, arguments))


async def call(session, tool, arguments):
    result = await session.call_tool(tool, arguments)
    expect(json.loads(result.content[0].text), result.structured_content)
    return result.structured_content, result.is_error


import json

from walk import expect, walk

asyncio.run(main())
