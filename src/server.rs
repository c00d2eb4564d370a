//! The MCP server: what it says of itself and of its four tools, and how a call finds its tool.

mod call;
mod cleanup;
mod execute;
mod get;
mod hints;
mod job_view;
mod list;
pub mod messages;
mod params;
mod pattern;
mod schema;
mod shown;
mod wait;

use std::sync::{Arc, OnceLock};

use call::{Call, UntoldStarts};
use cleanup::{CleanupParams, CleanupReply};
use execute::{ExecuteParams, ExecuteReply};
use get::GetParams;
use job_view::JobView;
use list::{ListParams, ListReply};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{
    CallToolResult, Implementation, InitializeRequestParams, InitializeResult, JsonObject,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use schema::{of_parameters, of_reply};
use tokio_util::sync::CancellationToken;

use crate::format::{human_duration, truncate};
use crate::process::signals::{KILL, TERMINATE};
use crate::registry::ProcessRegistry;
use crate::registry::connection::Connection;

/// The MCP server: the tools over one registry, for one client.
#[derive(Debug)]
pub struct Server {
    registry: ProcessRegistry,
    connection: Arc<Connection>,
    untold: UntoldStarts,
    closing: CancellationToken,
    /// Made when the client first asks for it: the schemas in there take a third of the time of a start.
    tool_router: OnceLock<ToolRouter<Self>>,
}

/// Ids in `also_ended`.
const ALSO_ENDED: usize = 5;

type Context = RequestContext<RoleServer>;

/// The tools. The comments are the descriptions that agents read.
#[tool_router]
impl Server {
    pub fn new(
        registry: ProcessRegistry,
        connection: Arc<Connection>,
        closing: CancellationToken,
    ) -> Self {
        let untold = UntoldStarts::default();
        Self { registry, connection, untold, closing, tool_router: OnceLock::new() }
    }

    /// The four tools, with descriptions that name what is configured.
    fn tools(&self) -> &ToolRouter<Self> {
        self.tool_router.get_or_init(|| {
            let shell = &self.connection.shell;
            let names = [
                ("\n", " ".to_owned()),
                ("{shell}", truncate(&shell.to_string(), 60) + shell.syntax()),
                ("{retention}", human_duration(self.registry.config().retention_seconds)),
                ("{TERM}", TERMINATE.to_owned()),
                ("{KILL}", KILL.to_owned()),
            ];
            let mut tool_router = Self::tool_router();
            for route in tool_router.map.values_mut() {
                let text = route.attr.description.take().unwrap_or_default().into_owned();
                let filled_in = names.iter().fold(text, |text, (name, is)| text.replace(name, is));
                route.attr.description = Some(filled_in.into());
            }
            tool_router
        })
    }

    /// Start a shell command in the background and return at once with a ref_id; it keeps running while you work. With
    /// wait_seconds a quick command returns its result in this same call. Use it for what may take over 10 s or must stay up:
    /// builds, tests, dev servers, watchers, downloads. Next: get_command_background_result. Do not add & or nohup. Each call
    /// is a fresh {shell}; cd and variables do not persist, so set cwd. Output is kept whole and cut for you: never pipe it
    /// to tail or a file; 2>&1 keeps the order of both streams; returncode is the last command's of a pipe (set -o pipefail).
    /// Standard input is empty: use --yes flags or stdin. kill_after_seconds kills the job; wait_seconds never does. Jobs end
    /// with this server; results are kept {retention} after the end.
    #[tool(
        name = "execute_command_background",
        title = "Execute Command in Background",
        input_schema = of_parameters::<ExecuteParams>(),
        output_schema = of_reply::<ExecuteReply>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn execute(&self, arguments: JsonObject, context: Context) -> CallToolResult {
        let call = Call { server: self, context };
        call.answer(call.execute(arguments)).await
    }

    /// Wait for a background command and read its output. Blocks up to wait_seconds and returns the moment the command ends
    /// or until_pattern matches: make one long wait, never sleep or poll. Neither waiting nor reading changes the job. output
    /// is stdout; error is stderr, not a verdict: judge by state and returncode. Long output keeps its start and end, with a
    /// marker at the gap. To wait, omit cursor; pass it to read pages in order, or to match only newer text. Keys that carry
    /// nothing are absent.
    #[tool(
        name = "get_command_background_result",
        title = "Get Background Command Result",
        input_schema = of_parameters::<GetParams>(),
        output_schema = of_reply::<JobView>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn get(&self, arguments: JsonObject, context: Context) -> CallToolResult {
        let call = Call { server: self, context };
        call.answer(call.get(arguments)).await
    }

    /// List background commands with state, exit code and age: every running one, then the newest finished. Use it when a
    /// ref_id is lost, before starting a second server, and, with wait_seconds, to wait until any job ends. Large
    /// silent_seconds with idle CPU suggests a stuck job, or one that buffers its output when piped. Not the machine's
    /// process list.
    #[tool(
        name = "list_background_processes",
        title = "List Background Processes",
        input_schema = of_parameters::<ListParams>(),
        output_schema = of_reply::<ListReply>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn list(&self, arguments: JsonObject, context: Context) -> CallToolResult {
        let call = Call { server: self, context };
        call.answer(call.list(arguments)).await
    }

    /// Stop a background command and all its child processes ({TERM}, then {KILL} after grace_seconds), then delete its
    /// record and logs. Answers when the processes are gone, with the last output in result. Use it for servers and watchers
    /// when done; finished jobs expire by themselves. keep_result=true stops but keeps the output readable. Safe to repeat.
    #[tool(
        name = "cleanup_background_process",
        title = "Clean Up Background Process",
        input_schema = of_parameters::<CleanupParams>(),
        output_schema = of_reply::<CleanupReply>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn cleanup(&self, arguments: JsonObject, context: Context) -> CallToolResult {
        let call = Call { server: self, context };
        call.answer(call.cleanup(arguments)).await
    }
}

#[tool_handler(router = self.tools())]
impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let implementation = Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
            .with_title("Background Commands");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(implementation)
            .with_instructions(messages::instructions(&self.connection))
    }

    /// As the SDK does it, and remembers the revision that was agreed on instead of the one that was asked for.
    async fn initialize(
        &self,
        mut request: InitializeRequestParams,
        context: Context,
    ) -> Result<InitializeResult, ErrorData> {
        let result = self.negotiate_initialize(&request)?;
        request.protocol_version = result.protocol_version.clone();
        context.peer.set_peer_info(request);
        Ok(result)
    }
}
