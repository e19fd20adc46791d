//! The table: each row has one measure, its median over all pairs, and its spread.

use std::fmt::Write;

/// A measured server, which has columns of its own.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// The program and its version.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Its packages with their versions, or its options.
    pub(crate) details: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Castway,
    /// Its column is followed by one of Castway's ratios to it.
    Opponent,
    /// What is possible at best.
    Limit,
}

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
    servers: Vec<Column>,
    rows: Vec<Row>,
    /// Measures for which a ratio has no meaning, or that may be 0.
    without_ratio: &'static [&'static str],
}

impl Report {
    pub(crate) fn new(servers: Vec<Column>, without_ratio: &'static [&'static str]) -> Self {
        Self { servers, rows: Vec::new(), without_ratio }
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

    /// Formats the list of servers and the table as Markdown. Each opponent is followed by Castway's ratio to it.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for Column { name, details, .. } in &self.servers {
            // Writing to a string can't fail.
            let _ = writeln!(text, "- {name}{}{details}", if details.is_empty() { "" } else { ": " });
        }
        text.push('\n');
        let castway = self.servers.iter().position(|server| server.role == Role::Castway);
        let mut lines = vec![vec!["case".to_owned(), "measure".to_owned()]];
        for server in &self.servers {
            lines[0].push(server.name.clone());
            if server.role == Role::Opponent {
                lines[0].push(format!("castway/{}", server.name));
            }
        }
        for row in &self.rows {
            let mut line = vec![row.case.to_owned(), row.measure.to_owned()];
            let ours = castway.map_or(&[][..], |castway| &row.samples[castway]);
            for (server, theirs) in self.servers.iter().zip(&row.samples) {
                line.push(spread(theirs));
                if server.role == Role::Opponent {
                    // The ratio is taken within each pair, whose runs followed each other under the same conditions.
                    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
                    line.push(if self.without_ratio.contains(&row.measure) { "-".to_owned() } else { spread(&ratios) });
                }
            }
            lines.push(line);
        }
        let widths: Vec<usize> =
            (0..lines[0].len()).map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or_default()).collect();
        for (index, line) in lines.iter().enumerate() {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let cells: Vec<String> = cells.collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
            if index == 0 {
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
