//! The client's end of a wire: raw lines, no reader of its own, so that what is unread stays unread.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::{SERVER, files_below};
use crate::support::reply::{CLEANUP, EXECUTE};
use crate::support::{PATIENCE, eventually, processes};

/// What clients connect a server's standard streams to: Python gives it FIFOs, Node socket pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire {
    Fifo,
    Socket,
}

pub(crate) const WIRES: [Wire; 2] = [Wire::Fifo, Wire::Socket];

impl Wire {
    /// A stream to the server: our end and the server's.
    pub(crate) fn input(self) -> (OwnedFd, OwnedFd) {
        match self {
            Self::Fifo => {
                let (reader, writer) = io::pipe().unwrap();
                (writer.into(), reader.into())
            }
            Self::Socket => sockets(),
        }
    }

    /// A stream from the server: our end and the server's.
    pub(crate) fn output(self) -> (OwnedFd, OwnedFd) {
        match self {
            Self::Fifo => {
                let (reader, writer) = io::pipe().unwrap();
                (reader.into(), writer.into())
            }
            Self::Socket => sockets(),
        }
    }
}

pub(crate) fn sockets() -> (OwnedFd, OwnedFd) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (ours.into(), theirs.into())
}

/// A server that keeps what its jobs write in a directory of the test's own. Nobody reads its log.
pub(crate) fn server(own: &TempDir) -> Command {
    let mut command = Command::new(SERVER);
    command.arg("--output-dir").arg(own.path().join("output")).stderr(Stdio::null());
    command
}

/// Waits for readability or room. A failure says what was waited for.
#[track_caller]
pub(crate) fn await_ready(fd: impl AsFd, events: PollFlags) {
    let timeout = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(&fd, events)], Some(&timeout)).unwrap();
    assert!(ready > 0, "no {events:?} within {PATIENCE:?}");
}

/// Reads, but does not wait for ever.
struct Patient(File);

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        await_ready(&self.0, PollFlags::IN);
        self.0.read(buffer)
    }
}

/// A server and both ends of a conversation with it.
pub(crate) struct Peer {
    server: Child,
    input: Option<File>,
    output: Option<BufReader<Patient>>,
    own: TempDir,
    /// What the server and everything it starts carries in its environment.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only Linux tells environments")
    )]
    mark: String,
}

impl Peer {
    pub(crate) fn on(wire: Wire) -> Self {
        Self::with(wire, |_| {})
    }

    /// After `change` has seen to how the server is started.
    pub(crate) fn with(wire: Wire, change: impl FnOnce(&mut Command)) -> Self {
        Self::over(wire.input(), wire.output(), change)
    }

