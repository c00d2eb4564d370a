//! A disk that hangs: output waits for it, and nothing else does.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::compiled;
use crate::support::{Client, GET, Gate, Setup, eventually, number, ref_id, text};

/// Puts itself between the server and the files of its output. While there is a file `hang-writing` (or `hang-reading`) in
/// `SHIM_CONTROL`, calls that change files (or open them to be read) do not return; the first of them says so with a file
/// `asked`.
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
    char hang[4096], asked[4096];
    snprintf(hang, sizeof hang, "%s/hang-%s", getenv("SHIM_CONTROL"), kind);
    snprintf(asked, sizeof asked, "%s/asked", getenv("SHIM_CONTROL"));
    for (; access(hang, F_OK) == 0; usleep(2000))
        if (access(asked, F_OK) != 0)
            syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, asked, O_CREAT | O_WRONLY, 0600));
}
int open64(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest);
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    if (is_output(path)) wait_for_the_disk((flags & O_ACCMODE) == O_RDONLY ? "reading" : "writing");
    return next(path, flags, mode);
}
ssize_t write(int fd, const void *data, size_t length) {
    ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    if (is_output_file(fd)) wait_for_the_disk("writing");
    return next(fd, data, length);
}
"#;

/// A disk that can be made to hang.
struct Shim {
    library: PathBuf,
    directory: TempDir,
}

impl Shim {
    /// None where there is no compiler.
    fn new() -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("shim.so");
        let library = compiled("a disk that hangs", SHIM, path, &["-shared", "-fPIC", "-ldl"])?;
        Some(Self { library, directory })
    }

    #[track_caller]
    fn server(&self) -> Client {
        Setup::new()
            .environment("LD_PRELOAD", self.library.to_str().unwrap())
            .environment("SHIM_CONTROL", self.directory.path().to_str().unwrap())
            .start()
    }

    fn hang(&self, kind: &str) {
        std::fs::write(self.directory.path().join(format!("hang-{kind}")), "").unwrap();
    }

    /// Waits until something hangs.
    #[track_caller]
    fn await_hanging(&self) {
        let asked = self.directory.path().join("asked");
        eventually("the disk is asked", || asked.exists().then_some(()).ok_or_else(String::new));
    }

    fn recover(&self, kind: &str) {
        std::fs::remove_file(self.directory.path().join(format!("hang-{kind}"))).unwrap();
    }
}

/// What must not wait for a disk does not.
#[track_caller]
fn assert_lively(client: &Client) {
    let asked = Instant::now();
    client.ping();
    client.list();
    let reply = client.execute(&json!({"cmd": "exit 3", "cwd": "/", "wait_seconds": 30}));
    assert_eq!(reply["result"]["returncode"], 3, "{reply}");
    assert!(asked.elapsed() < Duration::from_secs(3), "three calls took {:?}", asked.elapsed());
}

#[test]
fn a_disk_that_cannot_be_written_to_holds_up_output_and_nothing_else() {
    let Some(shim) = Shim::new() else {
        return;
    };
    let client = shim.server();
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
    shim.await_hanging();
    assert_lively(&client);

    // An end is told although the last words have to wait, and so is why they are not there.
    let execute = |cmd: &str, limit: f64| {
        client.execute(&json!({"cmd": cmd, "kill_after_seconds": limit, "wait_seconds": 30}))
    };
    let ended = execute("echo words; exit 4", 60.0);
    let result = &ended["result"];
    assert_eq!((&result["returncode"], &result["output"]), (&json!(4), &json!("")), "{ended}");
    assert!(text(&ended, "hint").contains("disk with the output"), "{ended}");
    // A time limit and a stop are heard by watchers whose output is under way.
    let limited = execute("echo words; sleep 1000", 0.1);
    assert_eq!(limited["result"]["state"], "timed_out", "{limited}");
    client.clean_up(&ref_id(&limited));
    let (stopped, kept) = noisy.split_last().unwrap();
    let asked = Instant::now();
    assert_eq!(client.clean_up(stopped)["result"]["state"], "stopped");
    // It waits once for the end of the command, once for that of the job, and once for the files.
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_lively(&client);

    shim.recover("writing");
    for id in kept {
        let reply = client.wait(id);
        assert_eq!((&reply["state"], &reply["returncode"]), (&json!("exited"), &json!(7)));
        let (output, error) = (number(&reply, "output_bytes"), number(&reply, "error_bytes"));
        assert_eq!((output, error), (228_900, 228_900), "{reply}");
        assert!(reply["dropped_bytes"].is_null(), "{reply}");
    }
    let numbers: String = (1..=40_000).map(|number| format!("{number}\n")).collect();
    let (output, error, _) = client.pages(&kept[0], "start", 100_000);
    let whole = format!("first\n{numbers}");
    assert!(output == whole && error == whole, "{} {}", output.len(), error.len());
    let is_complete = |reply: &Value| reply["output"] == "words\n" && reply["hint"].is_null();
    client.get_until(&ref_id(&ended), "the last words are there", is_complete);
    eventually("the files of what was cleaned up are gone", || {
        let files = format!("{:?}", client.output_files());
        let deleted = [stopped, text(&limited, "ref_id")];
        if deleted.iter().any(|id| files.contains(*id)) { Err(files) } else { Ok(()) }
    });
}

#[test]
fn a_disk_that_cannot_be_read_holds_up_output_and_nothing_else() {
    let Some(shim) = Shim::new() else {
        return;
    };
    let client = shim.server();
    let gate = Gate::new();
    let job = client.begin(&format!("seq 1 20000; {}; exit 7", gate.wait()));
    client.wait_for(&job, "^20000$");
    shim.hang("reading");
    // More of them than there are threads.
    let search = json!({"ref_id": job, "until_pattern": "never", "wait_seconds": 45});
    let calls =
        [(); 20].map(|()| (client.post(GET, &json!({"ref_id": job})), client.post(GET, &search)));
    shim.await_hanging();
    gate.open();
    assert_lively(&client);
    // What is known without the disk is told all the same.
    for (read, search) in calls {
        let reply = client.reply(read);
        assert_eq!(reply["output"], "", "{reply}");
        assert!(text(&reply, "error").contains("disk does not answer"), "{reply}");
        client.cancel(search);
    }
    assert_lively(&client);
    shim.recover("reading");
    let reply = client.get_until(&job, "it can be read again", |reply| {
        text(reply, "output").ends_with("20000\n")
    });
    assert_eq!(reply["returncode"], 7, "{reply}");
}

#[test]
fn a_server_whose_disk_hangs_ends_all_the_same() {
    let Some(shim) = Shim::new() else {
        return;
    };
    let client = shim.server();
    let job = client.begin("echo first; while :; do echo more; done");
    client.wait_for(&job, "first");
    shim.hang("writing");
    shim.await_hanging();
    let end = client.hang_up();
    assert!(end.status.success() && end.took < Duration::from_secs(2), "{end:?}");
    // The next server sweeps the files that this one had to leave.
    shim.recover("writing");
}
