//! One raw line as a terminal would show it.

mod stroke;

use std::borrow::Cow;

pub(crate) use stroke::Stroke;
use unicode_width::UnicodeWidthChar;
use vte::{Params, Parser, Perform};

/// The width of the imagined terminal. It bounds what a short escape sequence can ask for, not the length of a line.
const COLUMNS: usize = 512;

/// How far apart the tab stops are.
const TAB: usize = 8;

/// A cell nothing stands in. At the end of a line it is not shown, before that it is a space.
const BLANK: char = '\0';

/// The second cell of a wide character.
const SECOND: char = '\u{1}';

/// Renders one raw line, with or without its newline: text without control characters other than the tab.
///
/// Bytes that are no UTF-8 become U+FFFD. Colours, links, titles and modes vanish; what moves the cursor within the
/// line or erases part of it acts; what would leave the line is ignored.
pub(crate) fn line(raw: &[u8]) -> Cow<'_, str> {
    let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
    // A carriage return with nothing behind it changes nothing, and `\r\n` is the commonest one.
    let end = raw
        .iter()
        .rposition(|&byte| byte != b'\r')
        .map_or(0, |last| last + 1);
    let raw = &raw[..end];
    // Decoded before it is parsed: the parser by itself takes a stray byte from 0x80 to 0x9F for a control character
    // and drops it, where Windows-1252 has letters.
    let text = match str::from_utf8(raw) {
        Ok(text) if is_plain(raw) => return Cow::Borrowed(text),
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(raw),
    };
    let mut grid = Grid {
        cells: Vec::with_capacity(text.len()),
        column: 0,
        overwrites: raw.contains(&b'\r'),
    };
    Parser::new().advance(&mut grid, text.as_bytes());
    Cow::Owned(grid.text())
}

/// Whether `raw` ends within an escape sequence.
pub(crate) fn is_within_sequence(raw: &[u8]) -> bool {
    /// Whether the last byte was shown.
    struct Shown(bool);

    impl Perform for Shown {
        fn print(&mut self, _: char) {
            self.0 = true;
        }
    }

    // The parser does not tell its state, but it shows a letter only where no sequence is open.
    let mut shown = Shown(false);
    let mut parser = Parser::new();
    parser.advance(&mut shown, raw);
    shown.0 = false;
    parser.advance(&mut shown, b"x");
    !shown.0
}

/// Whether no control character can be in there. Chunks without an early exit are what the compiler vectorises.
fn is_plain(raw: &[u8]) -> bool {
    // 0xC2 leads U+0080 to U+009F, the control characters beyond ASCII.
    let control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7F || byte == 0xC2;
    raw.chunks(64).all(|chunk| {
        !chunk
            .iter()
            .fold(false, |found, &byte| found | control(byte))
    })
}

/// The one row of the imagined terminal.
struct Grid {
    cells: Vec<Cell>,
    column: usize,
    /// The line is written over from its start, so that it matters how far a tab goes.
    overwrites: bool,
}

#[derive(Clone, Copy)]
struct Cell {
    base: char,
    /// What has no width of its own and sits on `base`; a second one takes the next cell, which shows the same.
    mark: Option<char>,
}

impl Cell {
    fn new(base: char) -> Self {
        Self { base, mark: None }
    }
}

impl Grid {
    fn text(self) -> String {
        let shown = (0..self.cells.len())
            .rposition(|column| !self.is_blank(column))
            .map_or(0, |last| last + 1);
        let mut text = String::with_capacity(shown);
        for (column, cell) in self.cells[..shown].iter().enumerate() {
            match cell.base {
                _ if self.is_blank(column) => text.push(' '),
                SECOND => {}
                base => text.push(base),
            }
            if let Some(mark) = cell.mark {
                text.push(mark);
            }
        }
        text
    }

    /// Whether nothing stands there, which half of a wide character is as well.
    fn is_blank(&self, column: usize) -> bool {
        match self.cells[column].base {
            BLANK => true,
            SECOND => column == 0 || width(self.cells[column - 1].base) != 2,
            base => width(base) == 2 && !self.is_second(column + 1),
        }
    }

    fn is_second(&self, column: usize) -> bool {
        let cell = self.cells.get(column);
        cell.is_some_and(|cell| cell.base == SECOND)
    }

    fn put(&mut self, base: char) {
        match self.cells.get_mut(self.column) {
            // A space over old text is how programs erase without escape sequences.
            Some(cell) => *cell = Cell::new(if base == ' ' { BLANK } else { base }),
            None => {
                self.cells.resize(self.column, Cell::new(BLANK));
                self.cells.push(Cell::new(base));
            }
        }
        self.column += 1;
    }

    fn go(&mut self, column: usize) {
        self.column = column.min(self.cells.len().max(COLUMNS));
    }

    fn erase(&mut self, from: usize, to: usize) {
        let to = to.min(self.cells.len());
        if let Some(cells) = self.cells.get_mut(from..to) {
            cells.fill(Cell::new(BLANK));
        }
    }

    fn delete(&mut self, count: usize) {
        let to = (self.column + count).min(self.cells.len());
        if self.shifts() && self.column < to {
            self.cells.drain(self.column..to);
        }
    }

    fn insert(&mut self, count: usize) {
        if self.shifts() && self.column < self.cells.len() {
            let count = count.min(COLUMNS - self.cells.len());
            let blanks = std::iter::repeat_n(Cell::new(BLANK), count);
            self.cells.splice(self.column..self.column, blanks);
        }
    }

    /// Longer lines are not shifted: thousands of sequences in one of 64 KiB would take seconds.
    fn shifts(&self) -> bool {
        self.cells.len() <= COLUMNS
    }
}

impl Perform for Grid {
    fn print(&mut self, char: char) {
        match char {
            '\x7F' => {}
            mark if width(mark) == 0 => {
                let before = self.column.checked_sub(1);
                let base = before.map(|column| column - usize::from(self.is_second(column)));
                match base.and_then(|column| self.cells.get_mut(column)) {
                    Some(cell) if cell.mark.is_none() && cell.base != BLANK => {
                        cell.mark = Some(mark);
                    }
                    _ => self.put(mark),
                }
            }
            base => {
                self.put(base);
                if width(base) == 2 {
                    self.put(SECOND);
                }
            }
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.column = 0,
            b'\x08' => self.column = self.column.saturating_sub(1),
            b'\t' if self.overwrites => self.column = (self.column / TAB + 1) * TAB,
            b'\t' => self.put('\t'),
            // What follows stands below and beside, on a page or a line of its own: apart in any case.
            b'\x0B' | b'\x0C' if self.column > 0 => self.column += 1,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        // With a prefix (`?`, `>`) or an intermediate the same letter means something else.
        if ignore || !intermediates.is_empty() {
            return;
        }
        let given = params
            .iter()
            .next()
            .map_or(0, |param| usize::from(param[0]));
        let count = given.max(1);
        match (action, given) {
            ('C', _) => self.go(self.column + count),
            ('D', _) => self.column = self.column.saturating_sub(count),
            ('G' | '`', _) => self.go(count - 1),
            // Erasing the screen from the cursor on includes the rest of this line.
            ('K' | 'J', 0) => self.cells.truncate(self.column),
            ('K', 1) => self.erase(0, self.column + 1),
            ('K' | 'J', 2) => self.cells.clear(),
            // The first column of another line; of this one where nothing is left of it.
            ('H' | 'f', _) if self.cells.is_empty() => self.column = 0,
            ('X', _) => self.erase(self.column, self.column + count),
            ('P', _) => self.delete(count),
            ('@', _) => self.insert(count),
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
