//! What a server has said, read as it comes.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Condvar, Mutex};

use serde_json::Value;

/// What the server has said.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) messages: Mutex<Vec<Value>>,
    pub(super) arrived: Condvar,
    pub(super) ended: Mutex<bool>,
    /// Lines that are no messages.
    pub(super) stray: Mutex<Vec<String>>,
    pub(super) log: Mutex<Vec<u8>>,
}

impl Inbox {
    pub(super) fn read_from(&self, stdout: impl Read) {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            match serde_json::from_str::<Value>(&line) {
                Ok(message) if message["jsonrpc"] == "2.0" => {
                    self.messages.lock().unwrap().push(message);
                }
                _ => self.stray.lock().unwrap().push(line),
            }
            self.arrived.notify_all();
        }
        *self.ended.lock().unwrap() = true;
        self.arrived.notify_all();
    }

    pub(super) fn read_log_from(&self, mut stderr: impl Read) {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = stderr.read(&mut chunk) {
            self.log.lock().unwrap().extend_from_slice(&chunk[..length]);
        }
    }
}
