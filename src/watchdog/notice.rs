//! What the server says to its watchdog.

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
    pub(super) fn to_line(&self) -> String {
        match self {
            Self::Expect(job) => format!("expect {job}\n"),
            Self::Started(job, group) => format!("started {job} {group}\n"),
            Self::Gone(job) => format!("gone {job}\n"),
            // A newline in a path would end the line early; such a directory is left to the next server's sweep.
            Self::Directory(path) => {
                format!("directory {}\n", path.lines().next().unwrap_or_default())
            }
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
}
