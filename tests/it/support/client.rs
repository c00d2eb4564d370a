//! A client of the real binary: JSON lines on pipes, nothing in between that could smooth anything over.

mod inbox;
mod setup;

use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use inbox::Inbox;
use serde_json::{Value, json};
pub(crate) use setup::Setup;
use tempfile::TempDir;

use super::reply::{CLEANUP, EXECUTE, GET, LIST, Schemas};
use super::{PATIENCE, eventually, processes};

pub(crate) const SERVER: &str = env!("CARGO_BIN_EXE_background-command-mcp");

/// A conversation with a server of one's own. It ends with the test, and leaves no process and no file.
pub(crate) struct Client {
    server: RefCell<Option<Child>>,
    stdin: Mutex<Option<ChildStdin>>,
    inbox: Arc<Inbox>,
    next_id: AtomicI64,
    schemas: Schemas,
    pub(crate) tools: Vec<Value>,
    pub(crate) initialized: Value,
    output_dir: PathBuf,
    shared_output: bool,
    /// What the server and everything it starts carries in its environment.
    pub(crate) mark: String,
    own: TempDir,
}

/// The end of a server.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) took: Duration,
}

/// A call under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    pub(crate) id: i64,
    tool: &'static str,
}

impl Client {
    #[track_caller]
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    #[track_caller]
    fn initialize(&mut self, name: &str) {
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": name, "version": "1"},
        });
        self.initialized = self.request("initialize", &hello);
        self.notify("notifications/initialized", &json!({}));
        let listed = self.request("tools/list", &json!({}));
        self.tools = listed["tools"].as_array().unwrap().clone();
        self.schemas = Schemas::of(&self.tools);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.borrow().as_ref().unwrap().id()
    }

    /// A directory that is removed with the client.
    pub(crate) fn scratch(&self) -> &Path {
        self.own.path()
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&self.inbox.log.lock().unwrap()).into_owned()
    }

    // The protocol.

    /// Sends a line as it is.
    pub(crate) fn send_line(&self, line: &str) {
        let mut stdin = self.stdin.lock().unwrap();
        let stdin = stdin.as_mut().unwrap();
        // A server that has just ended shows in what follows.
        drop(stdin.write_all(format!("{line}\n").as_bytes()));
    }

    pub(crate) fn notify(&self, method: &str, params: &Value) {
        self.send_line(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
    }

    pub(crate) fn send_request(&self, method: &str, params: &Value) -> i64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.send_line(
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        );
        id
    }

    /// The whole answer to a request, result or error.
    #[track_caller]
    pub(crate) fn answer(&self, id: i64) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut messages = self.inbox.messages.lock().unwrap();
        loop {
            if let Some(index) = messages.iter().position(|message| message["id"] == id) {
                return messages.remove(index);
            }
            assert!(!*self.inbox.ended.lock().unwrap(), "no answer to {id}: the server has ended");
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no answer to {id} within {PATIENCE:?}; unread: {messages:?}");
            messages = self.inbox.arrived.wait_timeout(messages, left).unwrap().0;
        }
    }

    /// Whether the answer to a request has arrived. It stays unread.
    pub(crate) fn is_answered(&self, id: i64) -> bool {
        let messages = self.inbox.messages.lock().unwrap();
        messages.iter().any(|message| message["id"] == id)
    }

    #[track_caller]
    pub(crate) fn request(&self, method: &str, params: &Value) -> Value {
        let answer = self.answer(self.send_request(method, params));
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Notifications that have arrived, by method.
    pub(crate) fn notifications(&self, method: &str) -> Vec<Value> {
        let messages = self.inbox.messages.lock().unwrap();
        let those = messages.iter().filter(|message| message["method"] == method);
        those.cloned().collect()
    }

    /// Everything that has arrived, in order, and was not taken as an answer.
    pub(crate) fn unread(&self) -> Vec<Value> {
        self.inbox.messages.lock().unwrap().clone()
    }

    pub(crate) fn cancel(&self, posted: Posted) {
        self.notify(
            "notifications/cancelled",
            &json!({"requestId": posted.id, "reason": "the user is impatient"}),
        );
    }

    /// Makes sure that everything sent so far has been read by the server.
    #[track_caller]
    pub(crate) fn ping(&self) {
        self.request("ping", &json!({}));
    }

    // The tools.

    pub(crate) fn post(&self, tool: &'static str, arguments: &Value) -> Posted {
        let id = self.send_request("tools/call", &json!({"name": tool, "arguments": arguments}));
        Posted { id, tool }
    }

    /// A call that has been read, and that waits: it is not answered yet.
    #[track_caller]
    pub(crate) fn post_waiting(&self, tool: &'static str, arguments: &Value) -> Posted {
        let posted = self.post(tool, arguments);
        self.ping();
        assert!(!self.is_answered(posted.id), "{tool} did not wait: {:?}", self.unread());
        posted
    }

    /// The reply to a call, and whether it is an error.
    #[track_caller]
    pub(crate) fn outcome(&self, posted: Posted) -> (Value, bool) {
        let answer = self.answer(posted.id);
        assert!(answer["error"].is_null(), "{}: {answer}", posted.tool);
        self.schemas.check(posted.tool, &answer["result"])
    }

    /// The reply to a call that succeeds.
    #[track_caller]
    pub(crate) fn reply(&self, posted: Posted) -> Value {
        let (reply, is_error) = self.outcome(posted);
        assert!(!is_error, "{} failed: {reply}", posted.tool);
        reply
    }

    #[track_caller]
    pub(crate) fn call(&self, tool: &'static str, arguments: &Value) -> Value {
        self.reply(self.post(tool, arguments))
    }

    /// The reply to a call that is refused.
    #[track_caller]
    pub(crate) fn refused(&self, tool: &'static str, arguments: &Value) -> Value {
        let (reply, is_error) = self.outcome(self.post(tool, arguments));
        assert!(is_error, "{tool} was not refused: {reply}");
        reply
    }

    /// Starts a command and returns its ref_id.
    #[track_caller]
    pub(crate) fn begin(&self, cmd: &str) -> String {
        ref_id(&self.execute(&json!({"cmd": cmd})))
    }

    #[track_caller]
    pub(crate) fn execute(&self, arguments: &Value) -> Value {
        self.call(EXECUTE, arguments)
    }

    #[track_caller]
    pub(crate) fn get(&self, ref_id: &str) -> Value {
        self.call(GET, &json!({"ref_id": ref_id}))
    }

    /// Waits for the end of a job's command.
    #[track_caller]
    pub(crate) fn wait(&self, ref_id: &str) -> Value {
        let reply = self.call(GET, &json!({"ref_id": ref_id, "wait_seconds": 45}));
        assert_eq!(reply["running"], false, "{reply}");
        reply
    }

    /// Waits for a line of a job's output.
    #[track_caller]
    pub(crate) fn wait_for(&self, ref_id: &str, pattern: &str) -> Value {
        let reply = self
            .call(GET, &json!({"ref_id": ref_id, "wait_seconds": 45, "until_pattern": pattern}));
        assert!(reply["matched"].is_string(), "no line matches {pattern}: {reply}");
        reply
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn run(&self, cmd: &str) -> Value {
        self.wait(&self.begin(cmd))
    }

    #[track_caller]
    pub(crate) fn list(&self) -> Value {
        self.call(LIST, &json!({}))
    }

    #[track_caller]
    pub(crate) fn clean_up(&self, ref_id: &str) -> Value {
        self.call(CLEANUP, &json!({"ref_id": ref_id}))
    }

    /// Waits until nothing of a job is alive, its leftovers included.
    #[track_caller]
    pub(crate) fn released(&self, ref_id: &str) -> Value {
        eventually("nothing of the job is alive", || {
            let reply = self.get(ref_id);
            if reply["running"] == false && reply["leftover_processes"].is_null() {
                Ok(reply)
            } else {
                Err(reply.to_string())
            }
        })
    }

    /// Every page from a cursor to where there is nothing more: output, error, the last cursor.
    #[track_caller]
    pub(crate) fn pages(
        &self,
        ref_id: &str,
        from: &str,
        max_chars: u64,
    ) -> (String, String, String) {
        let (mut output, mut error, mut cursor) = (String::new(), String::new(), from.to_owned());
        loop {
            let page = self
                .call(GET, &json!({"ref_id": ref_id, "cursor": cursor, "max_chars": max_chars}));
            let (out, err) = (text(&page, "output"), text(&page, "error"));
            page["cursor"].as_str().unwrap().clone_into(&mut cursor);
            if out.is_empty() && err.is_empty() {
                return (output, error, cursor);
            }
            output += out;
            error += err;
        }
    }

    // The files.

    /// Files of this server's output directories, lock files left out.
    pub(crate) fn output_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = files_below(&self.output_dir)
            .into_iter()
            .filter(|path| path.file_name().is_some_and(|name| name != "lock"))
            .collect();
        files.sort();
        files
    }

    /// Waits until this server has so many files.
    #[track_caller]
    pub(crate) fn await_output_files(&self, count: usize) {
        eventually(&format!("there are {count} files"), || {
            let files = self.output_files();
            if files.len() == count { Ok(()) } else { Err(format!("{files:?}")) }
        });
    }

    /// How many bytes of output are on disk, while the server writes none.
    pub(crate) fn bytes_on_disk(&self) -> u64 {
        let files = self.output_files();
        let lengths = files.iter().map(|file| file.metadata().map_or(0, |file| file.len()));
        lengths.sum()
    }

    /// How many bytes of output are on disk at one instant: one file after the other would be looked at while some grow and
    /// others are removed.
    #[cfg(target_os = "linux")]
    pub(crate) fn bytes_on_disk_now(&self) -> u64 {
        processes::suspended(self.pid(), || self.bytes_on_disk())
    }

    // The end.

    /// Ends the conversation by closing standard input.
    #[track_caller]
    pub(crate) fn hang_up(&self) -> End {
        self.close_stdin();
        self.end()
    }

    pub(crate) fn close_stdin(&self) {
        drop(self.stdin.lock().unwrap().take());
    }

    /// Waits for the end of the server.
    #[track_caller]
    pub(crate) fn end(&self) -> End {
        let started = Instant::now();
        let mut server = self.server.borrow_mut().take().unwrap();
        loop {
            if let Some(status) = server.try_wait().unwrap() {
                let took = started.elapsed();
                return End { status, took };
            }
            if started.elapsed() > PATIENCE {
                drop(server.kill());
                drop(server.wait());
                panic!("the server did not end within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills the server as nothing can prevent.
    pub(crate) fn kill_server(&self) {
        let mut server = self.server.borrow_mut().take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// The server itself; `pid` is that of its supervisor, which is the process that a client knows.
    #[track_caller]
    pub(crate) fn server_pid(&self) -> u32 {
        processes::server_of(self.pid())
    }

    /// What the server has started and what still lives. A living server and its supervisor are left out.
    pub(crate) fn living(&self) -> Vec<u32> {
        let mut living = processes::with_environment(&self.mark);
        if let Some(supervisor) = self.server.borrow().as_ref().map(Child::id) {
            living.remove(&supervisor);
            living.retain(|pid| !processes::is_server_of(*pid, supervisor));
        }
        living.into_iter().collect()
    }

    /// Ends the conversation: the server goes by itself, in time, and leaves nothing.
    #[track_caller]
    pub(crate) fn assert_ends_well(&self) {
        let end = self.hang_up();
        assert!(end.status.success(), "{end:?}\n{}", self.log());
        assert!(end.took < Duration::from_secs(3), "{end:?}\n{}", self.log());
        self.assert_nothing_left();
    }

    /// Nothing that the server has started is alive, and nothing it has written is there.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        eventually("no process is left of an ended server", || {
            let left = self.living();
            if left.is_empty() { Ok(()) } else { Err(processes::describe(left)) }
        });
        if !self.shared_output {
            let files = files_below(&self.output_dir);
            assert!(files.is_empty(), "left by an ended server: {files:?}");
        }
    }
}

impl Drop for Client {
    /// What holds at the end of every server is checked at the end of every test.
    #[expect(clippy::print_stderr, reason = "a failed test shows what the server logged")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}---", self.log());
            if let Some(mut server) = self.server.borrow_mut().take() {
                drop(server.kill());
                drop(server.wait());
            }
            for pid in processes::with_environment(&self.mark) {
                processes::kill(pid);
            }
            return;
        }
        if self.server.borrow().is_some() {
            self.assert_ends_well();
        }
        let stray = self.inbox.stray.lock().unwrap();
        assert!(stray.is_empty(), "not JSON-RPC on standard output: {stray:?}");
    }
}

pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[track_caller]
pub(crate) fn ref_id(reply: &Value) -> String {
    reply["ref_id"].as_str().unwrap_or_else(|| panic!("no ref_id in {reply}")).to_owned()
}

#[track_caller]
pub(crate) fn text<'a>(reply: &'a Value, key: &str) -> &'a str {
    reply[key].as_str().unwrap_or_else(|| panic!("no {key} in {reply}"))
}

/// Where the output of the job is that this reply shows.
#[track_caller]
pub(crate) fn output_directory(reply: &Value) -> PathBuf {
    let path = Path::new(text(reply, "output_path"));
    path.parent().unwrap().to_owned()
}

/// The texts in an array, none if it is absent.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    let array = value.as_array().cloned().unwrap_or_default();
    array.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}
