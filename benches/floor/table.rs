//! The table at the end, in Markdown.

use std::fmt;

/// Rows in the order in which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<[String; 5]>);

impl Table {
    /// A figure beside its floor; the target is of their ratio.
    pub(crate) fn ratio(&mut self, what: &str, figure: f64, floor: f64, unit: &str, target: &str) {
        self.add(
            what,
            &format!("{} {unit}", number(figure)),
            &format!("{} {unit}", number(floor)),
            &format!("{:.2} ×", figure / floor),
            target,
        );
    }

    /// A figure whose target is of itself.
    pub(crate) fn value(&mut self, what: &str, figure: f64, unit: &str, target: &str) {
        self.add(what, &format!("{} {unit}", number(figure)), "", "", target);
    }

    fn add(&mut self, what: &str, figure: &str, floor: &str, ratio: &str, target: &str) {
        let row = [what, figure, floor, ratio, target].map(str::to_owned);
        eprintln!("  {}", row.join(" | "));
        self.0.push(row);
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "server", "floor", "ratio", "to reach"].map(str::to_owned);
        let mut widths = [0; 5];
        for row in self.0.iter().chain([&head]) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &[String; 5]| {
            let cells = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!(" {cell:width$} |"));
            format!("|{}", cells.collect::<String>())
        };
        writeln!(f, "{}", line(&head))?;
        writeln!(
            f,
            "|{}",
            widths.map(|width| "-".repeat(width + 2) + "|").concat()
        )?;
        self.0
            .iter()
            .try_for_each(|row| writeln!(f, "{}", line(row)))
    }
}
