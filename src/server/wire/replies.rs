//! The replies of the four tools. The order of fields is the order of keys.

use schemars::JsonSchema;
use serde::Serialize;

/// Leaves a key out when it has nothing to say.
fn is_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reply of `execute_command_background`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct ExecuteReply {
    pub(crate) success: bool,
    pub(crate) ref_id: Option<String>,
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) pid: u32,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) cwd: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) hint: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) also_ended: Vec<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) also_started: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub(crate) result: Option<GetReply>,
}

/// Reply of `get_command_background_result`, and `result` in the replies of execute and cleanup.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct GetReply {
    pub(crate) running: bool,
    pub(crate) state: &'static str,
    pub(crate) returncode: Option<i32>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) signal: String,
    pub(crate) cmd: Option<String>,
    pub(crate) created_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) ref_id: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) elapsed_seconds: f64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) silent_seconds: f64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) processes: usize,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) cpu_seconds: f64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) memory_bytes: u64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) leftover_processes: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) matched: Option<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) output_bytes: u64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) error_bytes: u64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) dropped_bytes: u64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) output_path: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) error_path: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) cursor: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) hint: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) also_ended: Vec<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) also_started: Vec<String>,
    pub(crate) output: String,
    pub(crate) error: String,
}

/// Reply of `list_background_processes`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct ListReply {
    pub(crate) success: bool,
    pub(crate) count: usize,
    pub(crate) processes: Vec<ListEntry>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) omitted: usize,
    /// Only in a failure.
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) error: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) hint: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) also_started: Vec<String>,
}

/// One job in the list.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct ListEntry {
    pub(crate) ref_id: String,
    pub(crate) running: bool,
    pub(crate) created_at: String,
    pub(crate) cmd: String,
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) returncode: Option<i32>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) signal: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) pid: u32,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) cwd: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) elapsed_seconds: f64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) silent_seconds: f64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) processes: usize,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) cpu_seconds: f64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) memory_bytes: u64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) finished_at: String,
}

/// Reply of `cleanup_background_process`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct CleanupReply {
    pub(crate) success: bool,
    pub(crate) ref_id: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub(crate) result: Option<GetReply>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) survivors: Vec<u32>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) also_ended: Vec<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) also_started: Vec<String>,
}

/// A reply that can also say that the call has failed, in the same shape.
pub(crate) trait Reply: Serialize {
    /// The shape of a failure: some clients check errors against the output schema too.
    fn failure(ref_id: &str, message: String) -> Self;

    /// Whether the call did not do what it was asked.
    fn is_failure(&self) -> bool {
        false
    }
}

impl Reply for ExecuteReply {
    fn failure(_ref_id: &str, message: String) -> Self {
        Self {
            error: Some(message),
            ..Self::default()
        }
    }
}

impl Reply for GetReply {
    fn failure(_ref_id: &str, message: String) -> Self {
        Self {
            state: "unknown",
            error: message,
            ..Self::default()
        }
    }
}

impl Reply for ListReply {
    fn failure(_ref_id: &str, message: String) -> Self {
        Self {
            error: message,
            ..Self::default()
        }
    }
}

impl Reply for CleanupReply {
    fn failure(ref_id: &str, message: String) -> Self {
        Self {
            ref_id: ref_id.to_owned(),
            message,
            ..Self::default()
        }
    }

    fn is_failure(&self) -> bool {
        !self.success
    }
}
