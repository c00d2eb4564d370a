//! The wall clock jumps, or the machine was asleep: nothing that is measured changes.

use serde_json::json;
use tempfile::TempDir;

use super::compiled;
use crate::support::{Client, EXECUTE, GET, Gate, Setup, eventually, text};

/// Moves the wall clock and the clock that counts sleep by as many seconds as a file says.
const SHIFTED_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long shift(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("SHIFT_FILE"), "r");
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_BOOTTIME))
        time->tv_sec += shift();
    return result;
}
int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"#;

const TEN_YEARS: i64 = 10 * 365 * 86_400;

/// A server whose clock is shifted.
struct Shifted {
    client: Client,
    clock: Clock,
}

/// Where the shift is written.
struct Clock(TempDir);

impl Shifted {
    /// None where no such clock can be built.
    #[track_caller]
    fn server(retention_seconds: &str) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let library = compiled(
            "a jumping clock",
            SHIFTED_CLOCK,
            directory.path().join("clock.so"),
            &["-shared", "-fPIC"],
        )?;
        let client = Setup::new()
            .environment("LD_PRELOAD", library.to_str().unwrap())
            .environment("SHIFT_FILE", directory.path().join("shift").to_str().unwrap())
            .flags(["--retention-seconds", retention_seconds])
            .start();
        let clock = Clock(directory);
        Some(Self { client, clock })
    }
}

impl Clock {
    fn shift_to(&self, seconds: i64) {
        // In one step: the server may be reading it.
        let (new, file) = (self.0.path().join("new"), self.0.path().join("shift"));
        std::fs::write(&new, seconds.to_string()).unwrap();
        std::fs::rename(new, file).unwrap();
    }
}

fn year(time: &str) -> i32 {
    time[..4].parse().unwrap()
}

/// The year as the server sees it, in the time stamp of a new job.
#[track_caller]
fn year_of_a_new_job(client: &Client) -> i32 {
    year(text(&client.run("true"), "created_at"))
}

#[test]
fn a_jumping_wall_clock_changes_no_retention_no_wait_and_no_elapsed_time() {
    let Some(Shifted { client, clock }) = Shifted::server("60") else {
        return;
    };
    let this_year = year_of_a_new_job(&client);
    let gate = Gate::new();
    let finished = client.begin("echo kept");
    client.wait(&finished);
    let reply = client.execute(&json!({"cmd": gate.wait(), "kill_after_seconds": 600}));
    let running = text(&reply, "ref_id");
    for shift in [TEN_YEARS, -TEN_YEARS, TEN_YEARS, 0] {
        let long = client.post(GET, &json!({"ref_id": running, "wait_seconds": 40}));
        let elapsed = client.get(running)["elapsed_seconds"].as_f64().unwrap();
        clock.shift_to(shift);
        let seen = year_of_a_new_job(&client) - this_year;
        assert_eq!(seen.signum(), i32::try_from(shift.signum()).unwrap(), "the clock has jumped");
        let wait = std::time::Instant::now();
        let reply = client.call(GET, &json!({"ref_id": running, "wait_seconds": 0.3}));
        let waited = wait.elapsed().as_secs_f64();
        assert!((0.3..5.0).contains(&waited), "waited {waited} s after a jump of {shift} s");
        assert_eq!(reply["running"], true, "{reply}");
        let grown = reply["elapsed_seconds"].as_f64().unwrap() - elapsed;
        assert!((0.3..10.0).contains(&grown), "elapsed {grown} s in a jump of {shift} s: {reply}");
        let silent = reply["silent_seconds"].as_f64().unwrap_or(0.0);
        assert!((0.0..60.0).contains(&silent), "{reply}");
        assert!(!client.is_answered(long.id), "a wait ended with a jump of {shift} s");
        client.cancel(long);
        assert_eq!(
            client.get(&finished)["output"],
            "kept\n",
            "a result has gone with a jump of {shift} s"
        );
        let quick = client.call(EXECUTE, &json!({"cmd": "sleep 0.1", "wait_seconds": 30}));
        let took = quick["result"]["elapsed_seconds"].as_f64().unwrap();
        assert!((0.1..10.0).contains(&took), "{quick}");
    }
    gate.open();
    assert_eq!(client.wait(running)["state"], "exited");
}

/// Retention goes on in a year that is long past.
#[test]
fn a_result_expires_in_its_time_whatever_the_clock_says() {
    let Some(Shifted { client, clock }) = Shifted::server("1") else {
        return;
    };
    let id = client.begin("echo soon gone");
    client.wait(&id);
    clock.shift_to(-TEN_YEARS);
    eventually("the result has expired", || {
        let (reply, _) = client.outcome(client.post(GET, &json!({"ref_id": id})));
        if reply["state"] == "expired" { Ok(()) } else { Err(reply.to_string()) }
    });
}
