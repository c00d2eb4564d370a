#!/usr/bin/env node
// Starts the binary of this platform in the launcher's place, as far as Node allows: same streams, signals passed on, same end.
"use strict";
const { spawn } = require("node:child_process");

const platform = `${process.platform}-${process.arch}`;
const file = process.platform === "win32" ? "background-command-mcp.exe" : "background-command-mcp";

let binary;
try {
  binary = require.resolve(`background-command-mcp-${platform}/${file}`);
} catch {
  console.error(
    `background-command-mcp: there is no package for ${platform}, or it was not installed (were optional dependencies ` +
      "left out?). `cargo install background-command-mcp` builds it.",
  );
  process.exit(1);
}

const server = spawn(binary, process.argv.slice(2), { stdio: "inherit" });
const signals = ["SIGHUP", "SIGINT", "SIGTERM"];
for (const signal of signals) process.on(signal, () => server.kill(signal));
server.on("error", (error) => {
  console.error(`background-command-mcp: ${binary} cannot be started: ${error.message}`);
  process.exit(1);
});
server.on("exit", (code, signal) => {
  if (signal) {
    for (const name of signals) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  } else {
    process.exit(code);
  }
});
