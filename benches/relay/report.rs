//! The table: each row has one measure, its median over all pairs, and its spread.

use std::fmt::Write;

use crate::server::{Candidate, Program};

pub(crate) const LOSS: &str = "loss %";
pub(crate) const OFFERED: &str = "offered packets/s";
pub(crate) const KERNEL_KB: &str = "kB each in the kernel";
/// Measures for which a ratio has no meaning, or that may be 0.
const WITHOUT_RATIO: [&str; 3] = [LOSS, OFFERED, KERNEL_KB];

/// Samples of one measure: for each server, in the order of the pairs.
#[derive(Debug, Clone)]
struct Row {
    case: &'static str,
    measure: &'static str,
    samples: Vec<Vec<f64>>,
}

/// All rows, in the order of their first sample.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    servers: Vec<Candidate>,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(servers: Vec<Candidate>) -> Self {
        Self { servers, rows: Vec::new() }
    }

    /// Adds a sample of the server with the index `server`.
    pub(crate) fn add(&mut self, case: &'static str, measure: &'static str, server: usize, value: f64) {
        let at = self.rows.iter().position(|row| row.case == case && row.measure == measure);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Row { case, measure, samples: vec![Vec::new(); self.servers.len()] });
            self.rows.len() - 1
        });
        self.rows[at].samples[server].push(value);
    }

    /// Formats the table for a terminal, or as Markdown. Each turnserver is followed by Castway's ratio to it.
    pub(crate) fn render(&self, markdown: bool) -> String {
        let castway = self.servers.iter().position(|server| matches!(server.program, Program::Castway));
        let mut lines = vec![vec!["case".to_owned(), "measure".to_owned()]];
        for server in &self.servers {
            lines[0].push(server.name.clone());
            if matches!(server.program, Program::Turnserver { .. }) {
                lines[0].push(format!("castway/{}", server.name));
            }
        }
        for row in &self.rows {
            let mut line = vec![row.case.to_owned(), row.measure.to_owned()];
            let ours = castway.map_or(&[][..], |castway| &row.samples[castway]);
            for (server, theirs) in self.servers.iter().zip(&row.samples) {
                line.push(spread(theirs));
                if matches!(server.program, Program::Turnserver { .. }) {
                    // The ratio is taken within each pair, whose runs followed each other under the same conditions.
                    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
                    line.push(if WITHOUT_RATIO.contains(&row.measure) { "-".to_owned() } else { spread(&ratios) });
                }
            }
            lines.push(line);
        }
        let widths: Vec<usize> =
            (0..lines[0].len()).map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or_default()).collect();
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
                let _ = writeln!(text, "|{}|", vec!["---"; widths.len()].join("|"));
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
