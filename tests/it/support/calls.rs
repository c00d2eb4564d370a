//! The four tools as the tests call them. Each reply is checked for what holds for all of them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::reply::{self, CLEANUP, EXECUTE, GET, LIST};
use super::{Client, eventually};

/// A call under way.
#[derive(Clone, Copy, Debug)]
pub struct Posted {
    pub id: i64,
    tool: &'static str,
}

impl Client {
    pub fn post(&self, tool: &'static str, arguments: &Value) -> Posted {
        let id = self.send_request("tools/call", &json!({"name": tool, "arguments": arguments}));
        Posted { id, tool }
    }

    /// A call that has been read, and that waits: it is not answered yet.
    #[track_caller]
    pub fn post_waiting(&self, tool: &'static str, arguments: &Value) -> Posted {
        let posted = self.post(tool, arguments);
        self.ping();
        assert!(!self.is_answered(posted.id), "{tool} did not wait: {:?}", self.unread());
        posted
    }

    /// The reply to a call, and whether it is an error.
    #[track_caller]
    pub fn outcome(&self, posted: Posted) -> (Value, bool) {
        let answer = self.answer(posted.id);
        assert!(answer["error"].is_null(), "{}: {answer}", posted.tool);
        reply::check(posted.tool, &answer["result"])
    }

    /// The reply to a call that succeeds.
    #[track_caller]
    pub fn reply(&self, posted: Posted) -> Value {
        let (reply, is_error) = self.outcome(posted);
        assert!(!is_error, "{} failed: {reply}", posted.tool);
        reply
    }

    #[track_caller]
    pub fn call(&self, tool: &'static str, arguments: &Value) -> Value {
        self.reply(self.post(tool, arguments))
    }

    /// The reply to a call that is refused.
    #[track_caller]
    pub fn refused(&self, tool: &'static str, arguments: &Value) -> Value {
        let (reply, is_error) = self.outcome(self.post(tool, arguments));
        assert!(is_error, "{tool} was not refused: {reply}");
        reply
    }

    #[track_caller]
    pub fn execute(&self, arguments: &Value) -> Value {
        self.call(EXECUTE, arguments)
    }

    /// Starts a command and returns its ref_id.
    #[track_caller]
    pub fn begin(&self, cmd: &str) -> String {
        ref_id(&self.execute(&json!({"cmd": cmd})))
    }

    #[track_caller]
    pub fn get(&self, ref_id: &str) -> Value {
        self.call(GET, &json!({"ref_id": ref_id}))
    }

    /// The state of a job that may be gone.
    #[track_caller]
    pub fn state(&self, ref_id: &str) -> String {
        let (reply, _) = self.outcome(self.post(GET, &json!({"ref_id": ref_id})));
        text(&reply, "state").to_owned()
    }

    /// Looks at a job until its reply is as wanted.
    #[track_caller]
    pub fn get_until(&self, ref_id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || {
            let reply = self.get(ref_id);
            if wanted(&reply) { Ok(reply) } else { Err(reply.to_string()) }
        })
    }

    /// Waits for the end of a job's command.
    #[track_caller]
    pub fn wait(&self, ref_id: &str) -> Value {
        let reply = self.call(GET, &json!({"ref_id": ref_id, "wait_seconds": 45}));
        assert_eq!(reply["running"], false, "{reply}");
        reply
    }

    /// Waits for a line of a job's output.
    #[track_caller]
    pub fn wait_for(&self, ref_id: &str, pattern: &str) -> Value {
        let wait = json!({"ref_id": ref_id, "wait_seconds": 45, "until_pattern": pattern});
        let reply = self.call(GET, &wait);
        assert!(reply["matched"].is_string(), "no line matches {pattern}: {reply}");
        reply
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run(&self, cmd: &str) -> Value {
        self.wait(&self.begin(cmd))
    }

    #[track_caller]
    pub fn list(&self) -> Value {
        self.call(LIST, &json!({}))
    }

    #[track_caller]
    pub fn clean_up(&self, ref_id: &str) -> Value {
        self.call(CLEANUP, &json!({"ref_id": ref_id}))
    }

    /// Waits until nothing of a job is alive, its leftovers included.
    #[track_caller]
    pub fn released(&self, ref_id: &str) -> Value {
        self.get_until(ref_id, "nothing of the job is alive", |reply| {
            reply["running"] == false && reply["leftover_processes"].is_null()
        })
    }

    /// Every page from a cursor to where there is nothing more: output, error, the last cursor.
    #[track_caller]
    pub fn pages(&self, ref_id: &str, from: &str, max_chars: u64) -> (String, String, String) {
        let (mut output, mut error, mut cursor) = (String::new(), String::new(), from.to_owned());
        loop {
            let call = json!({"ref_id": ref_id, "cursor": cursor, "max_chars": max_chars});
            let page = self.call(GET, &call);
            let (out, err) = (text(&page, "output"), text(&page, "error"));
            text(&page, "cursor").clone_into(&mut cursor);
            if out.is_empty() && err.is_empty() {
                return (output, error, cursor);
            }
            output += out;
            error += err;
        }
    }
}

#[track_caller]
pub fn ref_id(reply: &Value) -> String {
    text(reply, "ref_id").to_owned()
}

#[track_caller]
pub fn text<'a>(reply: &'a Value, key: &str) -> &'a str {
    reply[key].as_str().unwrap_or_else(|| panic!("no {key} in {reply}"))
}

/// The texts in an array, none if it is absent.
pub fn texts(value: &Value) -> Vec<String> {
    let array = value.as_array().into_iter().flatten();
    array.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// A number, zero if it is absent.
pub fn number(reply: &Value, key: &str) -> u64 {
    reply[key].as_u64().unwrap_or_default()
}

/// The process that an execute call has started.
#[track_caller]
pub fn pid(started: &Value) -> u32 {
    let pid = started["pid"].as_u64().and_then(|pid| pid.try_into().ok());
    pid.unwrap_or_else(|| panic!("no pid in {started}"))
}

/// Where the output of the job is that this reply shows.
#[track_caller]
pub fn output_directory(reply: &Value) -> PathBuf {
    Path::new(text(reply, "output_path")).parent().unwrap().to_owned()
}
