//! The table: each row has one measure, its median over all pairs, and its spread.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::server::Kind;

pub(crate) const LOSS: &str = "loss %";
pub(crate) const OFFERED: &str = "offered packets/s";
/// Measures for which a ratio has no meaning.
const WITHOUT_RATIO: [&str; 2] = [LOSS, OFFERED];

/// Samples of one measure, in the order of the pairs.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) case: &'static str,
    pub(crate) measure: &'static str,
    pub(crate) samples: BTreeMap<Kind, Vec<f64>>,
}

/// All rows, in the order of their first sample.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn add(&mut self, case: &'static str, measure: &'static str, kind: Kind, value: f64) {
        let at = self.rows.iter().position(|row| row.case == case && row.measure == measure);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Row { case, measure, samples: BTreeMap::new() });
            self.rows.len() - 1
        });
        self.rows[at].samples.entry(kind).or_default().push(value);
    }

    /// Formats the table for a terminal, or as Markdown.
    pub(crate) fn render(&self, markdown: bool) -> String {
        let mut lines = vec![["case", "measure", "castway", "coturn", "castway/coturn", "bare forward"].map(str::to_owned)];
        for row in &self.rows {
            let of = |kind| row.samples.get(&kind).map_or(&[][..], Vec::as_slice);
            // The ratio is taken within each pair, whose two runs followed each other under the same conditions.
            let ratios: Vec<f64> = of(Kind::Castway).iter().zip(of(Kind::Coturn)).map(|(ours, theirs)| ours / theirs).collect();
            let ratio = if WITHOUT_RATIO.contains(&row.measure) { "-".to_owned() } else { spread(&ratios) };
            lines.push([
                row.case.to_owned(),
                row.measure.to_owned(),
                spread(of(Kind::Castway)),
                spread(of(Kind::Coturn)),
                ratio,
                spread(of(Kind::Bare)),
            ]);
        }
        let widths: Vec<usize> =
            (0..6).map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or_default()).collect();
        let mut text = String::new();
        for (index, line) in lines.iter().enumerate() {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let cells: Vec<String> = cells.collect();
            // Writing to a string can't fail.
            let _ = if markdown {
                writeln!(text, "| {} |", cells.join(" | "))
            } else {
                writeln!(text, "{}", cells.join("  ").trim_end())
            };
            if index == 0 && markdown {
                let _ = writeln!(text, "|{}|", ["---"; 6].join("|"));
            }
        }
        text
    }
}

/// Formats `median (least–most)` with three significant digits.
fn spread(samples: &[f64]) -> String {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted[..] {
        [] => "-".to_owned(),
        [only] => number(only),
        [least, .., most] => format!("{} ({}-{})", number(median(&sorted)), number(least), number(most)),
    }
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] }
}

fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 10_000.0 => format!("{:.0} k", value / 1e3),
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
