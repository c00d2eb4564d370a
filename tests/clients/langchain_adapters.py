"""LangChain's MCP adapters. One session, or each call would get a server of its own that ends with the call."""

# snippet
import asyncio

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

client = MultiServerMCPClient(
    {"background-command": {"transport": "stdio", "command": "background-command-mcp", "args": ["--cwd", "."]}}
)


async def main():
    async with client.session("background-command") as session:
        tools = await load_mcp_tools(session)
        # end of snippet
        by_name = {tool.name: tool for tool in tools}
        await walk(by_name, lambda tool, arguments: call(by_name[tool], arguments))


async def call(tool, arguments):
    message = await tool.ainvoke({"type": "tool_call", "id": "1", "name": tool.name, "args": arguments})
    text = "".join(part["text"] for part in message.content if part["type"] == "text")
    return of_text(text), message.status == "error"


from walk import of_text, walk

asyncio.run(main())
