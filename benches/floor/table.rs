//! Measured values, and the table of them at the end, in Markdown.

use std::fmt;
use std::time::Duration;

/// Values of one kind, in any order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// In microseconds.
    pub(crate) fn push_time(&mut self, time: Duration) {
        self.push(time.as_secs_f64() * 1e6);
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

/// Rows in the order in which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<[String; 5]>);

impl Table {
    /// A figure beside its floor; the target is of their ratio, or of what is more than the floor.
    pub(crate) fn ratio(&mut self, what: &str, figure: f64, floor: f64, unit: &str, target: &str) {
        let ratio = format!("{:.2} ×", figure / floor);
        self.add([what, &number(figure, unit), &number(floor, unit), &ratio, target]);
    }

    /// A figure whose target is of itself.
    pub(crate) fn value(&mut self, what: &str, figure: f64, unit: &str, target: &str) {
        self.add([what, &number(figure, unit), "", "", target]);
    }

    fn add(&mut self, row: [&str; 5]) {
        eprintln!("  {}", row.join(" | "));
        self.0.push(row.map(str::to_owned));
    }
}

fn number(value: f64, unit: &str) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0} {unit}"),
        10.0.. => format!("{value:.1} {unit}"),
        _ => format!("{value:.2} {unit}"),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | server | floor | ratio | to reach |\n|---|---|---|---|---|")?;
        self.0.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}
