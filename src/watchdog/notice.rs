//! What the server says to its watchdog.

use std::path::Path;

use uuid::Uuid;

/// What the server says to its watchdog, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// A job is about to be started.
    Expect(Uuid),
    /// It leads this process group.
    Started(Uuid, i32),
    /// Nothing of it is alive.
    Gone(Uuid),
    /// Where output goes: to be removed at the end.
    Directory(String),
}

impl Notice {
    /// None for a path that is no line of text, of which another directory would be read. It is left to the next
    /// server's sweep.
    pub(super) fn directory(path: &Path) -> Option<Self> {
        let path = path.to_str().filter(|path| !path.contains('\n'))?;
        Some(Self::Directory(path.to_owned()))
    }

    pub(super) fn to_line(&self) -> String {
        match self {
            Self::Expect(job) => format!("expect {job}\n"),
            Self::Started(job, group) => format!("started {job} {group}\n"),
            Self::Gone(job) => format!("gone {job}\n"),
            Self::Directory(path) => format!("directory {path}\n"),
        }
    }

    pub(super) fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        match kind {
            "expect" => Some(Self::Expect(rest.parse().ok()?)),
            "started" => {
                let (job, group) = rest.split_once(' ')?;
                Some(Self::Started(job.parse().ok()?, group.parse().ok()?))
            }
            "gone" => Some(Self::Gone(rest.parse().ok()?)),
            "directory" => Some(Self::Directory(rest.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_notice_is_read_as_it_was_said() {
        let job = Uuid::new_v4();
        let notices = [
            Notice::Expect(job),
            Notice::Started(job, 4711),
            Notice::Gone(job),
            Notice::Directory("/a b/c".to_owned()),
        ];
        for notice in notices {
            assert_eq!(
                Notice::parse(notice.to_line().trim_end_matches('\n')),
                Some(notice)
            );
        }
        assert_eq!(Notice::parse("started x 1"), None);
    }

    #[test]
    fn a_path_that_is_no_line_is_not_said() {
        let directory = |path: &[u8]| Notice::directory(Path::new(OsStr::from_bytes(path)));
        assert_eq!(
            directory(b"/a b"),
            Some(Notice::Directory("/a b".to_owned()))
        );
        assert_eq!(directory(b"/home/me\nx/server-1"), None);
        assert_eq!(directory(b"/home/\xff"), None);
    }
}
