//! The MCP server: what it says of itself and of its four tools, and how a call finds its tool.

mod call;
mod cleanup;
mod execute;
mod get;
mod hints;
mod job_view;
mod list;
pub mod messages;
mod notices;
mod params;
mod pattern;
mod schema;
mod shown;
mod wait;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use call::{Call, result};
use cleanup::{CleanupParams, CleanupReply};
use execute::{ExecuteParams, ExecuteReply};
use futures::FutureExt;
use get::GetParams;
use job_view::JobView;
use list::{ListParams, ListReply};
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

use crate::registry::ProcessRegistry;
use crate::registry::connection::Connection;

/// The MCP server: the tools over one registry, for one client.
#[derive(Debug)]
pub struct Server {
    registry: ProcessRegistry,
    connection: Arc<Connection>,
    notices: Notices,
    closing: CancellationToken,
    /// Made when the client first asks for it: the schemas in there take a third of the time of a start.
    tool_router: OnceLock<ToolRouter<Self>>,
}

type Context = RequestContext<RoleServer>;

#[tool_router]
impl Server {
    pub fn new(
        registry: ProcessRegistry,
        connection: Arc<Connection>,
        closing: CancellationToken,
    ) -> Self {
        Self {
            registry,
            connection,
            notices: Notices::default(),
            closing,
            tool_router: OnceLock::new(),
        }
    }

    /// The four tools, with descriptions that name what is configured.
    fn tools(&self) -> &ToolRouter<Self> {
        self.tool_router.get_or_init(|| {
            let mut tool_router = Self::tool_router();
            for (name, route) in &mut tool_router.map {
                let description =
                    messages::description(name, &self.connection, self.registry.config());
                route.attr.description = Some(description.into());
            }
            tool_router
        })
    }

    fn call(&self, context: Context) -> Call<'_> {
        Call::new(&self.registry, &self.connection, &self.notices, &self.closing, context)
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
        call.answer(self.try_execute(&call, arguments).await)
    }

    #[tool(
        name = "get_command_background_result",
        title = "Get Background Command Result",
        input_schema = of_parameters::<GetParams>(),
        output_schema = of_reply::<JobView>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn get(&self, arguments: JsonObject, context: Context) -> CallToolResult {
        let call = self.call(context);
        call.answer(self.try_get(&call, arguments).await)
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
        call.answer(self.try_list(&call, arguments).await)
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
        call.answer(self.try_cleanup(&call, arguments).await)
    }
}

/// What a call of this tool answers when its handler has failed: its own shape.
fn failure_of(tool: &str, message: String) -> CallToolResult {
    match tool {
        "execute_command_background" => result(&ExecuteReply::from(message), true),
        "get_command_background_result" => result(&JobView::from(message), true),
        "list_background_processes" => result(&ListReply::from(message), true),
        _ => result(&CleanupReply::from(message), true),
    }
}

#[tool_handler(router = self.tools())]
impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let mut implementation =
            Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        implementation.title = Some("Background Commands".to_owned());
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(implementation)
            .with_instructions(messages::instructions(&self.connection))
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
                return Err(ErrorData::invalid_params(messages::no_such_tool(&tool), None));
            };
            call.await.unwrap_or_else(|_| {
                tracing::error!(tool = &*tool, "a tool call panicked");
                Ok(failure_of(&tool, messages::internal_error("its handler panicked")).into())
            })
        }
    }
}
