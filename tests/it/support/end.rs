//! The end of a server, and what it leaves: no process and no file, which is checked at the end of every test.

use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Client, eventually, processes};

/// The end of a server.
#[derive(Debug)]
pub struct End {
    pub status: ExitStatus,
    pub took: Duration,
}

impl Client {
    pub fn close_input(&self) {
        self.input.borrow_mut().take();
    }

    pub fn close_output(&self) {
        self.output.borrow_mut().stream = None;
    }

    /// Ends the conversation by closing standard input.
    #[track_caller]
    pub fn hang_up(&self) -> End {
        self.close_input();
        self.end()
    }

    /// Waits for the end of the server.
    #[track_caller]
    pub fn end(&self) -> End {
        let started = Instant::now();
        let status = eventually("the server has ended", || {
            let status = self.supervisor.borrow_mut().as_mut().unwrap().try_wait().unwrap();
            status.ok_or_else(|| processes::describe([self.pid()]))
        });
        self.supervisor.borrow_mut().take();
        End { status, took: started.elapsed() }
    }

    /// Kills the supervisor as nothing can prevent.
    pub fn kill(&self) {
        processes::kill(self.pid());
        self.end();
    }

    /// Kills supervisor and server in one instant: neither can act on the death of the other.
    pub fn kill_with_supervisor(&self) {
        let server = self.server_pid();
        processes::signal(self.pid(), Signal::STOP);
        processes::kill(server);
        self.kill();
    }

    /// What the server has started and what still lives. A living server and its supervisor are left out.
    pub fn living(&self) -> Vec<u32> {
        let mut living = processes::with_environment(&self.mark);
        if let Some(supervisor) = self.supervisor.borrow().as_ref().map(Child::id) {
            living.retain(|pid| *pid != supervisor && !processes::is_server_of(*pid, supervisor));
        }
        living
    }

    #[track_caller]
    pub fn assert_none_living(&self) {
        let living = self.living();
        assert!(living.is_empty(), "{}", processes::describe(living));
    }

    /// The server goes by itself when standard input is closed, says no more, and leaves nothing.
    #[track_caller]
    pub fn finish(&self) {
        self.close_input();
        assert_eq!(self.next(), None);
        self.assert_ends_well();
    }

    /// The server goes by itself, in time, and leaves nothing.
    #[track_caller]
    pub fn assert_ends_well(&self) {
        let end = self.hang_up();
        assert!(end.status.success() && end.took < Duration::from_secs(3), "{end:?}");
        self.assert_nothing_left();
    }

    /// Nothing that the server has started is alive, and nothing it has written is there.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        eventually("no process is left of an ended server", || match self.living() {
            left if left.is_empty() => Ok(()),
            left => Err(processes::describe(left)),
        });
        if !self.shared_output {
            let files = files_below(&self.output_dir);
            assert!(files.is_empty(), "left by an ended server: {files:?}");
        }
    }

    /// Files of this server's output directories, lock files left out.
    pub fn output_files(&self) -> Vec<PathBuf> {
        let mut files = files_below(&self.output_dir);
        files.retain(|path| !path.ends_with("lock"));
        files.sort();
        files
    }

    /// Waits until this server has so many files.
    #[track_caller]
    pub fn await_output_files(&self, count: usize) {
        eventually(&format!("there are {count} files"), || match self.output_files() {
            files if files.len() == count => Ok(()),
            files => Err(format!("{files:?}")),
        });
    }

    /// How many bytes of output are on disk at one instant: one file after the other would be looked at while some grow and
    /// others are removed.
    pub fn bytes_on_disk(&self) -> u64 {
        processes::suspended(self.server_pid(), || {
            let files = self.output_files();
            files.iter().map(|file| file.metadata().map_or(0, |file| file.len())).sum()
        })
    }
}

impl Drop for Client {
    /// What holds at the end of every server is checked at the end of every test.
    #[expect(clippy::print_stderr, reason = "a failed test shows what the server logged")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            if self.supervisor.borrow().is_some() {
                self.assert_ends_well();
            }
            self.unread();
            return;
        }
        eprintln!("--- the server's log:\n{}---", self.log());
        if let Some(mut supervisor) = self.supervisor.borrow_mut().take() {
            drop(supervisor.kill());
            drop(supervisor.wait());
        }
        for pid in processes::with_environment(&self.mark) {
            processes::kill(pid);
        }
    }
}

pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => files.extend(files_below(&path)),
            path => files.push(path),
        }
    }
    files
}
