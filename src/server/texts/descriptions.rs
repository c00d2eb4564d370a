//! What the tools are for, and how they go together.

use std::path::Path;

use crate::config::Config;
use crate::format::{human_duration, truncate};

/// Server instructions. Clients cut them, some at 2,048 characters for all servers together.
pub(crate) fn instructions(config: &Config, cwd: &Path) -> String {
    format!(
        "Shell jobs that outlive one tool call: builds, tests, servers, several at once. Prefer your built-in shell for \
         quick commands; use this when a command may exceed 10 s or must keep running. Pattern: execute, then ONE get \
         with wait_seconds (until_pattern for \"server ready\"), then cleanup for servers. Never sleep or poll. Several \
         jobs: list with wait_seconds returns when any ends. Lost ref_id: list. Shell: {}; directory: {}.",
        truncate(&config.shell.to_string(), 100),
        truncate(&cwd.display().to_string(), 150),
    )
}

pub(crate) fn execute_description(config: &Config) -> String {
    format!(
        "Start a shell command in the background and return at once with a ref_id; it keeps running while you work. \
         With wait_seconds a quick command returns its result in this same call. Use it for what may take over 10 s or \
         must stay up: builds, tests, dev servers, watchers, downloads. Next: get_command_background_result. Do not add \
         & or nohup. Each call is a fresh {}; cd and variables do not persist, so set cwd. Standard input is empty: use \
         --yes flags or stdin. kill_after_seconds kills the job; wait_seconds never does. Jobs end with this server; \
         results are kept {} after the end.",
        truncate(&config.shell.to_string(), 60),
        human_duration(config.retention_seconds),
    )
}

pub(crate) const GET_DESCRIPTION: &str = "Wait for a background command and read its output. Blocks up to wait_seconds and \
    returns the moment the command ends or until_pattern matches: make one long wait, never sleep or poll. Neither waiting \
    nor reading changes the job. output is stdout; error is stderr, not a verdict: judge by state and returncode. Long \
    output keeps its start and end, with a marker at the gap. To wait, omit cursor; pass it to read pages in order, or to \
    match only newer text. Keys that carry nothing are absent.";

pub(crate) const LIST_DESCRIPTION: &str = "List background commands with state, exit code and age: every running one, then \
    the newest finished. Use it when a ref_id is lost, before starting a second server, and, with wait_seconds, to wait \
    until any job ends. Large silent_seconds with idle CPU suggests a stuck job. Not the machine's process list.";

pub(crate) const CLEANUP_DESCRIPTION: &str = "Stop a background command and all its child processes (TERM, then KILL after \
    grace_seconds), then delete its record and logs. Answers when the processes are gone, with the last output in result. \
    Use it for servers and watchers when done; finished jobs expire by themselves. keep_result=true stops but keeps the \
    output readable. Safe to repeat.";
