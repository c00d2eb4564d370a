//! The user that this process runs as, and what is made for that user alone.

use std::ffi::c_void;
use std::io;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};
use windows::Win32::Foundation::{HANDLE, HLOCAL, LocalFree};
use windows::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows::Win32::Security::{
    GetTokenInformation, PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES, TOKEN_ELEVATION, TokenElevation,
};
use windows::core::HSTRING;

/// Stands for the access token of this process.
const OWN_TOKEN: HANDLE = HANDLE(-4_isize as *mut _);

/// The security identifier of this process's user, as text.
pub fn own() -> io::Result<String> {
    let none = || io::Error::other("the system does not say which user this is");
    of(std::process::id()).ok_or_else(none)
}

/// The same for another process, if it lives and this user may know.
pub fn of(pid: u32) -> Option<String> {
    let pid = Pid::from_u32(pid);
    let what = ProcessRefreshKind::nothing().with_user(UpdateKind::Always);
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    Some(system.process(pid)?.user_id()?.to_string())
}

/// Whether this process has an administrator's rights, which the user's other processes lack.
#[expect(unsafe_code, reason = "these calls have no safe interface")]
pub fn is_elevated() -> bool {
    let mut elevation = TOKEN_ELEVATION::default();
    let (size, mut length) = (size_of::<TOKEN_ELEVATION>() as u32, 0);
    let into = Some((&raw mut elevation).cast());
    // SAFETY: what is written has the size that is told.
    let asked =
        unsafe { GetTokenInformation(OWN_TOKEN, TokenElevation, into, size, &raw mut length) };
    asked.is_ok() && elevation.TokenIsElevated != 0
}

/// Makes something, by its `SECURITY_ATTRIBUTES`, to which this user and the system have access alone, and so to what is made
/// inside it; with a label like `S:(ML;;NW;;;HI)`, of the user's processes those that have as many rights.
#[expect(unsafe_code, reason = "a security descriptor has no safe interface")]
pub fn make_private<T>(
    label: &str,
    make: impl FnOnce(*mut c_void) -> io::Result<T>,
) -> io::Result<T> {
    let access = format!("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;{}){label}", own()?);
    let mut descriptor = PSECURITY_DESCRIPTOR::default();
    // SAFETY: a text of this type ends with a zero; the descriptor is used only where the first call has made it, and freed
    // once, after its use.
    unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            &HSTRING::from(access),
            SDDL_REVISION_1,
            &raw mut descriptor,
            None,
        )
        .map_err(system_error)?;
        let mut attributes = SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: descriptor.0,
            bInheritHandle: false.into(),
        };
        let made = make((&raw mut attributes).cast());
        LocalFree(Some(HLOCAL(descriptor.0)));
        made
    }
}

/// With the system's own number.
pub fn system_error(error: windows::core::Error) -> io::Error {
    io::Error::from_raw_os_error(error.code().0 & 0xFFFF)
}
