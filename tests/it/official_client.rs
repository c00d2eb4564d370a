//! The official client library understands the server.

use std::process::Stdio;

use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::{SERVER, ref_id};
use crate::support::reply::{CLEANUP, EXECUTE, GET, LIST};

#[test]
fn the_official_client_runs_a_job_to_its_end() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = TempDir::new().unwrap();
        let mut command = tokio::process::Command::new(SERVER);
        command.arg("--output-dir").arg(directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let streams = (server.stdout.take().unwrap(), server.stdin.take().unwrap());
        let client = ().serve(streams).await.unwrap();
        let call = async |tool: &'static str, arguments: Value| {
            let params = CallToolRequestParams::new(tool)
                .with_arguments(arguments.as_object().unwrap().clone());
            let result = client.call_tool(params).await.unwrap();
            assert_ne!(result.is_error, Some(true), "{result:?}");
            result.structured_content.unwrap()
        };
        assert_eq!(client.list_all_tools().await.unwrap().len(), 4);
        let id = ref_id(&call(EXECUTE, json!({"cmd": "echo fine; exit 3"})).await);
        let reply = call(GET, json!({"ref_id": id, "wait_seconds": 40})).await;
        assert_eq!((&reply["output"], &reply["returncode"]), (&json!("fine\n"), &json!(3)));
        assert_eq!(call(LIST, json!({})).await["count"], 1);
        call(CLEANUP, json!({"ref_id": id})).await;
        client.cancel().await.unwrap();
        assert!(server.wait().await.unwrap().success());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    });
}
