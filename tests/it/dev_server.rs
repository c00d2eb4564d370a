//! What a dev server needs of us, from start to a free port.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use crate::support::Client;
use crate::support::client::{ref_id, text};
use crate::support::reply::{CLEANUP, EXECUTE};

#[test]
fn a_web_server_is_started_known_to_be_ready_used_and_stopped_in_three_calls() {
    let client = Client::start();
    let started = client.call(
        EXECUTE,
        &json!({
            "cmd": "exec python3 -u -m http.server 0 --bind 127.0.0.1",
            "wait_seconds": 30,
            "until_pattern": "port \\d+",
        }),
    );
    let matched = text(&started["result"], "matched");
    let port: u16 = matched
        .split_once("port ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no port in {started}"));
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    connection.read_to_string(&mut response).unwrap();
    assert!(response.contains("200 OK"), "{response}");
    let stopped = client.call(CLEANUP, &json!({"ref_id": ref_id(&started)}));
    assert!(text(&stopped["result"], "error").contains("GET /"), "{stopped}");
    // std sets SO_REUSEADDR, so this fails only if somebody still listens.
    TcpListener::bind(("127.0.0.1", port)).unwrap();
}
