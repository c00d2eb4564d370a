//! How a reader says where it stands: a raw byte offset in each stream, as one short word.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::format::truncate;

/// Raw byte offsets in both streams; the default is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub stdout: u64,
    pub stderr: u64,
}

impl Display for Cursor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "o{}e{}", self.stdout, self.stderr)
    }
}

impl FromStr for Cursor {
    /// For the model that made it up.
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let word = given.trim().to_ascii_lowercase();
        if word == "start" {
            return Ok(Self::default());
        }
        parse(&word).ok_or_else(|| {
            format!(
                "{:?} is not a cursor: pass \"start\", or the cursor of an earlier reply unchanged (it looks like o120e45).",
                truncate(given, 60)
            )
        })
    }
}

fn parse(word: &str) -> Option<Cursor> {
    let (stdout, stderr) = word.strip_prefix('o')?.split_once('e')?;
    // The integer parser accepts a sign.
    let offset = |digits: &str| digits.parse().ok().filter(|_| !digits.starts_with('+'));
    Some(Cursor { stdout: offset(stdout)?, stderr: offset(stderr)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_the_start_has_two_names() {
        let cursor = Cursor { stdout: 120, stderr: u64::MAX };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert_eq!(" O120E45\n".parse::<Cursor>().map(|read| read.stderr), Ok(45));
        assert_eq!(" Start\n".parse(), Ok(Cursor::default()));
        assert_eq!("o0e0".parse(), Ok(Cursor::default()));
    }

    #[test]
    fn other_words_are_refused_with_an_example() {
        for wrong in [
            "",
            "o",
            "o1",
            "o1e",
            "oe1",
            "1e2",
            "o-1e2",
            "o1e2x",
            "o+1e2",
            "o99999999999999999999e0",
            "o١e٢",
        ] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong:?} was accepted");
        }
        let message = "x".repeat(1000).parse::<Cursor>().expect_err("no cursor");
        assert!(message.contains("o120e45") && message.contains("start"), "{message}");
        assert!(message.len() < 250, "{message}");
    }
}
