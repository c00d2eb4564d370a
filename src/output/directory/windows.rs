//! Files of one user alone, by the access list of their directory.

use std::fs::{File, Metadata, OpenOptions, create_dir_all};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind, get_current_pid};
use windows::Win32::Foundation::{HLOCAL, LocalFree};
use windows::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows::Win32::Security::{PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES};
use windows::Win32::Storage::FileSystem::{CreateDirectoryW, FILE_SHARE_READ};
use windows::core::HSTRING;

/// Makes the directory for this user and the system alone, which its files inherit, and those above it.
#[expect(unsafe_code, reason = "the standard library makes no private directory")]
pub fn make_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    create_dir_all(path.parent().unwrap_or(path))?;
    let access = format!("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;{})", user().unwrap_or("OW".to_owned()));
    let mut descriptor = PSECURITY_DESCRIPTOR::default();
    // SAFETY: texts of this type end with a zero; the descriptor is used only where the first call has made it, and freed once.
    unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            &HSTRING::from(access),
            SDDL_REVISION_1,
            &raw mut descriptor,
            None,
        )
        .map_err(system_error)?;
        let attributes = SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: descriptor.0,
            bInheritHandle: false.into(),
        };
        let made = CreateDirectoryW(&HSTRING::from(path), Some(&raw const attributes));
        LocalFree(Some(HLOCAL(descriptor.0)));
        made.map_err(system_error)
    }
}

/// With the system's own number.
fn system_error(error: windows::core::Error) -> io::Error {
    io::Error::from_raw_os_error(error.code().0 & 0xFFFF)
}

/// The security identifier of this user, as text. The owner of what is made stands in for it.
fn user() -> Option<String> {
    let own = get_current_pid().ok()?;
    let what = ProcessRefreshKind::nothing().with_user(UpdateKind::Always);
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, what);
    Some(system.process(own)?.user_id()?.to_string())
}

/// How files in there are opened that are written: others may read them, but not remove them.
pub fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).share_mode(FILE_SHARE_READ.0);
    options
}

/// An open file cannot be removed.
pub fn held_while_removed(_lock: File) -> Option<File> {
    None
}

/// Nobody can have removed it, see [`new_file`].
pub fn is_deleted(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// Whether this user has made it: the directories above are the user's own.
pub fn is_ours(_found: &Metadata) -> bool {
    true
}

/// What the directory is called among the user's temporary files.
pub fn temporary_name() -> String {
    "background-command-mcp".to_owned()
}
