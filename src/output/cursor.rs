//! How a reader says where it stands: a raw byte offset in each stream, as one short word.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// Where a reader stands in both streams; the default is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) stdout: Position,
    pub(crate) stderr: Position,
    pub(crate) told: Told,
}

/// How far the reader has been told of a line that pages hold back since it may still grow: raw offsets, of use only
/// behind the positions. So the same prompt is not found again, and what is added to it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) stdout: u64,
    pub(crate) stderr: u64,
}

impl Told {
    /// The same, or the ends of the streams where it is beyond them.
    pub(crate) fn within(self, stdout_end: u64, stderr_end: u64) -> Self {
        Self {
            stdout: self.stdout.min(stdout_end),
            stderr: self.stderr.min(stderr_end),
        }
    }

    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            stdout: self.stdout.max(other.stdout),
            stderr: self.stderr.max(other.stderr),
        }
    }
}

/// A raw byte offset at a line start, and how many rendered characters of that line were already shown
/// (only where one line is longer than a page).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: u64,
    pub(crate) skip: u32,
}

impl Position {
    /// A place where nothing of the line was shown yet.
    pub(super) fn at(offset: u64) -> Self {
        Self { offset, skip: 0 }
    }
}

/// `o120e45`, or `o120+30e45` where 30 characters of the line at 120 were shown, or `o120-150e45` where the line at 120 is
/// unfinished and the reader knows of it as far as 150.
impl Display for Cursor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (letter, position, told) in [
            ('o', self.stdout, self.told.stdout),
            ('e', self.stderr, self.told.stderr),
        ] {
            write!(f, "{letter}{position}")?;
            if told > position.offset {
                write!(f, "-{told}")?;
            }
        }
        Ok(())
    }
}

impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.skip {
            0 => write!(f, "{}", self.offset),
            skip => write!(f, "{}+{skip}", self.offset),
        }
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(given: &str) -> Result<Self, CursorError> {
        let word = given.trim().to_ascii_lowercase();
        if word == "start" {
            return Ok(Self::default());
        }
        parse(&word).ok_or_else(|| CursorError {
            given: given.chars().take(60).collect(),
        })
    }
}

fn parse(word: &str) -> Option<Cursor> {
    let (stdout, stderr) = word.strip_prefix('o')?.split_once('e')?;
    let ((stdout, stdout_told), (stderr, stderr_told)) = (place(stdout)?, place(stderr)?);
    Some(Cursor {
        stdout,
        stderr,
        told: Told {
            stdout: stdout_told,
            stderr: stderr_told,
        },
    })
}

fn place(text: &str) -> Option<(Position, u64)> {
    let (text, told) = text.split_once('-').unwrap_or((text, "0"));
    if !told.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (position, told) = (position(text)?, told.parse().ok()?);
    Some((position, if told > position.offset { told } else { 0 }))
}

fn position(text: &str) -> Option<Position> {
    let (offset, skip) = text.split_once('+').unwrap_or((text, "0"));
    // The integer parsers accept a sign of their own.
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(offset) || !digits(skip) {
        return None;
    }
    Some(Position {
        offset: offset.parse().ok()?,
        skip: skip.parse().ok()?,
    })
}

/// What was given is no cursor; the message is for the model that made it up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CursorError {
    /// Its first 60 characters.
    given: String,
}

impl Display for CursorError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a cursor: pass \"start\", or the cursor of an earlier reply unchanged (it looks like o120e45).",
            self.given
        )
    }
}

impl std::error::Error for CursorError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_start_has_two_names() {
        assert_eq!("start".parse(), Ok(Cursor::default()));
        assert_eq!(" Start\n".parse(), Ok(Cursor::default()));
        assert_eq!(Cursor::default().to_string().parse(), Ok(Cursor::default()));
        assert_eq!(Cursor::default().to_string(), "o0e0");
    }

    #[test]
    fn shown_characters_follow_a_plus() {
        let stdout = Position {
            offset: 120,
            skip: 30,
        };
        let cursor = Cursor {
            stdout,
            stderr: Position::at(45),
            ..Cursor::default()
        };
        assert_eq!(cursor.to_string(), "o120+30e45");
        assert_eq!("O120+30E45".parse(), Ok(cursor));
    }

    #[test]
    fn what_is_known_of_an_unfinished_line_follows_a_dash() {
        let mut cursor = "o120e45".parse::<Cursor>().expect("a cursor");
        cursor.told.stdout = 150;
        assert_eq!(cursor.to_string(), "o120-150e45");
        assert_eq!("o120-150e45".parse(), Ok(cursor));
        let nothing = "o120-120e45-2".parse::<Cursor>().expect("a cursor");
        assert_eq!(nothing.to_string(), "o120e45");
    }

    #[test]
    fn what_is_no_cursor_is_refused_with_an_example() {
        for wrong in [
            "",
            "o",
            "o1",
            "o1e",
            "oe1",
            "1e2",
            "o-1e2",
            "o1e2x",
            "o1++2e3",
            "o+1e2",
            "o1+e2",
            "o1-e2",
            "o1--2e2",
            "o1-2+3e2",
            "o99999999999999999999e0",
            "o1+4294967296e0",
            "o١e٢",
        ] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong:?} was accepted");
        }
        let message = "x"
            .repeat(1000)
            .parse::<Cursor>()
            .expect_err("no cursor")
            .to_string();
        assert!(
            message.contains("o120e45") && message.contains("start"),
            "{message}"
        );
        assert!(
            message.contains(&"x".repeat(60)) && !message.contains(&"x".repeat(61)),
            "{message}"
        );
    }

    proptest! {
        #[test]
        fn every_cursor_survives_its_text(offsets: (u64, u64), skips: (u32, u32), told: (u64, u64)) {
            let cursor = Cursor {
                stdout: Position { offset: offsets.0, skip: skips.0 },
                stderr: Position { offset: offsets.1, skip: skips.1 },
                told: Told {
                    stdout: if told.0 > offsets.0 { told.0 } else { 0 },
                    stderr: if told.1 > offsets.1 { told.1 } else { 0 },
                },
            };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_breaks_the_parser(text in ".{0,80}") {
            let _ = text.parse::<Cursor>();
        }
    }
}
