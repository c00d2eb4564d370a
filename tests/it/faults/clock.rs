//! The wall clock jumps, or the machine was asleep: nothing that is measured changes.

use std::time::Instant;

use serde_json::json;

use super::compiled;
use crate::support::{Client, GET, Gate, Setup, eventually, text};

/// Moves the wall clock and the clock that counts sleep by as many seconds as a file says.
const SHIFTED_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE && clock != CLOCK_BOOTTIME))
        return result;
    long seconds = 0;
    FILE *file = fopen(getenv("SHIFT_FILE"), "r");
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    time->tv_sec += seconds;
    return result;
}
"#;

const TEN_YEARS: i64 = 10 * 365 * 86_400;

/// A server whose clock is shifted by what is written to `shift`; none where no such clock can be built.
#[track_caller]
fn with_shifted_clock(directory: &tempfile::TempDir, retention_seconds: &str) -> Option<Client> {
    let path = |name| directory.path().join(name);
    let flags = ["-shared", "-fPIC"];
    let library = compiled("a jumping clock", SHIFTED_CLOCK, path("clock.so"), &flags)?;
    let client = Setup::new()
        .environment("LD_PRELOAD", library.to_str().unwrap())
        .environment("SHIFT_FILE", path("shift").to_str().unwrap())
        .flags(["--retention-seconds", retention_seconds]);
    Some(client.start())
}

fn shift_clock(directory: &tempfile::TempDir, seconds: i64) {
    // In one step: the server may be reading it.
    let (new, file) = (directory.path().join("new"), directory.path().join("shift"));
    std::fs::write(&new, seconds.to_string()).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// The year as the server sees it, in the time stamp of a new job.
#[track_caller]
fn year(client: &Client) -> i64 {
    let job = client.run("sleep 0.1");
    let took = job["elapsed_seconds"].as_f64().unwrap();
    assert!((0.1..10.0).contains(&took), "{job}");
    text(&job, "created_at")[..4].parse().unwrap()
}

#[test]
fn a_jumping_wall_clock_changes_no_retention_no_wait_and_no_elapsed_time() {
    let directory = tempfile::TempDir::new().unwrap();
    let Some(client) = with_shifted_clock(&directory, "60") else {
        return;
    };
    let this_year = year(&client);
    let gate = Gate::new();
    let finished = client.begin("echo kept");
    client.wait(&finished);
    let reply = client.execute(&json!({"cmd": gate.wait(), "kill_after_seconds": 600}));
    let running = text(&reply, "ref_id");
    for shift in [TEN_YEARS, -TEN_YEARS, TEN_YEARS, 0] {
        let long = client.post(GET, &json!({"ref_id": running, "wait_seconds": 40}));
        let elapsed = client.get(running)["elapsed_seconds"].as_f64().unwrap();
        shift_clock(&directory, shift);
        assert_eq!((year(&client) - this_year).signum(), shift.signum(), "the clock has jumped");
        let wait = Instant::now();
        let reply = client.call(GET, &json!({"ref_id": running, "wait_seconds": 0.3}));
        let waited = wait.elapsed().as_secs_f64();
        assert!((0.3..5.0).contains(&waited), "waited {waited} s after a jump of {shift} s");
        assert_eq!(reply["running"], true, "{reply}");
        let grown = reply["elapsed_seconds"].as_f64().unwrap() - elapsed;
        assert!((0.3..10.0).contains(&grown), "elapsed {grown} s in a jump of {shift} s: {reply}");
        assert!(reply["silent_seconds"].as_f64() < Some(60.0), "{reply}");
        assert!(!client.is_answered(long.id), "a wait ended with a jump of {shift} s");
        client.cancel(long);
        assert_eq!(client.get(&finished)["output"], "kept\n", "after a jump of {shift} s");
    }
    gate.open();
    assert_eq!(client.wait(running)["state"], "exited");
}

/// Retention goes on in a year that is long past.
#[test]
fn a_result_expires_in_its_time_whatever_the_clock_says() {
    let directory = tempfile::TempDir::new().unwrap();
    let Some(client) = with_shifted_clock(&directory, "1") else {
        return;
    };
    let id = client.begin("echo soon gone");
    client.wait(&id);
    shift_clock(&directory, -TEN_YEARS);
    eventually("the result has expired", || match client.state(&id) {
        state if state == "expired" => Ok(()),
        state => Err(state),
    });
}
