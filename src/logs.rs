//! Logs, to standard error or to a file, and never at the price of an answer.
//!
//! A client may read our standard error late or never. A line that finds no room is dropped and counted, and the count is
//! told as soon as there is room again.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Config, LogFormat};
use crate::transport::Descriptor;

/// Logs from here on; a panic is logged too, as one line.
pub(crate) fn init(config: &Config) -> anyhow::Result<()> {
    let filter = filter(&config.log)?;
    let lines = match &config.log_file {
        None => LogLines::new(Descriptor::duplicate(io::stderr())?),
        Some(path) => LogLines::new(
            open(path)
                .with_context(|| format!("--log-file: cannot write to {}", path.display()))?,
        ),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(lines);
    let set = match config.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    set.map_err(anyhow::Error::from_boxed)?;
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(no message)");
        tracing::error!(location, "panicked: {message}");
    }));
    Ok(())
}

/// A bare word that is no level would name a part of the program that does not exist, and silence all others.
fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    const PARTS: &[&str] = &["background_command_mcp", "rmcp", "tokio"];
    let is_meant = |part: &str| {
        !part.is_empty()
            && (part.contains(['=', '['])
                || part.parse::<LevelFilter>().is_ok()
                || PARTS.iter().any(|name| part.starts_with(name)))
    };
    let unclear = text.split(',').map(str::trim).find(|part| !is_meant(part));
    if let Some(part) = unclear {
        bail!(
            "--log: {part:?} is no level: off, error, warn, info, debug, trace, or a filter like \
             background_command_mcp=debug,rmcp=warn"
        );
    }
    EnvFilter::builder()
        .parse(text)
        .with_context(|| format!("--log: not a log filter: {text:?}"))
}

fn open(path: &Path) -> io::Result<Descriptor> {
    // This description is ours alone, so it may have flags: a FIFO without a reader must not hold up the start, nor a
    // terminal become ours.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    Descriptor::duplicate(file)
}

/// A descriptor that takes whole lines or nothing.
struct LogLines(Mutex<State>);

struct State {
    to: Descriptor,
    /// The rest of a line that was taken in part.
    rest: Vec<u8>,
    dropped: u64,
}

impl LogLines {
    fn new(to: Descriptor) -> Self {
        Self(Mutex::new(State {
            to,
            rest: Vec::new(),
            dropped: 0,
        }))
    }
}

impl State {
    fn write_line(&mut self, line: &[u8]) {
        if !self.finish_rest() || !self.tell_dropped() || !self.begin(line) {
            self.dropped += 1;
        }
    }

    fn tell_dropped(&mut self) -> bool {
        if self.dropped == 0 {
            return true;
        }
        let told = format!(
            "({} log lines were dropped here: nobody read them)\n",
            self.dropped
        );
        let begun = self.begin(told.as_bytes());
        if begun {
            self.dropped = 0;
        }
        begun && self.rest.is_empty()
    }

    /// Writes what fits and keeps the rest; false if nothing did.
    fn begin(&mut self, line: &[u8]) -> bool {
        let written = self.write_some(line);
        if written > 0 {
            self.rest.extend_from_slice(&line[written..]);
        }
        written > 0
    }

    fn finish_rest(&mut self) -> bool {
        let rest = std::mem::take(&mut self.rest);
        let written = self.write_some(&rest);
        self.rest.extend_from_slice(&rest[written..]);
        self.rest.is_empty()
    }

    /// How much of this fits now. What cannot be written for another reason is lost: there is nowhere to say so.
    fn write_some(&self, mut bytes: &[u8]) -> usize {
        let length = bytes.len();
        while !bytes.is_empty() {
            match self.to.write(&[IoSlice::new(bytes)]) {
                Ok(0) => break,
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return length,
            }
        }
        length - bytes.len()
    }
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One event. The formatter writes each with a single call.
struct LogLine<'a>(MutexGuard<'a, State>);

impl Write for LogLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
