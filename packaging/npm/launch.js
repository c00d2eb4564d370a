#!/usr/bin/env node
// Starts the binary of this platform in the launcher's place, as far as Node allows: same streams, signals passed on, same end.
"use strict";
const { spawn } = require("node:child_process");
const path = require("node:path");

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

// What npm and npx set for what they run would reach the jobs: `nvm use` fails with npm's prefix, and programs of another
// project come before the user's own. npm puts its folders before the PATH, the one of node-gyp last.
function withoutNpm(environment) {
  const npms = /[\\/]node_modules[\\/]\.bin$|[\\/]node-gyp-bin$/;
  const clean = { ...environment };
  if (!clean.npm_execpath && !clean.npm_config_user_agent) return clean;
  for (const name of Object.keys(clean)) {
    if (name.startsWith("npm_") || ["INIT_CWD", "NODE", "COLOR"].includes(name)) delete clean[name];
    if (name === "EDITOR" && /^vi$|\\notepad\.exe$/.test(clean[name])) delete clean[name];
    if (name.toUpperCase() === "PATH") {
      const folders = clean[name].split(path.delimiter);
      const gyp = folders.map((folder) => folder.endsWith("node-gyp-bin")).lastIndexOf(true);
      const own = gyp >= 0 ? gyp + 1 : folders.findIndex((folder) => !npms.test(folder));
      clean[name] = folders.filter((folder, at) => at >= own || !npms.test(folder)).join(path.delimiter);
    }
  }
  return clean;
}

const server = spawn(binary, process.argv.slice(2), { stdio: "inherit", env: withoutNpm(process.env) });
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
