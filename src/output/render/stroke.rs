//! What one pass over a line writes, from its start to the next carriage return.

use vte::{Params, Parser, Perform};

use super::width;

/// How far a pass reaches, in columns. Where it moves in other ways than by writing, the one is taken too small and the
/// other too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stroke {
    /// Up to here nothing is left of what was there before.
    pub(crate) covers: usize,
    /// From here on it leaves nothing of its own.
    pub(crate) ends: usize,
}

impl Stroke {
    /// Of one pass over a line.
    pub(crate) fn of(raw: &[u8]) -> Self {
        let mut pass = Pass::default();
        Parser::new().advance(&mut pass, String::from_utf8_lossy(raw).as_bytes());
        let (covers, ends) = match pass {
            Pass { jumps: true, .. } => (0, usize::MAX),
            Pass {
                erases: true,
                column,
                ..
            } => (usize::MAX, column),
            Pass { column, .. } => (column, column),
        };
        Self { covers, ends }
    }
}

#[derive(Default)]
struct Pass {
    column: usize,
    /// It erases the rest of the line, or all of it.
    erases: bool,
    /// It goes elsewhere than where it has just written.
    jumps: bool,
}

impl Perform for Pass {
    fn print(&mut self, char: char) {
        self.column += width(char);
    }

    fn execute(&mut self, byte: u8) {
        self.jumps |= matches!(byte, b'\x08' | b'\t' | b'\x0B' | b'\x0C');
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _: bool, action: char) {
        let given = params.iter().next().map_or(0, |param| param[0]);
        match (action, given) {
            ('m', _) => {}
            ('K' | 'J', 0 | 2) if intermediates.is_empty() => self.erases = true,
            // Modes, like a hidden cursor.
            (_, _) if !intermediates.is_empty() => {}
            _ => self.jumps = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_and_erased_covers_and_what_jumps_does_not() {
        for (raw, covers, ends) in [
            ("", 0, 0),
            ("50%", 3, 3),
            ("done      ", 10, 10),
            ("\x1b[32m\u{2588}\u{2588}\x1b[0m ok\x1b[?25l", 5, 5),
            ("\x1b[K50%", usize::MAX, 3),
            ("50%\x1b[K", usize::MAX, 3),
            ("\x1b[2Kx", usize::MAX, 1),
            ("\x1b[1Kx", 0, usize::MAX),
            ("\x1b[200Cx", 0, usize::MAX),
            ("a\x08b", 0, usize::MAX),
            ("a\tb", 0, usize::MAX),
        ] {
            assert_eq!(
                Stroke::of(raw.as_bytes()),
                Stroke { covers, ends },
                "{raw:?}"
            );
        }
    }
}
