//! The four tools: each translates a call, makes it, and translates what came of it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelledNotificationParam,
    Implementation, InitializeRequestParams, InitializeResult, JsonObject, ServerCapabilities,
    ServerConfig,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ErrorData, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::arguments::Arguments;
use crate::call::{Call, Told, result};
use crate::config::MAX_CHARS_LIMIT;
use crate::deliveries::{Deliveries, News};
use crate::job::{Job, JobError};
use crate::output::cursor::Cursor;
use crate::registry::{ProcessRegistry, Start};
use crate::report::{Circumstances, Reading, cpu_now, job_reply, list_entries, progress};
use crate::schema::{of_parameters, of_reply};
use crate::transport::ReplySlot;
use crate::wait::{self, Pattern, Search};
use crate::wire::{
    CleanupParams, CleanupReply, ExecuteParams, ExecuteReply, GetParams, GetReply, ListParams,
    ListReply, Reply,
};
use crate::{hints, texts};

/// Finished jobs in a list.
const LISTED_FINISHED: usize = 20;

/// Beyond a day, seconds were probably meant to be milliseconds.
const LONG_TIME_LIMIT: Duration = Duration::from_secs(86_400);

/// The MCP server: the tools over one registry, for one client.
#[derive(Debug)]
pub(crate) struct Server {
    registry: ProcessRegistry,
    deliveries: Deliveries,
    closing: CancellationToken,
    tool_router: ToolRouter<Self>,
}

type Context = RequestContext<RoleServer>;

#[tool_router]
impl Server {
    pub(crate) fn new(registry: ProcessRegistry, closing: CancellationToken) -> Self {
        let mut tool_router = Self::tool_router();
        let config = registry.config();
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
        Self {
            registry,
            deliveries: Deliveries::default(),
            closing,
            tool_router,
        }
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
        name = "get_background_command_result",
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
        let ref_id = arguments.as_sent(&["ref_id", "id"]);
        let outcome = self.try_cleanup(&call, arguments).await;
        call.answer(outcome.map_err(|message| CleanupReply::failure(&ref_id, message)))
    }
}

const EXECUTE: &str = "execute_command_background";
const GET: &str = "get_background_command_result";
const LIST: &str = "list_background_processes";
const CLEANUP: &str = "cleanup_background_process";

impl Server {
    async fn try_execute(
        &self,
        call: &Call<'_>,
        arguments: Arguments,
    ) -> Result<Told<ExecuteReply>, String> {
        let params = ExecuteParams::read(arguments)?;
        let pattern = params
            .until_pattern
            .as_deref()
            .map(Pattern::new)
            .transpose()?;
        let kill_after = params.kill_after_seconds.map(Duration::from_secs_f64);
        let start = Start {
            command: params.cmd,
            cwd: params.cwd,
            stdin: params.stdin,
            kill_after,
        };
        let job = self
            .registry
            .start(start, &call.context.ct)
            .await
            .map_err(|error| texts::job_error(&error))?;
        let mut news = News {
            started: vec![job.id()],
            ended: Vec::new(),
        };
        let mut reply = ExecuteReply {
            success: true,
            ref_id: Some(job.id().to_string()),
            pid: job.pid(),
            cwd: job.cwd().display().to_string(),
            ..ExecuteReply::default()
        };
        if let Some(seconds) = params.wait_seconds {
            let wait = call.wait(seconds);
            let mut result = self
                .look(call, &job, wait, pattern, self.reading(None, None))
                .await?;
            news.note_end(&job, result.running);
            reply.hint = std::mem::take(&mut result.hint);
            result.ref_id.clear();
            reply.result = Some(result);
        } else {
            reply.hint = texts::next_after_start(job.id(), call.cap(), pattern.is_some());
        }
        if let Some(limit) = kill_after.filter(|limit| *limit > LONG_TIME_LIMIT) {
            reply.hint = texts::long_time_limit(limit);
        }
        (reply.also_ended, reply.also_started) = call.side_news(&mut news);
        Ok((reply, news))
    }