    /// Each stream as our end and the server's.
    pub(crate) fn over(
        (input, server_input): (OwnedFd, OwnedFd),
        (output, server_output): (OwnedFd, OwnedFd),
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let own = TempDir::new().unwrap();
        let mut command = server(&own);
        let mark = uuid::Uuid::new_v4().to_string();
        command.env("TEST_SERVER", &mark);
        change(&mut command);
        command.stdin(server_input).stdout(server_output);
        Self {
            server: command.spawn().unwrap(),
            input: Some(input.into()),
            output: Some(BufReader::with_capacity(64 << 10, Patient(output.into()))),
            own,
            mark: format!("TEST_SERVER={mark}"),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn server_pid(&self) -> u32 {
        processes::server_of(self.pid())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        processes::signal(self.pid(), signal);
    }

    /// Where the server keeps what its jobs write.
    pub(crate) fn output_dir(&self) -> PathBuf {
        self.own.path().join("output")
    }

    /// The server's standard error, where it was asked for.
    pub(crate) fn take_log(&mut self) -> File {
        let log: OwnedFd = self.server.stderr.take().unwrap().into();
        log.into()
    }

    // What is sent.

    pub(crate) fn write(&self, bytes: &[u8]) {
        self.input.as_ref().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn send(&self, message: &Value) {
        self.write(format!("{message}\n").as_bytes());
    }

    pub(crate) fn call(&self, id: impl Into<Value>, tool: &str, arguments: &Value) {
        self.send(&call(id, tool, arguments));
    }

    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    pub(crate) fn close_output(&mut self) {
        self.output = None;
    }

    // What comes.

    /// The next line, or `None` at the end.
    #[track_caller]
    pub(crate) fn next_line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let output = self.output.as_mut().unwrap();
        output.read_until(b'\n', &mut line).unwrap();
        match line.pop() {
            None => None,
            Some(b'\n') => Some(line),
            Some(_) => panic!("output ends within a line: {}", String::from_utf8_lossy(&line)),
        }
    }

    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Value> {
        let line = self.next_line()?;
        let message = serde_json::from_slice(&line);
        Some(message.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&line))))
    }

    #[track_caller]
    pub(crate) fn expect(&mut self) -> Value {
        self.next().unwrap_or_else(|| panic!("the server has closed its output"))
    }

    /// The next message, which must answer this request with a result.
    #[track_caller]
    pub(crate) fn result(&mut self, id: impl Into<Value>) -> Value {
        let mut answer = self.expect();
        assert_eq!(answer["id"], id.into(), "{answer}");
        assert!(answer["result"].is_object(), "{answer}");
        answer["result"].take()
    }

    /// The next message, which must be the reply of a tool to this request.
    #[track_caller]
    pub(crate) fn reply(&mut self, id: impl Into<Value>) -> Value {
        self.result(id)["structuredContent"].take()
    }

    /// Waits until something can be read, and leaves it there.
    #[track_caller]
    pub(crate) fn await_output(&self) {
        await_ready(&self.output.as_ref().unwrap().get_ref().0, PollFlags::IN);
    }

    // Both.

    #[track_caller]
    pub(crate) fn ping(&mut self, id: impl Into<Value>) {
        let id = id.into();
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": "ping"}));
        let pong = json!({"jsonrpc": "2.0", "id": id, "result": {}});
        assert_eq!(self.expect(), pong);
    }

    /// Runs a command to its end and returns what it has written to standard output.
    #[track_caller]
    pub(crate) fn run(&mut self, cmd: &str) -> String {
        self.call("run", EXECUTE, &json!({"cmd": cmd, "wait_seconds": 30}));
        let reply = self.reply("run");
        assert_eq!(reply["result"]["state"], "exited", "{reply}");
        let ref_id = &reply["ref_id"];
        self.call("clean up", CLEANUP, &json!({"ref_id": ref_id}));
        assert_eq!(self.reply("clean up")["success"], true);
        reply["result"]["output"].as_str().unwrap().to_owned()
    }

    /// Starts a command and returns its ref_id.
    #[track_caller]
    pub(crate) fn begin(&mut self, cmd: &str) -> String {
        self.call("begin", EXECUTE, &json!({"cmd": cmd}));
        let reply = self.reply("begin");
        let ref_id = reply["ref_id"].as_str();
        ref_id.unwrap_or_else(|| panic!("no ref_id in {reply}")).to_owned()
    }

    // The end.

    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the server has ended", || {
            let status = self.server.try_wait().unwrap();
            status.ok_or_else(|| processes::describe([self.server.id()]))
        })
    }

    /// Waits for an end in good order: exit 0, and nothing left on disk or alive.
    #[track_caller]
    pub(crate) fn ends_well(&mut self) {
        let status = self.wait();
        assert!(status.success(), "{status}");
        let left = files_below(&self.output_dir());
        assert!(left.is_empty(), "left by an ended server: {left:?}");
        #[cfg(target_os = "linux")]
        eventually("no process is left of an ended server", || {
            let left = processes::with_environment(&self.mark);
            match left.is_empty() {
                true => Ok(()),
                false => Err(processes::describe(left)),
            }
        });
    }

    /// Closes standard input; after what is under way nothing more may come.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.close_input();
        assert_eq!(self.next(), None);
        self.ends_well();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A test that has failed leaves its server to this; its supervisor sees to its jobs.
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

pub(crate) fn call(id: impl Into<Value>, tool: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

pub(crate) fn initialize(id: impl Into<Value>, revision: impl Into<Value>) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "initialize", "params": {
        "protocolVersion": revision.into(), "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}})
}

/// A request as revision 2026-07-28 writes it, with what used to be said once in the handshake.
pub(crate) fn stateless(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// How long something takes on a machine that is not busy just then: the shortest of some attempts, since a busy one
/// can make any of them slow and nothing can make one too quick.
#[track_caller]
pub(crate) fn assert_takes_less(limit: Duration, mut attempt: impl FnMut() -> Duration) {
    const ATTEMPTS: usize = 5;
    let mut taken = Vec::new();
    while taken.len() < ATTEMPTS {
        taken.push(attempt());
        if taken.last() < Some(&limit) {
            return;
        }
    }
    panic!("not within {limit:?}: {taken:?}");
}
