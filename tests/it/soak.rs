//! Random starts, reads, waits, cancels, kills and faults against a model; at the end nothing is left and every result
//! was right.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    CLEANUP, EXECUTE, GET, LIST, Setup, eventually, files_below, processes, ref_id, text,
};

/// What a job will have been, whatever happens around it.
struct Expected {
    output: String,
    error: String,
    returncode: i64,
    /// It only ends when it is made to.
    endless: bool,
    /// Its files were taken away, so its output may lack what was in them.
    robbed: bool,
}

/// The same choices for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A command and what it must come to.
fn command(dice: &mut Dice, n: u64) -> (String, Expected) {
    let numbers = |last: u64| (1..=last).map(|number| format!("{number}\n")).collect::<String>();
    let code = dice.below(4);
    let line = format!("{n}\n");
    let (cmd, output, error, returncode, endless) = match dice.below(7) {
        0 => (format!("echo {n}; exit {code}"), line, String::new(), code.cast_signed(), false),
        1 => (format!("echo {n} >&2; kill -9 $$"), String::new(), line, -9, false),
        2 => {
            let cmd = format!("seq 900; sleep 0.0{code}; seq 9");
            (cmd, numbers(900) + &numbers(9), String::new(), 0, false)
        }
        3 => (format!("(setsid sleep 1000 &); echo {n}"), line, String::new(), 0, false),
        4 => (format!("echo {n}; trap '' TERM; sleep 1000"), line, String::new(), -9, true),
        5 => {
            let escape = "(env -i setsid sleep 1000 > /dev/null 2>&1 &)";
            (format!("{escape}; echo {n}; sleep 1000"), line, String::new(), -15, true)
        }
        _ => {
            let cmd = "for i in 1 2 3 4 5; do echo $i; echo $i >&2; done";
            (cmd.to_owned(), numbers(5), numbers(5), 0, false)
        }
    };
    (cmd, Expected { output, error, returncode, endless, robbed: false })
}

/// Whether a reply says what the model says, as far as the job has come.
#[track_caller]
fn check(reply: &Value, expected: &Expected, whole: bool) {
    if expected.robbed {
        return;
    }
    for (key, all) in [("output", &expected.output), ("error", &expected.error)] {
        let shown = text(reply, key);
        let right = match shown.split_once(" left out and deleted with the job …]\n") {
            Some((_, last_words)) if whole => all.ends_with(last_words),
            None if whole => shown == all,
            // The tail of what there is so far, perhaps with a line that says what was left out.
            _ => all.contains(shown) || shown.contains("left out"),
        };
        assert!(right, "{key} should be {all:?}: {reply}");
        assert!(reply["dropped_bytes"].is_null(), "{reply}");
    }
    if whole && !expected.endless {
        assert_eq!(reply["returncode"], expected.returncode, "{reply}");
        let state = if expected.returncode < 0 { "signaled" } else { "exited" };
        assert_eq!(reply["state"], state, "{reply}");
    }
}

/// One server's life: until `until`, or until a fault ends it.
fn life(dice: &mut Dice, root: &TempDir, until: Instant, done: &mut HashMap<&'static str, u64>) {
    let client = Setup::new()
        .flags(["--max-running", "30", "--stop-grace-seconds", "0.2"])
        .flags(["--log", "error", "--max-chars", "20000"])
        .output_dir(root.path())
        .start();
    let mut jobs: HashMap<String, Expected> = HashMap::new();
    let mut n = 0;
    while Instant::now() < until {
        n += 1;
        let mut ids: Vec<&String> = jobs.keys().collect();
        ids.sort();
        let any = dice.below(ids.len().max(1) as u64) as usize;
        let any = ids.get(any).map(|id| (*id).clone());
        let deed = match (dice.below(100), any) {
            (0..30, _) | (_, None) => {
                let (cmd, expected) = command(dice, n);
                let (reply, refused) = client.outcome(client.post(EXECUTE, &json!({"cmd": cmd})));
                if refused {
                    assert!(text(&reply, "error").contains("--max-running"), "{reply}");
                    let oldest = jobs.keys().next().unwrap().clone();
                    client.clean_up(&oldest);
                    jobs.remove(&oldest);
                } else {
                    jobs.insert(ref_id(&reply), expected);
                }
                "starts"
            }
            (30..50, Some(id)) => {
                let expected = &jobs[&id];
                let reply = client.get(&id);
                check(&reply, expected, reply["running"] == false);
                "reads"
            }
            (50..60, Some(id)) => {
                let expected = &jobs[&id];
                let wait = if expected.endless { 0.05 } else { 40.0 };
                let reply = client.call(GET, &json!({"ref_id": id, "wait_seconds": wait}));
                assert_eq!(reply["running"], expected.endless, "{reply}");
                check(&reply, expected, !expected.endless);
                "waits"
            }
            (60..72, Some(id)) => {
                let search = json!({"ref_id": id, "wait_seconds": 30, "until_pattern": "never"});
                let wait = json!({"ref_id": id, "wait_seconds": 30});
                let any_end = json!({"wait_seconds": 30});
                for (tool, call) in [(GET, search), (GET, wait), (LIST, any_end)] {
                    client.cancel(client.post(tool, &call));
                }
                "cancels"
            }
            (72..75, Some(_)) => {
                let (cmd, _) = command(dice, n);
                let posted = client.post(EXECUTE, &json!({"cmd": cmd, "wait_seconds": 1}));
                client.cancel(posted);
                "cancelled starts"
            }
            (75..92, Some(id)) => {
                let expected = jobs.remove(&id).unwrap();
                let reply = client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.1}));
                assert_eq!(reply["success"], true, "{reply}");
                if !expected.endless {
                    check(&reply["result"], &expected, reply["result"]["state"] != "stopped");
                }
                "cleanups"
            }
            (92..95, Some(_)) => {
                processes::suspended(client.server_pid(), || ());
                "pauses"
            }
            (95, Some(_)) => {
                client.output_files().iter().for_each(|file| drop(std::fs::remove_file(file)));
                jobs.values_mut().for_each(|expected| expected.robbed = true);
                "thefts"
            }
            (98, Some(_)) if n > 100 => {
                *done.entry("killed servers").or_default() += 1;
                client.kill();
                client.assert_nothing_left();
                return;
            }
            (99, Some(_)) if n > 100 => {
                *done.entry("hang-ups").or_default() += 1;
                break;
            }
            _ => "nothing",
        };
        *done.entry(deed).or_default() += 1;
    }
    client.assert_ends_well();
}

#[test]
#[ignore = "ten minutes; SOAK_SECONDS and SOAK_SEED choose others"]
#[expect(clippy::print_stderr, reason = "the seed, to see it again")]
fn soak() {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse().ok());
    let seconds = number("SOAK_SECONDS").unwrap_or(600);
    let seed =
        number("SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 2_654_435_761 + 1);
    eprintln!("SOAK_SEED={seed}");
    let root = TempDir::new().unwrap();
    let mut dice = Dice(seed);
    let mut done = HashMap::new();
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        life(&mut dice, &root, until, &mut done);
    }
    // What a killed server's supervisor could not remove is swept by the next server.
    let last = Setup::new().output_dir(root.path()).start();
    last.run("true");
    last.hang_up();
    let left = eventually("no file is left", || match files_below(root.path()) {
        files if files.is_empty() => Ok(files),
        files => Err(format!("{files:?}")),
    });
    eprintln!("{done:?}; left: {left:?}");
}
