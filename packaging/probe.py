"""One conversation with a server: probe.py COMMAND [ARGUMENT...]. Standard library only."""

import json
import subprocess
import sys

server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
last_id = 0


def send(method, params, **more):
    print(json.dumps({"jsonrpc": "2.0", "method": method, "params": params} | more), file=server.stdin, flush=True)


def request(method, params):
    global last_id
    last_id += 1
    send(method, params, id=last_id)
    for line in server.stdout:
        answer = json.loads(line)
        if answer.get("id") == last_id:
            return answer["result"]
    sys.exit(f"{method} was not answered")


hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "probe", "version": "1"}}
greeting = request("initialize", hello)
send("notifications/initialized", {})
tools = request("tools/list", {})["tools"]
assert len(tools) == 4, tools
call = {"name": "execute_command_background", "arguments": {"cmd": "echo it runs; exit 3", "wait_seconds": 30}}
reply = request("tools/call", call)["structuredContent"]
found = (reply["result"]["returncode"], reply["result"]["output"])
assert found == (3, "it runs\n"), reply
server.stdin.close()
assert server.wait(timeout=10) == 0, server.returncode
print(f"{greeting['serverInfo']['name']} {greeting['serverInfo']['version']}: a job ran in {reply['cwd']}")