    async fn try_get(
        &self,
        call: &Call<'_>,
        arguments: Arguments,
    ) -> Result<Told<GetReply>, GetReply> {
        let fail = |message| GetReply::failure("", message);
        let params = GetParams::read(arguments).map_err(fail)?;
        let job = self.find(&params.ref_id).map_err(|error| match error {
            NotFound::NotAnId(message) => fail(message),
            NotFound::Gone(error) => {
                let state = if matches!(error, JobError::Expired { .. }) {
                    "expired"
                } else {
                    "unknown"
                };
                GetReply {
                    state: state.to_owned(),
                    ..fail(texts::job_error(&error))
                }
            }
        })?;
        let pattern = params
            .until_pattern
            .as_deref()
            .map(Pattern::new)
            .transpose()
            .map_err(fail)?;
        let cursor = params
            .cursor
            .as_deref()
            .map(str::parse::<Cursor>)
            .transpose();
        let cursor = cursor.map_err(|error| fail(error.to_string()))?;
        let wait = call.wait(params.wait_seconds.unwrap_or_default());
        let mut reply = self
            .look(
                call,
                &job,
                wait,
                pattern,
                self.reading(cursor, params.max_chars),
            )
            .await
            .map_err(fail)?;
        let mut news = News::default();
        news.note_end(&job, reply.running);
        (reply.also_ended, reply.also_started) = call.side_news(&mut news);
        Ok((reply, news))
    }

    async fn try_list(
        &self,
        call: &Call<'_>,
        arguments: Arguments,
    ) -> Result<Told<ListReply>, String> {
        let params = ListParams::read(arguments)?;
        let wait = call.wait(params.wait_seconds.unwrap_or_default());
        let mut hint = String::new();
        if !wait.asked.is_zero() {
            let (running, ..) = self.registry.list(0);
            let status = || std::future::ready(texts::waiting_for_any(running.len()));
            let ended = call
                .patience(wait)
                .until(wait::for_any_end(&self.registry), status)
                .await;
            if ended.is_none() {
                hint = texts::none_ended(wait.asked, wait.cap);
            }
        }
        call.may_reply().await?;
        self.registry.look_for_orphans().await;
        let (running, finished, omitted) = self.registry.list(LISTED_FINISHED);
        let ended = finished.clone();
        let processes = list_entries(running.into_iter().chain(finished)).await;
        let undelivered = self.deliveries.undelivered();
        let also_started = undelivered.iter().map(Uuid::to_string).collect();
        let reply = ListReply {
            success: true,
            count: processes.len(),
            processes,
            omitted,
            hint,
            also_started,
            ..ListReply::default()
        };
        Ok((
            reply,
            News {
                started: undelivered,
                ended,
            },
        ))
    }

    async fn try_cleanup(
        &self,
        call: &Call<'_>,
        arguments: Arguments,
    ) -> Result<Told<CleanupReply>, String> {
        let params = CleanupParams::read(arguments)?;
        let keep = params.keep_result.unwrap_or_default();
        let job = match self.find(&params.ref_id) {
            Ok(job) => job,
            Err(NotFound::Gone(JobError::CleanedUp { id } | JobError::Expired { id })) => {
                let message = texts::already_gone().to_owned();
                let reply = CleanupReply {
                    success: true,
                    ref_id: id.to_string(),
                    message,
                    ..CleanupReply::default()
                };
                return Ok((reply, News::default()));
            }
            Err(NotFound::Gone(error)) => return Err(texts::job_error(&error)),
            Err(NotFound::NotAnId(message)) => return Err(message),
        };
        let was_running = job.is_running();
        let was_alive = job.is_alive();
        let is_removed = !keep && self.registry.remove(&job);
        let grace = params.grace_seconds.map_or(
            self.registry.config().stop_grace_seconds,
            Duration::from_secs_f64,
        );
        let attempt = job.request_stop(grace);
        let survivors = tokio::select! {
            survivors = job.ended(attempt) => survivors,
            () = self.closing.cancelled() => Vec::new(),
        };
        // Heard or not, the cleanup goes on to its end.
        let _ = call.may_reply().await;
        let circumstances = Circumstances {
            files_go: !keep,
            ..Circumstances::default()
        };
        let result = job_reply(
            &job,
            self.registry.store(),
            self.reading(None, None),
            circumstances,
        )
        .await;
        let success = survivors.is_empty();
        if is_removed && success {
            self.registry.discard(job.clone()).await;
        } else if is_removed {
            self.registry.restore(&job);
        }
        let message = texts::cleaned_up(was_running, was_alive, keep, &survivors);
        let mut news = News::default();
        news.note_end(&job, result.running);
        let (also_ended, also_started) = call.side_news(&mut news);
        let result = Some(GetReply {
            ref_id: String::new(),
            ..result
        });
        let ref_id = job.id().to_string();
        Ok((
            CleanupReply {
                success,
                ref_id,
                message,
                result,
                survivors,
                also_ended,
                also_started,
            },
            news,
        ))
    }

