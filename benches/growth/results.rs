//! The samples by size, and the tables.

use std::fmt::Write;

use crate::measure::percentile;

/// What a number of the table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of each packet or message: nanoseconds, for p50 and p99.
    Repeated,
    /// What a bare table of this size costs, in the same unit.
    Control,
    /// Of one event: milliseconds, for the median.
    Once,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// In the order of the sizes.
    samples: Vec<Vec<f64>>,
}

impl Row {
    /// The medians in the order of the sizes.
    pub(crate) fn medians(&self) -> Vec<f64> {
        self.samples.iter().map(|samples| percentile(samples, 0.5)).collect()
    }
}

/// All rows, in the order of their first sample.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) sizes: Vec<u32>,
    pub(crate) rows: Vec<Row>,
}

impl Results {
    pub(crate) fn new(sizes: &[u32]) -> Self {
        Self { sizes: sizes.to_vec(), rows: Vec::new() }
    }

    /// Adds samples that were taken at one of the sizes.
    pub(crate) fn add(&mut self, name: &'static str, kind: Kind, size: u32, samples: Vec<f64>) {
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name, kind, samples: vec![Vec::new(); self.sizes.len()] });
            self.rows.len() - 1
        });
        let size = self.sizes.iter().position(|other| *other == size).expect("samples are of one of the sizes");
        self.rows[at].samples[size].extend(samples);
    }

    /// Formats both tables as Markdown.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let repeated = |row: &Row| row.kind != Kind::Once;
        self.table(&mut text, "ns a call: p50 (p99)", repeated, |samples| {
            format!("{:.0} ({:.0})", percentile(samples, 0.5), percentile(samples, 0.99))
        });
        text.push('\n');
        let once = |row: &Row| row.kind == Kind::Once;
        self.table(&mut text, "ms once: median", once, |samples| format!("{:.3}", percentile(samples, 0.5)));
        text
    }

    fn table(&self, text: &mut String, title: &str, wanted: impl Fn(&Row) -> bool, cell: impl Fn(&[f64]) -> String) {
        let sizes: Vec<String> = self.sizes.iter().map(|size| format!("at {size}")).collect();
        // Writing to a string can't fail.
        let _ = writeln!(text, "| {title} | {} | last / first |", sizes.join(" | "));
        let _ = writeln!(text, "|---{}|---|", "|---".repeat(sizes.len()));
        for row in self.rows.iter().filter(|row| wanted(row)) {
            let cells: Vec<String> = row.samples.iter().map(|samples| cell(samples)).collect();
            let medians = row.medians();
            let growth = medians.last().zip(medians.first()).map_or(f64::NAN, |(last, first)| last / first);
            let _ = writeln!(text, "| {} | {} | {growth:.2} |", row.name, cells.join(" | "));
        }
    }
}
