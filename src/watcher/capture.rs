//! One stream of a job on its way from its pipe to disk.

use tokio::net::unix::pipe;

use crate::job::Captured;
use crate::output::log::OutputLog;

/// Most bytes read from a pipe in one go: what a pipe holds unless somebody has made it larger.
const CHUNK: usize = 64 << 10;

/// One stream on its way from its pipe to disk.
#[derive(Debug)]
pub(crate) struct Capture {
    /// None when the stream has ended.
    pipe: Option<pipe::Receiver>,
    log: OutputLog,
}

/// What one read brought.
enum Taken {
    Nothing,
    Stored,
    /// There was no open segment for these.
    Homeless(Vec<u8>),
    End,
}

impl Capture {
    pub(crate) fn new(pipe: pipe::Receiver, log: OutputLog) -> Self {
        Self {
            pipe: Some(pipe),
            log,
        }
    }

    pub(crate) fn captured(&self) -> &Captured {
        self.log.captured()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.pipe.is_none()
    }

    pub(crate) async fn readable(&self) {
        match &self.pipe {
            // An error shows again, with its reason, in the read that follows.
            Some(pipe) => drop(pipe.readable().await),
            None => std::future::pending().await,
        }
    }

    /// Reads once and stores what came.
    pub(crate) async fn take(&mut self) {
        let taken = match &self.pipe {
            Some(pipe) => take(&mut self.log, |chunk| pipe.try_read(chunk)),
            None => return,
        };
        self.store(taken).await;
    }

    /// Reads what is in the pipe at this moment, no more: a leftover process may go on writing for ever. Asks the
    /// kernel, since the runtime may not have heard yet that the pipe is readable.
    pub(crate) async fn drain(&mut self) {
        let mut there = self
            .pipe
            .as_ref()
            .map_or(0, |pipe| rustix::io::ioctl_fionread(pipe).unwrap_or(0));
        while let Some(pipe) = &self.pipe {
            // With nothing left there, one more read sees the end of the stream, if that is what comes next.
            let is_last = there == 0;
            let before = self.log.captured().end;
            let taken = take(&mut self.log, |chunk| Ok(rustix::io::read(pipe, chunk)?));
            self.store(taken).await;
            there = there.saturating_sub(self.log.captured().end - before);
            if is_last {
                return;
            }
        }
    }

    async fn store(&mut self, taken: Taken) {
        match taken {
            Taken::Nothing | Taken::Stored => {}
            Taken::Homeless(bytes) => self.log.append(&bytes).await,
            Taken::End => self.close(),
        }
    }

    pub(crate) fn close(&mut self) {
        self.pipe = None;
        self.log.finish();
    }
}

/// One read into a buffer on the stack, so that a job costs no buffer while it is silent.
fn take(log: &mut OutputLog, read: impl FnOnce(&mut [u8]) -> std::io::Result<usize>) -> Taken {
    let mut chunk = [0; CHUNK];
    match read(&mut chunk) {
        Ok(0) => Taken::End,
        Ok(length) => match log.append_inline(&chunk[..length]) {
            [] => Taken::Stored,
            rest => Taken::Homeless(rest.to_vec()),
        },
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
            ) =>
        {
            Taken::Nothing
        }
        Err(error) => {
            tracing::warn!(%error, "reading a job's output failed");
            Taken::End
        }
    }
}
