"""PydanticAI: an agent whose model is a script."""

# snippet
import asyncio

from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

tools = MCPToolset(StdioTransport("background-command-mcp", ["--cwd", "."]))
agent = Agent(toolsets=[tools])
# end of snippet


class Script:
    """A model that calls one tool after the other and keeps what comes back."""

    def __init__(self):
        self.replies = []
        self.outcomes = []

    def __call__(self, messages, info):
        expect({tool.name for tool in info.function_tools}, TOOLS)
        for part in messages[-1].parts:
            if part.part_kind in ("tool-return", "retry-prompt"):
                self.replies.append(part.content)
                self.outcomes.append(getattr(part, "outcome", part.part_kind))
        turn = len(self.replies)
        if turn == 0:
            return self.call("execute_command_background", cmd="echo out; exit 3")
        if turn == 1:
            return self.call("get_command_background_result", ref_id=self.ref_id(), wait_seconds=30)
        if turn == 2:
            return self.call("get_command_background_result", ref_id="4711")
        if turn == 3:
            return self.call("cleanup_background_process", ref_id=self.ref_id())
        return ModelResponse(parts=[TextPart("done")])

    def call(self, tool, **arguments):
        return ModelResponse(parts=[ToolCallPart(tool, arguments)])

    def ref_id(self):
        return self.replies[0]["ref_id"]


async def main():
    script = Script()
    async with agent:
        answer = await agent.run("Go.", model=FunctionModel(script))
    expect(answer.output, "done")
    started, result, error, cleaned = script.replies
    expect_whole("execute_command_background", started)
    expect_whole("get_command_background_result", result)
    expect_whole("cleanup_background_process", cleaned)
    expect((started["success"], result["returncode"], result["output"]), (True, 3, "out\n"))
    expect_in("looks like a pid", str(error))
    expect(script.outcomes, ["success", "success", "retried", "success"])
    expect(cleaned["success"], True)


from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from walk import TOOLS, expect, expect_in, expect_whole

asyncio.run(main())
