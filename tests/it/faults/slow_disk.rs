//! Disks that are slow or hang for seconds: output waits for them, and nothing else does.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::compiled;
use crate::support::{CLEANUP, Client, GET, Gate, Setup, eventually, number, ref_id, text};

/// Puts itself between the server and the files of its output. Each operation takes `SHIM_DELAY` microseconds. While there
/// is a file `hang-writing` (or `hang-reading`) in `SHIM_CONTROL`, those that change files (or open them to be read) do
/// not return; the first of them says so with a file `asked`.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
static int is_output(const char *path) { return strstr(path, "/server-") != NULL; }
static int is_output_file(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t known = readlink(link, path, sizeof path - 1);
    if (known <= 0) return 0;
    path[known] = 0;
    return is_output(path);
}
static void wait_for_the_disk(const char *kind) {
    const char *delay = getenv("SHIM_DELAY"), *control = getenv("SHIM_CONTROL");
    if (delay) usleep(atoi(delay));
    if (!control) return;
    char hang[4096], asked[4096];
    snprintf(hang, sizeof hang, "%s/hang-%s", control, kind);
    snprintf(asked, sizeof asked, "%s/asked", control);
    while (access(hang, F_OK) == 0) {
        if (access(asked, F_OK) != 0)
            syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, asked, O_CREAT | O_WRONLY, 0600));
        usleep(2000);
    }
}
int open64(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest);
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    if (is_output(path)) wait_for_the_disk((flags & O_ACCMODE) == O_RDONLY ? "reading" : "writing");
    return next(path, flags, mode);
}
int unlink(const char *path) {
    int (*next)(const char *) = dlsym(RTLD_NEXT, "unlink");
    if (is_output(path)) wait_for_the_disk("writing");
    return next(path);
}
ssize_t write(int fd, const void *data, size_t length) {
    ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    if (is_output_file(fd)) wait_for_the_disk("writing");
    return next(fd, data, length);
}
int close(int fd) {
    int (*next)(int) = dlsym(RTLD_NEXT, "close");
    int flags = fcntl(fd, F_GETFL);
    // What was only read has nothing to be written back.
    if (is_output_file(fd) && (flags & O_ACCMODE) != O_RDONLY) wait_for_the_disk("writing");
    return next(fd);
}
"#;

/// A disk that can be made to hang.
struct Shim {
    library: PathBuf,
    directory: TempDir,
}

impl Shim {
    fn new(test: &str) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("shim.so");
        let library = compiled(test, SHIM, path, &["-shared", "-fPIC", "-ldl"])?;
        Some(Self { library, directory })
    }

    fn server(&self) -> Setup {
        Setup::new()
            .environment("LD_PRELOAD", self.library.to_str().unwrap())
            .environment("SHIM_CONTROL", self.directory.path().to_str().unwrap())
    }

    fn hang(&self, kind: &str) {
        std::fs::write(self.directory.path().join(format!("hang-{kind}")), "").unwrap();
    }

    /// Waits until something hangs.
    #[track_caller]
    fn hangs(&self) {
        eventually("the disk is asked", || {
            let asked = self.directory.path().join("asked");
            asked.exists().then_some(()).ok_or_else(String::new)
        });
    }

    fn recover(&self, kind: &str) {
        std::fs::remove_file(self.directory.path().join(format!("hang-{kind}"))).unwrap();
    }
}

/// Nobody waits for a disk: this is how long a call may take on a busy machine.
const SOON: Duration = Duration::from_secs(1);

/// What must not wait for a disk does not.
#[track_caller]
fn assert_lively(client: &Client) {
    let asked = Instant::now();
    client.ping();
    client.list();
    let reply = client.execute(&json!({"cmd": "exit 3", "cwd": "/", "wait_seconds": 30}));
    assert_eq!(reply["result"]["returncode"], 3, "{reply}");
    let took = asked.elapsed();
    assert!(took < 3 * SOON, "three calls took {took:?}");
}

