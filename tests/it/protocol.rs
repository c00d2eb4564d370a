//! Whatever a client sends is answered once, and ends nothing.

use serde_json::{Value, json};

use crate::support::client::{ref_id, text};
use crate::support::reply::{EXECUTE, GET, LIST};
use crate::support::{Client, Gate, Setup, eventually};

/// The answer to a line that carries this id, as a whole.
#[track_caller]
fn answer_to(client: &Client, line: &str, id: i64) -> Value {
    client.send_line(line);
    client.answer(id)
}

#[test]
fn invariant_09_lines_that_are_no_requests_end_nothing() {
    let client = Client::start();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for line in [
        "",
        " ",
        "{",
        "}",
        "null",
        "7",
        "\"text\"",
        "[]",
        "{}",
        "not json at all",
        &deep,
        r#"{"jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/unknown"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99999}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
        r#"{"jsonrpc":"2.0","id":99999,"result":{}}"#,
        "\u{0}\u{1}\u{7f}",
    ] {
        client.send_line(line);
    }
    client.ping();
    assert_eq!(client.run("echo fine")["output"], "fine\n");
}

#[test]
fn invariant_09_every_id_gets_an_answer() {
    let client = Client::start();
    let unparsable = answer_to(
        &client,
        r#"{"jsonrpc":"2.0","id":9001,"method":"ping","params":{"#,
        9001,
    );
    assert_eq!(unparsable["error"]["code"], -32700, "{unparsable}");
    let unknown = answer_to(
        &client,
        r#"{"jsonrpc":"2.0","id":9002,"method":"no/such/method"}"#,
        9002,
    );
    assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
    let no_params = answer_to(
        &client,
        r#"{"jsonrpc":"2.0","id":9003,"method":"tools/call"}"#,
        9003,
    );
    assert!(no_params["error"].is_object(), "{no_params}");
    let no_object = answer_to(
        &client,
        &format!(
            r#"{{"jsonrpc":"2.0","id":9004,"method":"tools/call","params":{{"name":"{LIST}","arguments":[1]}}}}"#
        ),
        9004,
    );
    assert!(
        no_object["error"].is_object() || no_object["result"]["isError"] == true,
        "{no_object}"
    );
    client.ping();
}

#[test]
fn invariant_09_a_lone_surrogate_in_a_command_is_answered() {
    let client = Client::start();
    let line = format!(
        r#"{{"jsonrpc":"2.0","id":9001,"method":"tools/call","params":{{"name":"{EXECUTE}","arguments":{{"cmd":"echo a\ud800b","wait_seconds":30}}}}}}"#
    );
    let answer = answer_to(&client, &line, 9001);
    let reply = &answer["result"]["structuredContent"];
    assert_eq!(reply["result"]["output"], "a\u{fffd}b\n", "{answer}");
}

#[test]
fn replies_come_as_they_are_ready_and_to_their_own_requests() {
    let client = Client::start();
    let gate = Gate::new();
    let slow = client.post(
        EXECUTE,
        &json!({"cmd": format!("{}; echo slow", gate.wait()), "wait_seconds": 40}),
    );
    let quick: Vec<_> = (0..10)
        .map(|n| {
            client.post(
                EXECUTE,
                &json!({"cmd": format!("echo {n}"), "wait_seconds": 40}),
            )
        })
        .collect();
    for (n, posted) in quick.into_iter().enumerate().rev() {
        assert_eq!(client.reply(posted)["result"]["output"], format!("{n}\n"));
    }
    assert!(!client.is_answered(slow.id));
    gate.open();
    assert_eq!(client.reply(slow)["result"]["output"], "slow\n");
}

#[test]
fn standard_error_that_nobody_reads_stops_nothing() {
    let directory = tempfile::TempDir::new().unwrap();
    let pipe = directory.path().join("pipe");
    // A pipe that is open for reading and never read: it fills up.
    let client = Setup::new()
        .flags(["--log", "trace"])
        .after(&format!("mkfifo {0}; exec 2<>{0}", pipe.display()))
        .start();
    for n in 0..50 {
        let reply = client.execute(&json!({"cmd": format!("echo {n}"), "wait_seconds": 40}));
        assert_eq!(reply["result"]["output"], format!("{n}\n"));
    }
}

#[test]
fn many_large_replies_at_once_all_come() {
    let client = Client::start();
    let id = client.begin("seq 1 100000");
    client.wait(&id);
    let posted: Vec<_> = (0..25)
        .map(|_| client.post(GET, &json!({"ref_id": id, "max_chars": 50_000})))
        .collect();
    for posted in posted {
        assert!(text(&client.reply(posted), "output").len() > 40_000);
    }
}

#[test]
fn logs_do_not_tell_commands_or_output() {
    let client = Client::start();
    let secret = "s3cr3t-word";
    let started = client.execute(&json!({"cmd": format!("echo {secret}"), "wait_seconds": 40}));
    let id = ref_id(&started);
    eventually("the job is in the log", || {
        if client.log().contains(&id) {
            Ok(())
        } else {
            Err(client.log())
        }
    });
    client.clean_up(&id);
    assert!(!client.log().contains(secret), "{}", client.log());
}
