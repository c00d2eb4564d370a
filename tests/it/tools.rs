//! The four tools as an agent uses them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{CLEANUP, Client, EXECUTE, GET, Gate, LIST, ref_id, server_command, text};

#[test]
fn a_command_is_started_watched_collected_and_cleaned_up() {
    let client = Client::start();
    let gate = Gate::new();
    let cmd = format!("echo begun; {}; echo done; echo oops >&2; exit 3", gate.wait());
    let started = client.execute(&json!({"cmd": cmd}));
    let id = ref_id(&started);
    assert!(started["pid"].as_u64().unwrap() > 1, "{started}");
    assert!(text(&started, "hint").contains(&id), "{started}");

    let running = client.wait_for(&id, "begun");
    assert_eq!(running["running"], true, "{running}");
    assert_eq!(running["output"], "begun\n");
    assert!(running["elapsed_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(running["cmd"], cmd.as_str());

    gate.open();
    let finished = client.wait(&id);
    assert_eq!(finished["state"], "exited");
    assert_eq!(finished["returncode"], 3);
    assert_eq!(finished["output"], "begun\ndone\n");
    assert_eq!(finished["error"], "oops\n");
    // Reading consumes nothing, and a result never changes.
    for _ in 0..3 {
        assert_eq!(client.get(&id), finished);
    }

    let listed = client.list();
    assert_eq!(listed["count"], 1, "{listed}");
    let entry = &listed["processes"][0];
    assert_eq!((&entry["ref_id"], &entry["returncode"]), (&json!(id), &json!(3)));
    let cleaned = client.clean_up(&id);
    assert_eq!(cleaned["ref_id"], id.as_str());
    assert_eq!(cleaned["result"]["output"], "begun\ndone\n");
    assert_eq!(client.list()["count"], 0);
}

#[test]
fn a_web_server_is_started_known_to_be_ready_used_and_stopped_in_three_calls() {
    let client = Client::start();
    let started = client.execute(&json!({
        "cmd": "exec python3 -m http.server 0 --bind 127.0.0.1",
        "wait_seconds": 30,
        "until_pattern": "port \\d+",
    }));
    let port: u16 = text(&started["result"], "matched")
        .split_once("port ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no port in {started}"));
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    connection.read_to_string(&mut response).unwrap();
    assert!(response.contains("200 OK"), "{response}");
    let stopped = client.clean_up(&ref_id(&started));
    assert!(text(&stopped["result"], "error").contains("GET /"), "{stopped}");
    // std sets SO_REUSEADDR, so this fails only if somebody still listens.
    TcpListener::bind(("127.0.0.1", port)).unwrap();
}

#[test]
fn the_official_client_runs_a_job_to_its_end() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = TempDir::new().unwrap();
        let mut command = tokio::process::Command::from(server_command(directory.path()));
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
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