#[test]
fn a_slow_disk_slows_its_jobs_and_nobody_else() {
    let Some(shim) = Shim::new("a slow disk") else {
        return;
    };
    let client = shim.server().environment("SHIM_DELAY", "40000").start();
    let asked = Instant::now();
    client.run("echo x");
    assert!(asked.elapsed() > Duration::from_millis(80), "the disk is slow: {:?}", asked.elapsed());
    let noisy: Vec<_> = (0..3).map(|_| client.begin("seq 1 200000; exit 7")).collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..15 {
        let asked = Instant::now();
        client.ping();
        slowest = slowest.max(asked.elapsed());
    }
    for id in noisy {
        let reply = client.wait(&id);
        assert_eq!(reply["returncode"], 7, "{reply}");
        assert_eq!(number(&reply, "output_bytes"), 1_288_895, "{reply}");
        assert!(reply["dropped_bytes"].is_null(), "{reply}");
    }
    assert!(slowest < SOON, "a ping took {slowest:?}");
}

#[test]
fn a_disk_that_hangs_holds_up_output_and_nothing_else() {
    let Some(shim) = Shim::new("a disk that hangs") else {
        return;
    };
    let client = shim.server().start();
    let gate = Gate::new();
    // More of them than there are threads to wait for the disk.
    let noisy: Vec<_> = (0..30)
        .map(|_| {
            let id = client.begin(&format!(
                "echo first; echo first >&2; {}; seq 1 40000; seq 1 40000 >&2; exit 7",
                gate.wait()
            ));
            client.wait_for(&id, "first");
            id
        })
        .collect();
    shim.hang("writing");
    noisy.iter().for_each(|_| gate.open());
    shim.hangs();
    assert_lively(&client);

    // An end is told although the last words have to wait, and so is why they are not there.
    let reply = client.execute(&json!({"cmd": "echo words; exit 4", "wait_seconds": 30}));
    let result = &reply["result"];
    assert_eq!((&result["returncode"], &result["output"]), (&json!(4), &json!("")), "{reply}");
    assert!(text(&reply, "hint").contains("disk with the output has not answered"), "{reply}");
    let last_words = ref_id(&reply);
    // A time limit and a stop are heard by watchers whose output is under way.
    let limited =
        json!({"cmd": "echo words; sleep 1000", "kill_after_seconds": 0.1, "wait_seconds": 30});
    let reply = client.execute(&limited);
    assert_eq!(reply["result"]["state"], "timed_out", "{reply}");
    // Its only file is still to come.
    let limited = ref_id(&reply);
    client.clean_up(&limited);
    let (stopped, kept) = noisy.split_last().unwrap();
    let asked = Instant::now();
    let reply = client.clean_up(stopped);
    assert_eq!(
        (&reply["success"], &reply["result"]["state"]),
        (&json!(true), &json!("stopped")),
        "{reply}"
    );
    // It waits once for the end of the command, once for that of the job, and once for the files.
    assert!(asked.elapsed() < 10 * SOON, "{:?}", asked.elapsed());
    for id in kept {
        assert_eq!(client.get(id)["running"], true, "it waits for the disk");
    }
    assert_lively(&client);

    shim.recover("writing");
    for (n, id) in kept.iter().enumerate() {
        let reply = client.wait(id);
        assert_eq!(
            (&reply["state"], &reply["returncode"]),
            (&json!("exited"), &json!(7)),
            "{reply}"
        );
        let (output, error) = (number(&reply, "output_bytes"), number(&reply, "error_bytes"));
        assert_eq!((output, error), (228_900, 228_900), "{reply}");
        assert!(reply["dropped_bytes"].is_null(), "{reply}");
        if n == 0 {
            let whole = format!("first\n{}", numbers(40_000));
            let (output, error, _) = client.pages(id, "start", 100_000);
            assert!(output == whole && error == whole, "{} {}", output.len(), error.len());
        }
    }
    let reply = eventually("the last words are there", || {
        let reply = client.get(&last_words);
        if reply["output"] == "words\n" { Ok(reply) } else { Err(reply.to_string()) }
    });
    assert!(reply["hint"].is_null(), "{reply}");
    eventually("the files of what was cleaned up are gone", || {
        let files = client.output_files();
        let its = files.iter().any(|file| {
            let name = file.to_string_lossy();
            name.contains(stopped.as_str()) || name.contains(limited.as_str())
        });
        if its { Err(format!("{files:?}")) } else { Ok(()) }
    });
}

