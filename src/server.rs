//! The MCP server: what it says of itself and of its four tools, and how a call finds its tool.

mod arguments;
mod call;
mod hints;
mod notices;
mod pattern;
mod report;
mod schema;
pub mod texts;
mod tools;
mod wait;
mod wire;

use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;

use arguments::Arguments;
use futures::FutureExt;
use notices::Notices;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation,
    InitializeRequestParams, InitializeResult, JsonObject, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use schema::{of_parameters, of_reply};
use tokio_util::sync::CancellationToken;
use wire::{
    CleanupParams, CleanupReply, ExecuteParams, ExecuteReply, GetParams, GetReply, ListParams,
    ListReply, Reply,
};

use crate::config::Config;
use crate::registry::ProcessRegistry;

/// The MCP server: the tools over one registry, for one client.
#[derive(Debug)]
pub(crate) struct Server {
    registry: ProcessRegistry,
    notices: Notices,
    closing: CancellationToken,
    /// Made when the client first asks for it: the schemas in there take a third of the time of a start.
    tool_router: OnceLock<ToolRouter<Self>>,
}

type Context = RequestContext<RoleServer>;

#[tool_router]
impl Server {
    pub(crate) fn new(registry: ProcessRegistry, closing: CancellationToken) -> Self {
        Self {
            registry,
            notices: Notices::default(),
            closing,
            tool_router: OnceLock::new(),
        }
    }

    /// The four tools, with descriptions that name what is configured.
    fn tools(&self) -> &ToolRouter<Self> {
        self.tool_router
            .get_or_init(|| Self::described_tools(self.registry.config()))
    }

    fn described_tools(config: &Config) -> ToolRouter<Self> {
        let mut tool_router = Self::tool_router();
        for (name, description) in [
            (EXECUTE, texts::execute_description(config)),
            (GET, texts::GET_DESCRIPTION.to_owned()),
            (LIST, texts::LIST_DESCRIPTION.to_owned()),
            (CLEANUP, texts::CLEANUP_DESCRIPTION.to_owned()),
        ] {
            if let Some(route) = tool_router.map.get_mut(name) {
                route.attr.description = Some(description.into());
            }
        }
        tool_router
    }

    #[tool(
        name = "execute_command_background",
        title = "Execute Command in Background",
        input_schema = of_parameters::<ExecuteParams>(),
        output_schema = of_reply::<ExecuteReply>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn execute(&self, arguments: JsonObject, context: Context) -> CallToolResult {
        let call = self.call(context);
        let outcome = self.try_execute(&call, Arguments::new(arguments)).await;
        call.answer(outcome.map_err(|message| ExecuteReply::failure("", message)))
    }

    #[tool(
        name = "get_command_background_result",
        title = "Get Background Command Result",
        input_schema = of_parameters::<GetParams>(),
        output_schema = of_reply::<GetReply>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn get(&self, arguments: JsonObject, context: Context) -> CallToolResult {
        let call = self.call(context);
        let outcome = self.try_get(&call, Arguments::new(arguments)).await;
        call.answer(outcome)
    }

    #[tool(
        name = "list_background_processes",
        title = "List Background Processes",
        input_schema = of_parameters::<ListParams>(),
        output_schema = of_reply::<ListReply>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn list(&self, arguments: JsonObject, context: Context) -> CallToolResult {
        let call = self.call(context);
        let outcome = self.try_list(&call, Arguments::new(arguments)).await;
        call.answer(outcome.map_err(|message| ListReply::failure("", message)))
    }

    #[tool(
        name = "cleanup_background_process",
        title = "Clean Up Background Process",
        input_schema = of_parameters::<CleanupParams>(),
        output_schema = of_reply::<CleanupReply>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn cleanup(&self, arguments: JsonObject, context: Context) -> CallToolResult {
        let call = self.call(context);
        let arguments = Arguments::new(arguments);
        let ref_id = arguments.as_sent("ref_id");
        let outcome = self.try_cleanup(&call, arguments).await;
        call.answer(outcome.map_err(|message| CleanupReply::failure(&ref_id, message)))
    }
}

const EXECUTE: &str = "execute_command_background";
const GET: &str = "get_command_background_result";
const LIST: &str = "list_background_processes";
const CLEANUP: &str = "cleanup_background_process";

#[tool_handler(router = self.tools())]
impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let config = self.registry.config();
        let mut implementation =
            Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        implementation.title = Some("Background Commands".to_owned());
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(implementation)
            .with_instructions(texts::instructions(
                config,
                &self.registry.working_directory().path,
            ))
    }

    /// As the SDK does it, and remembers the revision that was agreed on instead of the one that was asked for.
    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: Context,
    ) -> Result<InitializeResult, ErrorData> {
        let result = self.negotiate_initialize(&request)?;
        let mut agreed = request;
        agreed.protocol_version = result.protocol_version.clone();
        context.peer.set_peer_info(agreed);
        Ok(result)
    }

    /// A tool that panics answers too, in its own shape.
    fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        context: Context,
    ) -> impl Future<Output = Result<CallToolResponse, ErrorData>> {
        let tool = request.name.clone();
        request.arguments.get_or_insert_default();
        let call = self.tools().has_route(&tool).then(|| {
            let call = ToolCallContext::new(self, request, context);
            AssertUnwindSafe(self.tools().call(call)).catch_unwind()
        });
        // Nothing but the call is held while it runs.
        async move {
            let Some(call) = call else {
                return Err(ErrorData::invalid_params(texts::no_such_tool(&tool), None));
            };
            call.await.unwrap_or_else(|_| {
                tracing::error!(tool = &*tool, "a tool call panicked");
                Ok(Self::failure_of(&tool, texts::internal_error("its handler panicked")).into())
            })
        }
    }
}
