//! Processes under Windows. A job object holds everything that a process starts, wherever it goes, and the kernel ends it
//! with its last handle: so no process outlives the server, and there is no supervisor.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::shell::Shell;

pub mod console;
pub mod local;
pub mod pipe;
pub mod standard;
pub mod tree;
pub mod user;

pub use console::decode;

/// What the system takes.
pub const LONGEST_COMMAND: &str = "32,767 characters, cmd.exe 8,191, with the shell's own words";

/// Git's bash where its installer puts it, since models write bash, else what Windows has.
pub fn default_shell() -> Shell {
    let (program, arguments) = match bash() {
        Some(bash) => (bash.to_string_lossy().into_owned(), vec!["-c"]),
        None => ("cmd".to_owned(), vec!["/D", "/S", "/C"]),
    };
    Shell { program, arguments: arguments.into_iter().map(str::to_owned).collect() }
}

/// Not the `bash.exe` in the PATH, which starts a Linux of its own.
pub fn bash() -> Option<PathBuf> {
    let places = [
        ("ProgramFiles", r"Git\bin\bash.exe"),
        ("ProgramFiles(x86)", r"Git\bin\bash.exe"),
        ("LOCALAPPDATA", r"Programs\Git\bin\bash.exe"),
    ];
    let paths = places
        .into_iter()
        .filter_map(|(folder, path)| Some(Path::new(&std::env::var_os(folder)?).join(path)));
    paths.into_iter().find(|path| path.is_file())
}

/// The standard library looks it up itself, in the PATH that the new process gets.
pub fn find_program(_name: &str, _path: &OsStr) -> Option<PathBuf> {
    None
}

/// Whoever may not list a directory may still pass through it, and is refused a file when it opens one.
pub fn may_enter(_directory: &Path) -> io::Result<()> {
    Ok(())
}

/// What a program has written that is no text for people.
pub fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// Whether this user has a process with this pid.
pub fn is_alive(pid: u32) -> bool {
    user::of(pid).is_some()
}

/// This very program, to be started again.
pub mod own {
    pub use std::env::current_exe as program;
    use std::io;
    use std::os::windows::process::CommandExt;
    use std::process::{Command, Stdio};

    /// The pid of the process that serves: there is no supervisor.
    pub use std::process::id as supervisor;

    use windows::Win32::System::Threading::{
        CREATE_BREAKAWAY_FROM_JOB, CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW,
    };

    /// Starts it with one more argument and a console of its own, without a window, outside the client's job object where
    /// that allows it.
    pub fn start_in_background(argument: &str) -> io::Result<()> {
        let mut command = Command::new(program()?);
        command.args(std::env::args_os().skip(1)).arg(argument);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let usual = CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW;
        let mut start = |flags| command.creation_flags(flags).spawn();
        let started = start((usual | CREATE_BREAKAWAY_FROM_JOB).0);
        started.or_else(|_| start(usual.0)).map(drop)
    }
}

/// What would see children end: here each job's own handle does, and nothing is adopted.
pub mod reaper {
    use std::io;

    use super::tree::contain_this_process;

    #[derive(Clone, Debug)]
    pub struct Reaper(());

    impl Reaper {
        /// Puts this process, and with it all that its jobs start, into a job object that ends with it.
        pub fn start() -> io::Result<Self> {
            if let Err(error) = contain_this_process() {
                // Each job has its own all the same.
                tracing::warn!(%error, "the server could not be put into a job object");
            }
            Ok(Self(()))
        }

        pub fn look(&self) {}

        /// The job object knows them.
        pub fn adopted_of(&self, _job: uuid::Uuid) -> Vec<u32> {
            Vec::new()
        }
    }
}

/// Requests to end this process, and how processes of jobs are asked.
pub mod signals {
    use std::io;

    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};

    /// How a process is asked to end, and how it is ended.
    pub const TERMINATE: &str = "CTRL_BREAK";
    pub const KILL: &str = "TerminateJobObject";

    /// Resolves with the name of the first event that asks this process to end.
    pub fn end_request() -> io::Result<impl Future<Output = String>> {
        let mut interrupt = ctrl_c()?;
        let mut pause = ctrl_break()?;
        let mut close = ctrl_close()?;
        let mut logoff = ctrl_logoff()?;
        let mut shutdown = ctrl_shutdown()?;
        Ok(async move {
            let name = tokio::select! {
                _ = interrupt.recv() => "CTRL_C",
                _ = pause.recv() => "CTRL_BREAK",
                _ = close.recv() => "CTRL_CLOSE",
                _ = logoff.recv() => "CTRL_LOGOFF",
                _ = shutdown.recv() => "CTRL_SHUTDOWN",
            };
            name.to_owned()
        })
    }

    /// No process ends by a signal here.
    pub fn name(number: i32) -> String {
        number.to_string()
    }
}

/// What differs between systems of one kind.
pub mod system {
    /// The variable that makes programs write UTF-8, where none says what they write.
    pub const UTF8_LOCALE: (&str, &str) = ("LANG", "C.UTF-8");

    /// There is none: every program is started with the user's variables.
    pub const LOGIN_SHELL: Option<&str> = None;

    /// There is no supervisor.
    pub fn end_with_parent(_parent: u32) -> std::io::Result<bool> {
        Ok(true)
    }
}
