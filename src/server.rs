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
mod untold;
mod wait;

use std::sync::{Arc, OnceLock};

use call::Call;
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
use untold::UntoldStarts;

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
        Call { server: self, context }
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
        call.answer(call.execute(arguments)).await
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
        call.answer(call.get(arguments)).await
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
        call.answer(call.list(arguments)).await
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
        call.answer(call.cleanup(arguments)).await
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
}
