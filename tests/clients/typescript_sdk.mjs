// The official TypeScript SDK, from plain JavaScript.

// snippet
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const client = new Client({ name: "my-client", version: "1.0.0" });
await client.connect(new StdioClientTransport({ command: "background-command-mcp", args: ["--cwd", "."] }));
const { tools } = await client.listTools();
// end of snippet

import assert from "node:assert/strict";

async function call(name, args) {
  const result = await client.callTool({ name, arguments: args });
  assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
  return [result.structuredContent, result.isError === true];
}

assert.deepEqual(tools.map((tool) => tool.name).sort(), [
  "cleanup_background_process",
  "execute_command_background",
  "get_command_background_result",
  "list_background_processes",
]);
const [started] = await call("execute_command_background", { cmd: "echo out; echo problem >&2; exit 3" });
const [result] = await call("get_command_background_result", { ref_id: started.ref_id, wait_seconds: 30 });
assert.deepEqual(
  [result.state, result.returncode, result.output, result.error],
  ["exited", 3, "out\n", "problem\n"],
);
const [unknown, failed] = await call("get_command_background_result", { ref_id: "4711" });
assert.ok(failed);
assert.match(unknown.error, /looks like a pid/);

// Progress keeps a wait alive that is longer than the client's own limit.
const [slow] = await call("execute_command_background", { cmd: "sleep 8; echo done" });
const progress = [];
const waited = await client.callTool(
  { name: "get_command_background_result", arguments: { ref_id: slow.ref_id, wait_seconds: 30 } },
  undefined,
  { timeout: 7000, resetTimeoutOnProgress: true, onprogress: (step) => progress.push(step.message) },
);
assert.equal(waited.structuredContent.output, "done\n");
assert.ok(progress.length >= 1, "no progress was told");

const [server] = await call("execute_command_background", { cmd: "sleep 600" });
for (const job of [slow, started, server]) {
  const [cleaned] = await call("cleanup_background_process", { ref_id: job.ref_id });
  assert.ok(cleaned.success);
}
const [listed] = await call("list_background_processes", {});
assert.equal(listed.count, 0);
await client.close();
