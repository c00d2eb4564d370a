//! The client of the tests: JSON lines on the standard streams of the real binary. They are read only when a test asks for
//! them, so that what is unread stays in the pipe.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PATIENCE, Posted, Setup, processes};

/// A conversation with a server of one's own. It ends with the test, and leaves no process and no file.
pub struct Client {
    pub(super) supervisor: RefCell<Option<Child>>,
    pub(super) input: RefCell<Option<File>>,
    pub(super) output: RefCell<Output>,
    pub(super) next_id: Cell<i64>,
    /// The answer to the handshake.
    pub initialized: Value,
    pub(super) output_dir: PathBuf,
    pub(super) shared_output: bool,
    /// What the server and everything it starts carries in its environment.
    pub mark: String,
    pub(super) own: TempDir,
}

/// Our end of the server's standard output, and what was read of it and not yet asked for.
pub(super) struct Output {
    pub(super) stream: Option<File>,
    partial: Vec<u8>,
    messages: VecDeque<Value>,
}

impl Output {
    pub(super) fn of(stream: OwnedFd) -> Self {
        Self { stream: Some(stream.into()), partial: Vec::new(), messages: VecDeque::new() }
    }

    /// Reads once if something comes in this time. Where nothing came, the stream is at its end or the time is over.
    #[track_caller]
    fn read(&mut self, timeout: Duration) -> bool {
        let Some(stream) = self.stream.as_mut().filter(|stream| is_readable(stream, timeout))
        else {
            return false;
        };
        let mut chunk = vec![0; 64 << 10];
        // A terminal's other side ends in an error.
        let length = stream.read(&mut chunk).unwrap_or(0);
        if length == 0 {
            self.stream = None;
        }
        for piece in chunk[..length].split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                let message = serde_json::from_slice(&line).unwrap_or(Value::Null);
                let shown = String::from_utf8_lossy(&line);
                assert_eq!(message["jsonrpc"], "2.0", "on standard output: {shown}");
                self.messages.push_back(message);
            }
        }
        length > 0
    }
}

/// Whether something can be read within this time, or the stream has ended.
pub fn is_readable(stream: impl AsFd, timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).unwrap();
    poll(&mut [PollFd::new(&stream, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

impl Client {
    #[track_caller]
    pub fn start() -> Self {
        Setup::new().start()
    }

    #[track_caller]
    pub(super) fn shake_hands(&mut self, name: &str) {
        let mut hello = initialize(0, "2025-06-18");
        hello["params"]["clientInfo"]["name"] = json!(name);
        self.send(&hello);
        self.initialized = self.answer(0)["result"].take();
        self.notify("notifications/initialized", &json!({}));
    }

    /// The supervisor, which is the process that a client knows.
    pub fn pid(&self) -> u32 {
        self.supervisor.borrow().as_ref().unwrap().id()
    }

    /// The server itself.
    #[track_caller]
    pub fn server_pid(&self) -> u32 {
        processes::server_of(self.pid())
    }

    /// A directory that is removed with the client.
    pub fn scratch(&self) -> &Path {
        self.own.path()
    }

    pub fn log(&self) -> String {
        let log = std::fs::read(self.own.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    // The protocol.

    pub fn write(&self, bytes: &[u8]) {
        // A server that has just ended shows in what follows.
        drop(self.input.borrow_mut().as_mut().unwrap().write_all(bytes));
    }

    pub fn send(&self, message: &Value) {
        self.write(format!("{message}\n").as_bytes());
    }

    pub fn notify(&self, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    pub fn send_request(&self, method: &str, params: &Value) -> i64 {
        let id = self.next_id.replace(self.next_id.get() + 1);
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// The next message; none at the end.
    #[track_caller]
    pub fn next(&self) -> Option<Value> {
        let mut output = self.output.borrow_mut();
        while output.messages.is_empty() && output.stream.is_some() {
            let came = output.read(PATIENCE);
            assert!(came || output.stream.is_none(), "no message within {PATIENCE:?}");
        }
        let message = output.messages.pop_front();
        let rest = String::from_utf8_lossy(&output.partial);
        assert!(message.is_some() || rest.is_empty(), "output ends within a line: {rest}");
        message
    }

    #[track_caller]
    pub fn expect(&self) -> Value {
        self.next().unwrap_or_else(|| panic!("the server has closed its output"))
    }

    /// The whole answer to a request, result or error, whatever comes before it.
    #[track_caller]
    pub fn answer(&self, id: impl Into<Value>) -> Value {
        let id = id.into();
        let deadline = Instant::now() + PATIENCE;
        let mut output = self.output.borrow_mut();
        loop {
            let found = output.messages.iter().position(|message| message["id"] == id);
            if let Some(message) = found.and_then(|index| output.messages.remove(index)) {
                return message;
            }
            let came = output.read(deadline.saturating_duration_since(Instant::now()));
            let ended = output.stream.is_none();
            assert!(came, "no answer to {id}; ended: {ended}; unread: {:?}", output.messages);
        }
    }

    /// Everything that has come and was not taken as an answer, in order. It stays unread.
    #[track_caller]
    pub fn unread(&self) -> Vec<Value> {
        let mut output = self.output.borrow_mut();
        while output.read(Duration::ZERO) {}
        output.messages.iter().cloned().collect()
    }

    /// Whether the answer to a request has come. It stays unread.
    pub fn is_answered(&self, id: i64) -> bool {
        self.unread().iter().any(|message| message["id"] == id)
    }

    /// Waits until something can be read, and leaves it in the pipe.
    #[track_caller]
    pub fn await_output(&self) {
        let output = self.output.borrow();
        let stream = output.stream.as_ref().unwrap();
        assert!(is_readable(stream, PATIENCE), "nothing to read within {PATIENCE:?}");
    }

    #[track_caller]
    pub fn request(&self, method: &str, params: &Value) -> Value {
        let mut answer = self.answer(self.send_request(method, params));
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    pub fn tools(&self) -> Vec<Value> {
        self.request("tools/list", &json!({}))["tools"].as_array().unwrap().clone()
    }

    pub fn cancel(&self, posted: Posted) {
        let params = json!({"requestId": posted.id, "reason": "the user is impatient"});
        self.notify("notifications/cancelled", &params);
    }

    /// Makes sure that everything sent so far has been read by the server.
    #[track_caller]
    pub fn ping(&self) {
        assert_eq!(self.request("ping", &json!({})), json!({}));
    }
}

pub fn call(id: impl Into<Value>, tool: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

pub fn initialize(id: impl Into<Value>, revision: impl Into<Value>) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "initialize", "params": {
        "protocolVersion": revision.into(), "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}})
}
