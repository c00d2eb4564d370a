//! Logs, to standard error or to a file, written by a thread of their own.
//!
//! A client may read our standard error late or never, and a disk may hang. Lines then queue up, and what finds the queue
//! full is dropped and counted; nothing in the server waits for a log line.

use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

use crate::config::{Config, LogFormat};
use crate::process::standard;

/// Lines that wait for the thread.
const QUEUED: usize = 1024;

/// How long the first line of some waits for others: to wake this thread for each would cost a short job as much as its own
/// start does.
const GATHER_FOR: Duration = Duration::from_millis(5);

/// How long the last lines may take to be written when the server ends.
const LAST_LINES: Duration = Duration::from_millis(100);

/// Logs from here on, until the guard is dropped; a panic is logged too, as one line.
pub fn init(config: &Config) -> Result<Guard> {
    let filter = filter(&config.log)?;
    let mut to = match &config.log_file {
        None => standard::error()?,
        Some(path) => standard::log_file(path)
            .with_context(|| format!("--log-file: cannot write to {}", path.display()))?,
    };
    let (sender, lines) = sync_channel::<Vec<u8>>(QUEUED);
    let (writing, written) = sync_channel(0);
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        // An empty line is the guard's, and the last.
        let is_line = |line: &Vec<u8>| !line.is_empty();
        while let Some(mut text) = lines.recv().ok().filter(is_line) {
            sleep(GATHER_FOR);
            let more: Vec<_> = lines.try_iter().collect();
            text.extend(more.iter().flatten());
            // What cannot be written is lost: there is nowhere to say so.
            drop(to.write_all(&text));
            if !more.iter().all(is_line) {
                break;
            }
        }
        drop::<SyncSender<()>>(writing);
    })?;
    let guard = Guard(sender.clone(), written);
    let format =
        fmt::layer().with_ansi(false).with_writer(Mutex::new(Lines { sender, dropped: 0 }));
    let format = match config.log_format {
        LogFormat::Text => format.boxed(),
        LogFormat::Json => format.json().boxed(),
    };
    registry().with(format.with_filter(filter)).try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("{}", panic.to_string().replace('\n', " "));
    }));
    Ok(guard)
}

/// Has the last lines written when it is dropped.
pub struct Guard(SyncSender<Vec<u8>>, Receiver<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        // With the queue full nothing reads the log, and nothing is waited for.
        if self.0.try_send(Vec::new()).is_ok() {
            let _ = self.1.recv_timeout(LAST_LINES);
        }
    }
}

/// The SDK is not to be heard unless it is named or warns: it logs commands and output at lower levels. A bare word that is
/// no level would name a part of the program that does not exist, and silence all others.
fn filter(text: &str) -> Result<Targets> {
    for part in text.split(',').map(str::trim) {
        if part.is_empty() || !part.contains('=') && part.parse::<LevelFilter>().is_err() {
            bail!(
                "--log: {part:?} is no level: off, error, warn, info, debug, trace, or a filter like \
                 background_command_mcp=debug,rmcp=warn"
            );
        }
    }
    let targets: Targets = text.parse().context("--log")?;
    if text.contains("rmcp") {
        return Ok(targets);
    }
    let of_others = targets.default_level().unwrap_or(LevelFilter::OFF);
    Ok(targets.with_target("rmcp", of_others.min(LevelFilter::WARN)))
}

/// Where the formatter writes each event, with a single call.
struct Lines {
    sender: SyncSender<Vec<u8>>,
    dropped: u64,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let gap = match self.dropped {
            0 => String::new(),
            lines => format!("({lines} log lines were dropped here: they were not read in time)\n"),
        };
        // One message, so that the gap is told where it is.
        match self.sender.try_send([gap.as_bytes(), line].concat()) {
            Ok(()) => self.dropped = 0,
            Err(_) => self.dropped += 1,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
