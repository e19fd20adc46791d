//! Tables of text: as wide as needed, or fitted into a terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::escape::printable_part;

/// Columns between two cells.
const GAP: usize = 2;

/// The heading of a column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    /// Cells are shortened to this width at most. A column of numbers or ids has `usize::MAX`, since a part of them says nothing.
    pub(super) least: usize,
}

impl Column {
    /// Its cells are never shortened.
    pub(super) const fn whole(heading: &'static str) -> Self {
        Self { heading, least: usize::MAX }
    }

    /// Its cells may be shortened.
    pub(super) const fn text(heading: &'static str, least: usize) -> Self {
        Self { heading, least }
    }
}

/// Rows below headings, in columns as wide as their longest cell.
pub(super) fn table<const N: usize>(headings: [&'static str; N], rows: &[[String; N]]) -> String {
    fitted_table(headings.map(Column::whole), rows, usize::MAX)
}

/// The same in lines of at most `width` columns: the widest cells are shortened.
pub(super) fn fitted_table<const N: usize>(columns: [Column; N], rows: &[[String; N]], width: usize) -> String {
    let headings = columns.map(|column| column.heading.to_owned());
    let lines: Vec<[String; N]> =
        [&headings].into_iter().chain(rows).map(|row| row.each_ref().map(|cell| printable_part(cell))).collect();
    let mut widths: [usize; N] = std::array::from_fn(|column| lines.iter().map(|cells| cells[column].width()).max().unwrap_or(0));
    while widths.iter().sum::<usize>() + GAP * (N - 1) > width {
        let can_shrink = (0..N).filter(|column| widths[*column] > columns[*column].least.max(columns[*column].heading.len()));
        let Some(widest) = can_shrink.max_by_key(|column| widths[*column]) else { break };
        widths[widest] -= 1;
    }
    let line = |cells: &[String; N]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let cell = shortened(cell, width);
            let padding = width.saturating_sub(cell.width()) + GAP;
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', padding));
        }
        line.trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The beginning of a text that takes at most `width` columns, with an ellipsis where something is left out.
pub(super) fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |character: &char| {
        let width = character.width().unwrap_or(0);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// Text in lines of at most `columns`; a longer word has a line of its own.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.width() + 1 + word.width() > columns {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_needed_and_wide_characters_count_as_two() {
        let rows = [["alice".to_owned(), "x".to_owned()], ["李小龙".to_owned(), "y".to_owned()]];
        assert_eq!(table(["N", "STATE"], &rows), "N       STATE\nalice   x\n李小龙  y");
        assert_eq!(table(["N"], &[["a\nb\x1b".to_owned()]]), "N\na\\u{a}b\\u{1b}");
    }

    #[test]
    fn cells_are_shortened_until_a_line_fits() {
        let columns = [Column::whole("ID"), Column::text("NAME", 4), Column::text("TV", 4)];
        let row = ["cast-1".to_owned(), "客厅的电视机在这里".to_owned(), "short".to_owned()];
        assert_eq!(fitted_table(columns, std::slice::from_ref(&row), 24), "ID      NAME       TV\ncast-1  客厅的电…  short");
        let narrow = fitted_table(columns, &[row], 4);
        assert!(narrow.ends_with("cast-1  客…   sho…"), "ids stay whole: {narrow}");
    }

    #[test]
    fn a_text_of_marks_is_no_wider_than_its_column() {
        let text = "\u{301}a".repeat(50);
        assert_eq!(shortened(&text, 10).width(), 10);
    }
}
