"""A client for one server at a time. Standard library only."""

import json
import subprocess


class Conversation:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.last_id = 0
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "probe", "version": "1"}}
        self.server = self.request("initialize", hello)["serverInfo"]
        self.send("notifications/initialized", {})

    def send(self, method, params, **more):
        message = {"jsonrpc": "2.0", "method": method, "params": params} | more
        print(json.dumps(message), file=self.process.stdin, flush=True)

    def request(self, method, params):
        self.last_id += 1
        self.send(method, params, id=self.last_id)
        for line in self.process.stdout:
            answer = json.loads(line)
            if answer.get("id") == self.last_id:
                return answer["result"]
        raise SystemExit(f"{method} was not answered")

    def execute(self, cmd, **more):
        call = {"name": "execute_command_background", "arguments": {"cmd": cmd} | more}
        return self.request("tools/call", call)["structuredContent"]
