//! Every revision of the protocol end to end, and whatever comes before, beside or instead of a handshake.

use serde_json::{Value, json};

use crate::support::{CLEANUP, Client, EXECUTE, GET, LIST, Setup, WIRES, Wire, call, initialize};

/// The revisions that begin with a handshake.
const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// A request as revision 2026-07-28 writes it, with what used to be said once in the handshake.
fn stateless(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

#[track_caller]
fn result(client: &Client, request: &Value) -> Value {
    client.send(request);
    client.answer(request["id"].clone())["result"].take()
}

/// All four tools on one job. `call` makes a request out of an id, a tool and its arguments.
#[track_caller]
fn drive(client: &Client, call: impl Fn(u32, &str, &Value) -> Value) {
    let reply = |id, tool, arguments: Value| result(client, &call(id, tool, &arguments));
    let started = reply(10, EXECUTE, json!({"cmd": "echo hello; exit 3"}));
    let ref_id = &started["structuredContent"]["ref_id"];
    let result = reply(11, GET, json!({"ref_id": ref_id, "wait_seconds": 30}));
    let ended = &result["structuredContent"];
    assert_eq!((&ended["returncode"], &ended["output"]), (&json!(3), &json!("hello\n")), "{ended}");
    assert_eq!(result["content"][0]["text"], ended.to_string());
    let listed = reply(12, LIST, json!({}));
    assert_eq!(listed["structuredContent"]["processes"][0]["ref_id"], *ref_id, "{listed}");
    let cleaned = reply(13, CLEANUP, json!({"ref_id": ref_id}));
    assert_eq!(cleaned["structuredContent"]["success"], true, "{cleaned}");
}

#[test]
fn each_revision_with_a_handshake_is_spoken_end_to_end_and_the_latest_offered_instead_of_others() {
    let others = ["2026-07-28", "2099-01-01", "garbage", ""];
    for (revision, wire) in REVISIONS.into_iter().chain(others).zip(WIRES.into_iter().cycle()) {
        let client = Setup::on(wire).spawn();
        let greeting = result(&client, &initialize(0, revision));
        let spoken = if REVISIONS.contains(&revision) { revision } else { REVISIONS[3] };
        assert_eq!(greeting["protocolVersion"], spoken, "{revision}");
        assert_eq!(greeting["serverInfo"]["name"], "background-command-mcp");
        assert_eq!(greeting["serverInfo"]["version"], env!("CARGO_PKG_VERSION"));
        assert!(greeting["capabilities"]["tools"].is_object(), "{greeting}");
        // What was agreed on holds, not what was asked for: the latest revision has no ping.
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        assert_eq!(result(&client, &ping), json!({}), "{revision}");
        client.notify("notifications/initialized", &json!({}));
        assert_eq!(client.tools().len(), 4);
        drive(&client, call);
        client.finish();
    }
}

#[test]
fn the_revision_without_a_handshake_is_spoken_end_to_end() {
    let client = Setup::on(Wire::Socket).spawn();
    let discovered = result(&client, &stateless(0, "server/discover", json!({})));
    let versions = discovered["supportedVersions"].as_array().unwrap();
    for revision in REVISIONS.iter().chain(&["2026-07-28"]) {
        assert!(versions.contains(&json!(revision)), "{revision} is not in {discovered}");
    }
    let listed = result(&client, &stateless(1, "tools/list", json!({})));
    assert_eq!(listed["tools"].as_array().map(Vec::len), Some(4), "{listed}");
    drive(&client, |id, tool, arguments| {
        stateless(id, "tools/call", json!({"name": tool, "arguments": arguments}))
    });
    let list = json!({"name": LIST, "arguments": {}});
    let listed = result(&client, &stateless(2, "tools/call", list));
    assert_eq!(listed["resultType"], "complete");
    // This revision has no ping any more.
    client.send(&stateless(3, "ping", json!({})));
    assert_eq!(client.expect()["error"]["code"], -32601);
    // Another one is answered with those that are spoken.
    let mut unknown = stateless(4, "tools/list", json!({}));
    unknown["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    client.send(&unknown);
    let answer = client.expect();
    let supported = answer["error"]["data"]["supported"].as_array();
    assert!(supported.is_some_and(|all| all.contains(&json!("2026-07-28"))), "{answer}");
    client.finish();
}

#[test]
fn invariant_09_whatever_comes_first_the_server_goes_on() {
    let request = |method: &str| json!({"jsonrpc": "2.0", "id": 7, "method": method});
    let notification = |method: &str| json!({"jsonrpc": "2.0", "method": method});
    for first in [
        notification("notifications/initialized"),
        notification("notifications/cancelled"),
        notification("notifications/nonsense"),
        json!({"jsonrpc": "2.0", "id": 7, "result": {}}),
        json!({"jsonrpc": "2.0", "id": 7, "error": {"code": 1, "message": "no"}}),
        request("ping"),
        request("server/discover"),
        request("tools/list"),
        request("logging/setLevel"),
        request("initialize"),
        stateless(7, "tools/call", json!({"name": LIST, "arguments": {}})),
        call(7, LIST, &json!({})),
        initialize(7, 5),
        initialize(7, "2025-06-18"),
    ] {
        let client = Setup::new().spawn();
        client.send(&first);
        if first["method"].is_string() && first["id"] == 7 {
            assert_eq!(client.expect()["id"], 7, "{first}");
        }
        let greeting = result(&client, &initialize(8, "2025-06-18"));
        assert_eq!(greeting["protocolVersion"], "2025-06-18", "after {first}");
        client.list();
        client.finish();
    }
}