/// An eviction that has to wait for the disk between two jobs, and a cleanup of the second: its room is given back once.
/// Twice, and the store would seem to be fuller than it can be as soon as it is empty.
#[test]
fn what_eviction_and_cleanup_both_remove_makes_room_once() {
    const BOUND: u64 = 4_000_000;
    // From here on finished jobs are evicted.
    const EVICTION: u64 = BOUND - BOUND / 16;
    let Some(shim) = Shim::new("eviction and cleanup") else {
        return;
    };
    let client = shim.server().flags(["--max-total-bytes", &BOUND.to_string()]).start();
    let gate = Gate::new();
    let flood = |bytes: u64| format!("head -c {bytes} /dev/zero | tr '\\0' x");
    let oldest = ref_id(&client.run("echo oldest"));
    let second = ref_id(&client.run(&flood(50_000)));
    client.run("echo the newest is not evicted");
    let before = EVICTION - 100 - client.bytes_on_disk();
    let running = client.begin(&format!(
        "{}; {}; {}; exec sleep 300",
        flood(before),
        gate.wait(),
        flood(30_000)
    ));
    eventually("all but 100 bytes are stored", || match client.bytes_on_disk() {
        bytes if bytes == EVICTION - 100 => Ok(()),
        bytes => Err(bytes.to_string()),
    });
    shim.hang("writing");
    gate.open();
    eventually("eviction has begun", || {
        match client.outcome(client.post(GET, &json!({"ref_id": oldest}))) {
            (reply, true) if reply["state"] == "expired" => Ok(()),
            (reply, _) => Err(reply.to_string()),
        }
    });
    client.call(CLEANUP, &json!({"ref_id": second}));
    shim.recover("writing");
    client.clean_up(&running);
    client.await_output_files(1);
    let reply = client.run("echo words");
    assert_eq!(reply["output"], "words\n", "{reply}");
}

fn numbers(last: u32) -> String {
    (1..=last).map(|number| format!("{number}\n")).collect()
}

#[test]
fn a_disk_that_cannot_be_read_holds_up_output_and_nothing_else() {
    let Some(shim) = Shim::new("a disk that cannot be read") else {
        return;
    };
    let client = shim.server().start();
    let gate = Gate::new();
    let job = client.begin(&format!("seq 1 20000; {}; exit 7", gate.wait()));
    client.wait_for(&job, "^20000$");
    shim.hang("reading");
    // More of them than there are threads.
    let arguments = [
        json!({"ref_id": job}),
        json!({"ref_id": job, "until_pattern": "never", "wait_seconds": 45}),
    ];
    let calls: Vec<_> = (0..40).map(|n| client.post(GET, &arguments[n % 2])).collect();
    shim.hangs();
    gate.open();
    assert_lively(&client);
    // What is known without the disk is told all the same.
    for (n, call) in calls.into_iter().enumerate() {
        if n % 2 == 0 {
            let reply = client.reply(call);
            assert_eq!(reply["output"], "", "{reply}");
            assert!(text(&reply, "error").contains("disk does not answer"), "{reply}");
        } else {
            client.cancel(call);
        }
    }
    assert_lively(&client);
    shim.recover("reading");
    let reply = eventually("it can be read again", || {
        let reply = client.get(&job);
        if text(&reply, "output").ends_with("20000\n") { Ok(reply) } else { Err(reply.to_string()) }
    });
    assert_eq!(reply["returncode"], 7, "{reply}");
}

#[test]
fn a_server_whose_disk_hangs_ends_all_the_same() {
    let Some(shim) = Shim::new("a disk that hangs at the end") else {
        return;
    };
    let client = shim.server().start();
    let job = client.begin("echo first; while :; do echo more; done");
    client.wait_for(&job, "first");
    shim.hang("writing");
    shim.hangs();
    let end = client.hang_up();
    assert!(end.status.success(), "{:?}", end.status);
    assert!(end.took < 2 * SOON, "{:?}", end.took);
    // The next server sweeps the files that this one had to leave.
    shim.recover("writing");
}
