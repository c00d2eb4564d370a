//! One raw line as a terminal would show it.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar;
use vte::{Params, Parser, Perform};

use crate::process::decode;

/// The width of the imagined terminal. It bounds what a short escape sequence can ask for, not the length of a line.
const COLUMNS: usize = 512;

/// What the rows of the screen are counted from, once a sequence has named one: those before are counted from where the line
/// began.
const SCREEN: i64 = 1 << 40;

/// A cell without a character. At the end of a row it is not shown, before that it is a space.
const BLANK: char = '\0';

/// The second cell of a wide character.
const SECOND: char = '\u{1}';

/// Renders one raw line, with or without its newline: text without control characters other than the tab, and a line break
/// where the cursor has left a row.
///
/// Bytes that are no UTF-8 are read as the system does, or become U+FFFD. Colours, links, titles and modes vanish; what moves
/// the cursor within the row or erases part of it acts.
pub fn line(raw: &[u8]) -> Cow<'_, str> {
    let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
    // A carriage return with nothing behind it changes nothing, and `\r\n` is the commonest one.
    let end = raw.iter().rposition(|&byte| byte != b'\r');
    let raw = &raw[..end.map_or(0, |last| last + 1)];
    // Decoded before it is parsed: the parser by itself takes a stray byte from 0x80 to 0x9F for a control character
    // and drops it, where Windows-1252 has letters.
    let text = match str::from_utf8(raw) {
        Ok(text) if is_plain(raw) => return Cow::Borrowed(text),
        Ok(text) => Cow::Borrowed(text),
        Err(_) => decode(raw),
    };
    let mut grid = Grid { overwrites: raw.contains(&b'\r'), ..Grid::default() };
    Parser::new().advance(&mut grid, text.as_bytes());
    grid.end_row();
    Cow::Owned(grid.text)
}

/// Whether `raw`, which begins with an escape character, ends within the escape sequence.
pub fn is_within_sequence(raw: &[u8]) -> bool {
    // A sequence that is open takes a letter in the next row; else that row shows it.
    !line(&[raw, b"\x0Cx"].concat()).ends_with('x')
}

/// Whether no control character can be in there. Chunks without an early exit are what the compiler vectorises.
fn is_plain(raw: &[u8]) -> bool {
    // 0xC2 leads U+0080 to U+009F, the control characters beyond ASCII.
    let control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7F || byte == 0xC2;
    raw.chunks(64).all(|chunk| !chunk.iter().fold(false, |found, &byte| found | control(byte)))
}

/// The row of the imagined terminal that the cursor is in, and the text of those that it has left.
#[derive(Default)]
struct Grid {
    text: String,
    /// A character without a width of its own, which sits on the one before it, has a cell as well.
    cells: Vec<char>,
    row: i64,
    column: usize,
    /// What a program saved to come back to.
    saved: (i64, usize),
    /// The line is written over from its start, so that it matters how far a tab goes.
    overwrites: bool,
}

impl Grid {
    /// What is written from here on stands in this row.
    fn move_to(&mut self, row: i64) {
        if row != self.row {
            self.row = row;
            self.end_row();
            if !self.text.is_empty() && !self.text.ends_with('\n') {
                self.text.push('\n');
            }
        }
    }

    fn start_row(&mut self, rows: i64) {
        self.move_to(self.row + rows);
        self.column = 0;
    }

    fn end_row(&mut self) {
        let shown = self.cells.iter().rposition(|&cell| cell != BLANK).map_or(0, |last| last + 1);
        for &cell in &self.cells[..shown] {
            match cell {
                BLANK => self.text.push(' '),
                SECOND => {}
                char => self.text.push(char),
            }
        }
        self.cells.clear();
    }

    fn restore(&mut self) {
        let (row, column) = self.saved;
        self.move_to(row);
        self.go(column);
    }

    fn put(&mut self, char: char) {
        if self.cells.len() <= self.column {
            self.cells.resize(self.column + 1, BLANK);
            self.cells[self.column] = char;
        } else {
            // A space over old text is how programs erase without escape sequences.
            self.cells[self.column] = if char == ' ' { BLANK } else { char };
        }
        self.column += 1;
    }

    fn go(&mut self, column: usize) {
        self.column = column.min(self.cells.len().max(COLUMNS));
    }

    fn erase(&mut self, from: usize, to: usize) {
        let cells = self.cells.iter_mut().take(to).skip(from);
        cells.for_each(|cell| *cell = BLANK);
    }
}

impl Perform for Grid {
    fn print(&mut self, char: char) {
        if char != '\x7F' {
            self.put(char);
        }
        if width(char) == 2 {
            self.put(SECOND);
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.column = 0,
            b'\x08' => self.column = self.column.saturating_sub(1),
            b'\t' if self.overwrites => self.go((self.column / 8 + 1) * 8),
            b'\t' => self.put('\t'),
            b'\x0B' | b'\x0C' => self.start_row(1),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        let mut given = params.iter().map(|param| param[0]);
        let (first, second) = (given.next().unwrap_or(0), given.next().unwrap_or(0));
        // To the other screen of the terminal and back.
        if intermediates == b"?" && matches!((action, first), ('h' | 'l', 47 | 1047 | 1049)) {
            self.start_row(1);
        }
        // With a prefix (`?`, `>`) or an intermediate the same letter means something else.
        if ignore || !intermediates.is_empty() {
            return;
        }
        let (count, rows) = (usize::from(first.max(1)), i64::from(first.max(1)));
        match (action, first) {
            ('C' | 'a', _) => self.go(self.column + count),
            ('D', _) => self.column = self.column.saturating_sub(count),
            ('G' | '`', _) => self.go(count - 1),
            ('A', _) => self.move_to(self.row - rows),
            ('B' | 'e', _) => self.move_to(self.row + rows),
            ('E', _) => self.start_row(rows),
            ('F', _) => self.start_row(-rows),
            ('d', _) => self.move_to(SCREEN + rows),
            ('H' | 'f', _) => {
                self.move_to(SCREEN + rows);
                self.go(usize::from(second.max(1)) - 1);
            }
            ('s', _) => self.saved = (self.row, self.column),
            ('u', _) => self.restore(),
            ('K' | 'J', 0) => self.cells.truncate(self.column),
            ('K', 1) => self.erase(0, self.column + 1),
            ('K', 2) => self.cells.clear(),
            ('J', 2) => {
                self.cells.clear();
                self.text.clear();
            }
            ('X', _) => self.erase(self.column, self.column + count),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _: bool, byte: u8) {
        match (intermediates, byte) {
            ([], b'7') => self.saved = (self.row, self.column),
            ([], b'8') => self.restore(),
            ([], b'D') => self.move_to(self.row + 1),
            ([], b'M') => self.move_to(self.row - 1),
            ([], b'E') => self.start_row(1),
            _ => {}
        }
    }
}

/// How many columns a character takes: none for accents, joiners and variation selectors, two for CJK and most emoji.
fn width(char: char) -> usize {
    // Nearly every character is below the first that is not one column wide, and every one passes here.
    match char {
        ..'\u{300}' => 1,
        _ => char.width().unwrap_or(1),
    }
}

#[cfg(test)]
mod tests;
