//! A look at a long log beside `pread` of as many bytes and a line echoed by `cat`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Instant;

use serde_json::json;

use crate::client::{GET, Peer, Server, call, text};
use crate::table::{Samples, Table};

/// Characters in each reply.
const CHARS: usize = 8000;
const LINE: &str = "a line of some length, as programs write them";
/// As much as a server keeps of a stream by itself.
const BYTES: u64 = 64 << 20;

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let mut server = Server::start(&[])?;
    let mut echo = Peer::spawn(&mut Command::new("cat"))?;
    let job = server.run(&format!("yes '{LINE}' | head -c {BYTES}"))?;
    let path = text(&server.call(GET, &json!({"ref_id": job}))?, "output_path")?;
    let cursor = format!("o{}e0", BYTES / 2);
    for (what, arguments) in [
        ("head and tail", json!({"ref_id": job, "max_chars": CHARS})),
        ("a page in the middle", json!({"ref_id": job, "max_chars": CHARS, "cursor": cursor})),
    ] {
        let line = call(1, GET, &arguments);
        let (mut ours, mut floor) = (Samples::default(), Samples::default());
        for _ in 0..500 {
            let begin = Instant::now();
            File::open(&path)?.read_at(&mut [0; CHARS], 0)?;
            floor.push_time(begin.elapsed() + echo.round_trip("x\n")?);
            ours.push_time(server.peer.round_trip(&line)?);
        }
        let what = format!(
            "{what} of a log of 64 MiB, {CHARS} characters; floor: open, `pread`, close, and a line echoed by `cat`"
        );
        table.ratio(&what, ours.median(), floor.median(), "µs", "");
    }
    Ok(())
}