    fn call(&self, context: Context) -> Call<'_> {
        Call::new(&self.registry, &self.deliveries, &self.closing, context)
    }

    /// Waits as asked, then reads.
    async fn look(
        &self,
        call: &Call<'_>,
        job: &Job,
        wait: hints::Wait,
        pattern: Option<Pattern>,
        reading: Reading,
    ) -> Result<GetReply, String> {
        let status = || progress(job, self.registry.store());
        let patience = call.patience(wait);
        let mut circumstances = Circumstances {
            wait,
            ..Circumstances::default()
        };
        if !wait.asked.is_zero() {
            circumstances.cpu_before = cpu_now(job).await;
        }
        match pattern {
            Some(pattern) => {
                let from = reading.cursor.unwrap_or_default();
                let search = Search {
                    job,
                    store: self.registry.store(),
                    pattern,
                    from,
                };
                circumstances.matched = search.run(&patience, status).await;
            }
            None => drop(patience.until(wait::for_end(job), status).await),
        }
        call.may_reply().await?;
        if job.is_running() {
            self.registry.look_for_orphans().await;
        }
        Ok(job_reply(job, self.registry.store(), reading, circumstances).await)
    }

    fn reading(&self, cursor: Option<Cursor>, max_chars: Option<u64>) -> Reading {
        let max_chars = max_chars.map(|chars| {
            usize::try_from(chars)
                .unwrap_or(usize::MAX)
                .min(MAX_CHARS_LIMIT)
        });
        Reading {
            cursor,
            max_chars,
            default_chars: self.registry.config().max_chars,
        }
    }

    fn find(&self, ref_id: &str) -> Result<Job, NotFound> {
        let id = Uuid::try_parse(ref_id.trim())
            .map_err(|_| NotFound::NotAnId(texts::not_an_id(ref_id)))?;
        self.registry.get(id).map_err(NotFound::Gone)
    }

    /// What a call of this tool answers when its handler has failed.
    fn failure_of(tool: &str, message: String) -> CallToolResult {
        match tool {
            EXECUTE => result(&ExecuteReply::failure("", message), true),
            GET => result(&GetReply::failure("", message), true),
            LIST => result(&ListReply::failure("", message), true),
            _ => result(&CleanupReply::failure("", message), true),
        }
    }
}

enum NotFound {
    NotAnId(String),
    Gone(JobError),
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let config = self.registry.config();
        let cwd = config
            .cwd
            .clone()
            .or_else(|| std::env::current_dir().ok())
            .unwrap_or_default();
        let mut implementation =
            Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        implementation.title = Some("Background Commands".to_owned());
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(implementation)
            .with_instructions(texts::instructions(config, &cwd))
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

    /// A handler that panics would leave its client waiting for ever.
    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let tool = request.name.clone();
        if !self.tool_router.has_route(&tool) {
            return Err(ErrorData::invalid_params(texts::no_such_tool(&tool), None));
        }
        request.arguments.get_or_insert_default();
        // Held across a panic: it says that the answer is ours to give.
        let _slot = context.extensions.get::<ReplySlot>().cloned();
        let call = self
            .tool_router
            .call(ToolCallContext::new(self, request, context));
        match AssertUnwindSafe(call).catch_unwind().await {
            Ok(answer) => answer,
            Err(_) => {
                tracing::error!(tool = &*tool, "a tool call panicked");
                Ok(Self::failure_of(&tool, texts::internal_error("its handler panicked")).into())
            }
        }
    }

    async fn on_cancelled(
        &self,
        notification: CancelledNotificationParam,
        _context: NotificationContext<RoleServer>,
    ) {
        if let Some(request) = &notification.request_id {
            self.deliveries.cancelled(request, &self.registry);
        }
    }
}
