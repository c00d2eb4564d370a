//! The calls of the system that no crate wraps: the console, the ends of processes, the text of its code page.

use std::borrow::Cow;
use std::io;
use std::os::windows::io::RawHandle;
use std::os::windows::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use win32job::Job;
use windows::Win32::Foundation::{HANDLE, HANDLE_FLAG_INHERIT, HANDLE_FLAGS, SetHandleInformation};
use windows::Win32::Globalization::{
    CP_UTF8, GetOEMCP, MULTI_BYTE_TO_WIDE_CHAR_FLAGS, MultiByteToWideChar,
};
use windows::Win32::System::Console::{
    AttachConsole, CTRL_BREAK_EVENT, FreeConsole, GenerateConsoleCtrlEvent, GetConsoleOutputCP,
    GetConsoleProcessList, GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE,
    SetConsoleOutputCP, SetStdHandle,
};
use windows::Win32::System::JobObjects::TerminateJobObject;
use windows::Win32::System::Threading::{CREATE_NO_WINDOW, TerminateProcess};

/// How often it is tried, every 10 ms, to attach to a console that is just being made.
const TRIES: usize = 50;

/// The exit code of a process that is ended by force.
const ENDED: u32 = 1;

/// Whether this process has a console. Jobs share it, so that CTRL_BREAK reaches them.
pub fn is_shared() -> bool {
    code_page() != 0
}

#[expect(unsafe_code, reason = "these calls have no safe interface")]
fn code_page() -> u32 {
    // SAFETY: it takes and returns a number.
    unsafe { GetConsoleOutputCP() }
}

/// Keeps this process's standard streams from its children and, once before there is another thread, gives it a console
/// without a window if it has none.
#[expect(unsafe_code, reason = "these calls have no safe interface")]
pub fn prepare() {
    let streams = [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE];
    // SAFETY: handles are those of this process's standard streams, which stay open; a null one is an error of the call. The
    // list has the length that is told.
    unsafe {
        let handles = streams.map(|stream| GetStdHandle(stream).unwrap_or_default());
        for handle in handles {
            let _ = SetHandleInformation(handle, HANDLE_FLAG_INHERIT.0, HANDLE_FLAGS(0));
        }
        if !is_shared() {
            // Where this fails, stops are at once.
            let _ = attach_to_a_hidden_one();
            for (stream, handle) in streams.into_iter().zip(handles) {
                let _ = SetStdHandle(stream, handle);
            }
        }
        if GetConsoleProcessList(&mut [0; 2]) == 1 {
            // Programs that ask write UTF-8 then.
            let _ = SetConsoleOutputCP(CP_UTF8);
        }
    }
}

/// Attaches to the console of a child, which ends: one that is made here would show a window.
#[expect(unsafe_code, reason = "these calls have no safe interface")]
fn attach_to_a_hidden_one() -> io::Result<()> {
    let mut command = Command::new("cmd");
    command.args(["/D", "/C", "pause"]).creation_flags(CREATE_NO_WINDOW.0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    // SAFETY: both take no more than a number; the child is not waited for yet, so that the pid is its own.
    unsafe {
        // Wine holds that a process without a console has one.
        let _ = FreeConsole();
        let mut tries = 0..TRIES;
        while AttachConsole(child.id()).is_err() && tries.next().is_some() {
            sleep(Duration::from_millis(10));
        }
    }
    child.kill()?;
    child.wait().map(drop)
}

/// Sends CTRL_BREAK to this process group; whether there is a way to.
#[expect(unsafe_code, reason = "these calls have no safe interface")]
pub fn send_break(group: u32) -> bool {
    // SAFETY: it takes numbers. The group is one that this process has started, and its leader's handle is open.
    is_shared() && unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, group) }.is_ok()
}

/// Ends a job's leader, if it is alive, and then all of the job.
#[expect(unsafe_code, reason = "these calls have no safe interface")]
pub fn end(leader: Option<RawHandle>, job: &Job) {
    // SAFETY: both handles are open: their owners are borrowed by the caller.
    unsafe {
        if let Some(leader) = leader {
            let _ = TerminateProcess(HANDLE(leader), ENDED);
        }
        if let Err(error) = TerminateJobObject(HANDLE(job.handle() as RawHandle), ENDED) {
            tracing::debug!(%error, "the job object was not terminated");
        }
    }
}

/// Bytes that are no UTF-8, by the code page of the console, or else of the system.
#[expect(unsafe_code, reason = "these calls have no safe interface")]
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    // SAFETY: the text has room for one unit a byte, and no code page needs more.
    unsafe {
        let page = Some(code_page()).filter(|page| ![0, CP_UTF8].contains(page));
        let page = page.unwrap_or_else(|| GetOEMCP());
        let mut text = vec![0; bytes.len()];
        let length =
            MultiByteToWideChar(page, MULTI_BYTE_TO_WIDE_CHAR_FLAGS(0), bytes, Some(&mut text));
        match usize::try_from(length) {
            Ok(length @ 1..) if page != CP_UTF8 => String::from_utf16_lossy(&text[..length]).into(),
            _ => String::from_utf8_lossy(bytes),
        }
    }
}
