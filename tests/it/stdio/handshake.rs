//! Every revision of the protocol end to end, and whatever comes before, beside or instead of a handshake.

use serde_json::{Value, json};

use crate::support::peer::{Peer, WIRES, Wire, call, initialize, stateless};
use crate::support::reply::{CLEANUP, EXECUTE, GET, LIST};

/// The revisions that begin with a handshake.
const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The last of them, which is what a client is offered that asks for something else.
const LATEST: &str = REVISIONS[3];

/// All four tools on one job. `call` makes a request out of an id, a tool and its arguments.
#[track_caller]
fn drive(peer: &mut Peer, call: impl Fn(u32, &str, &Value) -> Value) {
    peer.send(&call(10, EXECUTE, &json!({"cmd": "echo hello; exit 3"})));
    let started = peer.reply(10);
    let ref_id = &started["ref_id"];
    peer.send(&call(11, GET, &json!({"ref_id": ref_id, "wait_seconds": 30})));
    let result = peer.result(11);
    let ended = &result["structuredContent"];
    assert_eq!((&ended["returncode"], &ended["output"]), (&json!(3), &json!("hello\n")), "{ended}");
    assert_eq!(result["content"][0]["text"], ended.to_string());
    peer.send(&call(12, LIST, &json!({})));
    let listed = peer.reply(12);
    assert_eq!(listed["processes"][0]["ref_id"], *ref_id, "{listed}");
    peer.send(&call(13, CLEANUP, &json!({"ref_id": ref_id})));
    assert_eq!(peer.reply(13)["success"], true);
}

#[test]
fn each_revision_with_a_handshake_is_spoken_end_to_end() {
    for (revision, wire) in REVISIONS.into_iter().zip(WIRES.into_iter().cycle()) {
        let mut peer = Peer::on(wire);
        peer.send(&initialize(0, revision));
        let greeting = peer.result(0);
        assert_eq!(greeting["protocolVersion"], revision);
        assert_eq!(greeting["serverInfo"]["name"], "background-command-mcp");
        assert!(greeting["capabilities"]["tools"].is_object(), "{greeting}");
        peer.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        peer.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
        let tools = peer.result(1)["tools"].take();
        assert_eq!(tools.as_array().map(Vec::len), Some(4), "{tools}");
        drive(&mut peer, call);
        peer.finish();
    }
}

#[test]
fn the_revision_without_a_handshake_is_spoken_end_to_end() {
    for wire in WIRES {
        let mut peer = Peer::on(wire);
        peer.send(&stateless(0, "server/discover", json!({})));
        let discovered = peer.result(0);
        let versions = discovered["supportedVersions"].as_array();
        for revision in REVISIONS.iter().chain(&["2026-07-28"]) {
            let is_there = versions.is_some_and(|all| all.contains(&json!(revision)));
            assert!(is_there, "{revision} is not in {discovered}");
        }
        peer.send(&stateless(1, "tools/list", json!({})));
        let tools = peer.result(1)["tools"].take();
        assert_eq!(tools.as_array().map(Vec::len), Some(4), "{tools}");
        drive(&mut peer, |id, tool, arguments| {
            stateless(id, "tools/call", json!({"name": tool, "arguments": arguments}))
        });
        peer.send(&stateless(2, "tools/call", json!({"name": LIST, "arguments": {}})));
        assert_eq!(peer.result(2)["resultType"], "complete");
        // This revision has no ping any more.
        peer.send(&stateless(3, "ping", json!({})));
        assert_eq!(peer.expect()["error"]["code"], -32601);
        peer.finish();
    }
}

#[test]
fn a_stateless_request_in_a_revision_that_is_not_spoken_names_those_that_are() {
    let mut peer = Peer::on(Wire::Fifo);
    let mut request = stateless(1, "tools/list", json!({}));
    request["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    peer.send(&request);
    let answer = peer.expect();
    let supported = answer["error"]["data"]["supported"].as_array();
    let is_there = supported.is_some_and(|all| all.contains(&json!("2026-07-28")));
    assert!(is_there, "{answer}");
    peer.ping(2);
    peer.finish();
}

#[test]
fn a_handshake_in_an_unknown_revision_is_offered_the_latest() {
    for revision in ["2026-07-28", "1999-01-01", "2099-01-01", "garbage", ""] {
        let mut peer = Peer::on(Wire::Fifo);
        peer.send(&initialize(0, revision));
        assert_eq!(peer.result(0)["protocolVersion"], LATEST, "{revision}");
        peer.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        peer.call(1, LIST, &json!({}));
        assert_eq!(peer.reply(1)["success"], true);
        peer.finish();
    }
}

#[test]
fn invariant_09_whatever_comes_first_the_server_goes_on() {
    let request = |method: &str| json!({"jsonrpc": "2.0", "id": 7, "method": method});
    let notification = |method: &str| json!({"jsonrpc": "2.0", "method": method});
    let mut set_level = request("logging/setLevel");
    set_level["params"] = json!({"level": "debug"});
    let firsts = [
        notification("notifications/initialized"),
        notification("notifications/cancelled"),
        notification("notifications/nonsense"),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
        json!({"jsonrpc": "2.0", "id": 7, "result": {}}),
        json!({"jsonrpc": "2.0", "id": 7, "error": {"code": 1, "message": "no"}}),
        request("ping"),
        request("server/discover"),
        stateless(7, "server/discover", json!({})),
        request("tools/list"),
        stateless(7, "tools/list", json!({})),
        call(7, LIST, &json!({})),
        stateless(7, "tools/call", json!({"name": LIST, "arguments": {}})),
        request("initialize"),
        initialize(7, 5),
        initialize(7, json!(null)),
        initialize(7, "2025-06-18"),
        set_level,
    ];
    for (first, wire) in firsts.iter().zip(WIRES.into_iter().cycle()) {
        let mut peer = Peer::on(wire);
        peer.send(first);
        if first["method"].is_string() && first["id"] == 7 {
            assert_eq!(peer.expect()["id"], 7, "{first}");
        }
        peer.send(&initialize(8, "2025-06-18"));
        let greeting = peer.result(8);
        assert_eq!(greeting["protocolVersion"], "2025-06-18", "after {first}");
        peer.call(9, LIST, &json!({}));
        assert_eq!(peer.reply(9)["success"], true, "after {first}");
        peer.finish();
    }
}

#[test]
fn a_second_handshake_leaves_the_jobs_alone() {
    let mut peer = Peer::on(Wire::Socket);
    let gate = crate::support::Gate::new();
    peer.send(&initialize(0, "2024-11-05"));
    assert_eq!(peer.result(0)["protocolVersion"], "2024-11-05");
    let job = peer.begin(&gate.wait());
    peer.call(1, GET, &json!({"ref_id": job, "wait_seconds": 40}));
    peer.send(&initialize(2, "2025-11-25"));
    assert_eq!(peer.result(2)["protocolVersion"], "2025-11-25");
    gate.open();
    assert_eq!(peer.reply(1)["state"], "exited");
    peer.finish();
}
