//! [`Findings`] as text.

use std::fmt::Write as _;

use super::findings::{Difference, Finding, Findings, FoundSetting};
use crate::cli::sources::Origin;
use crate::cli::table::{Column, fitted_table};
use crate::config::NOT_SHOWN;

/// The text, without its last line end.
pub(super) fn of(findings: &Findings, all: bool, width: usize) -> String {
    let mut text = format!("Checked {}.\nThe data folder is {}.\n", findings.from, findings.data_dir.display());
    list(&mut text, "Problems that keep a server from starting", &findings.problems);
    list(&mut text, "Warnings", &findings.warnings);
    settings(&mut text, &findings.settings, all, width);
    server(&mut text, findings, width);
    let _ = match (findings.problems.len(), findings.warnings.len()) {
        (0, 0) => write!(text, "\nThe settings can be used."),
        (0, _) => write!(text, "\nThe settings can be used. Look at the warnings."),
        _ => write!(text, "\nThe settings can't be used."),
    };
    text
}

fn list(text: &mut String, heading: &str, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{heading}:");
    for finding in findings {
        let origin = finding.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        let _ = writeln!(text, "  {}{origin}", finding.text);
    }
}

fn settings(text: &mut String, settings: &[FoundSetting], all: bool, width: usize) {
    let (shown, others): (Vec<_>, Vec<_>) = settings.iter().partition(|found| all || found.origin.is_some());
    let row = |found: &&FoundSetting| {
        let row = &found.row;
        let value = match (&row.value, &row.default) {
            (Some(_), _) if row.secret => NOT_SHOWN,
            (Some(value), _) | (None, Some(value)) => value,
            (None, None) => "",
        };
        let origin = found.origin.as_ref().map_or_else(|| "default".to_owned(), Origin::to_string);
        let hidden = found.hidden.iter().map(|hidden| format!("; not {hidden}")).collect::<String>();
        [row.name.clone(), value.to_owned(), format!("{origin}{hidden}")]
    };
    text.push('\n');
    if !shown.is_empty() {
        let columns = [Column::whole("SETTING"), Column::text("VALUE", 20), Column::whole("FROM")];
        let _ = writeln!(text, "{}", fitted_table(columns, &shown.iter().map(row).collect::<Vec<_>>(), width));
    }
    if !others.is_empty() {
        let have = if others.len() == 1 { "setting has its default" } else { "settings have their defaults" };
        let _ = writeln!(text, "{} {have}, which --all shows.", others.len());
    }
}

fn server(text: &mut String, findings: &Findings, width: usize) {
    let server = &findings.server;
    let _ = match server.runs {
        None => {
            let why = server.unknown_because.as_deref().unwrap_or_default();
            writeln!(text, "\nWhether a server runs with this data folder can't be found out: {why}.")
        }
        Some(false) => writeln!(text, "\nNo server runs with this data folder."),
        Some(true) if server.differences.is_empty() => {
            writeln!(text, "\nThe server that runs with this data folder was started with the same settings, apart from secrets.")
        }
        Some(true) => {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "default".to_owned());
            let row = |found: &Difference| [found.name.clone(), shown(&found.here), shown(&found.running)];
            let columns = [Column::whole("SETTING"), Column::text("HERE", 10), Column::text("RUNNING", 10)];
            let rows: Vec<_> = server.differences.iter().map(row).collect();
            let table = fitted_table(columns, &rows, width);
            writeln!(text, "\nThe server that runs with this data folder was started with other settings:\n{table}")
        }
    };
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::super::findings::ServerFindings;
    use super::*;
    use crate::config::SettingRow;

    fn setting(name: &str, value: Option<&str>, default: Option<&str>, origin: Option<Origin>) -> FoundSetting {
        let text = |text: &str| text.to_owned();
        let row =
            SettingRow { name: text(name), value: value.map(text), default: default.map(text), secret: name.contains("KEYS") };
        FoundSetting { row, origin, hidden: Vec::new() }
    }

    #[test]
    fn the_text_says_what_counts_and_where_it_came_from() {
        let at = |line| Some(Origin::File { file: ".env".into(), line });
        let findings = Findings {
            ok: false,
            from: "the settings of .env".to_owned(),
            data_dir: "/srv/data".into(),
            problems: vec![Finding { text: "CASTWAY_GRACE=\"soon\": expected a number".to_owned(), origin: at(3) }],
            settings: vec![
                setting("CASTWAY_GRACE", Some("soon"), Some("60"), at(3)),
                setting("CASTWAY_API_KEYS", Some("set"), None, Some(Origin::Environment)),
                setting("CASTWAY_REALM", None, Some("castway"), None),
            ],
            server: ServerFindings {
                runs: Some(true),
                differences: vec![Difference { name: "CASTWAY_GRACE".to_owned(), here: None, running: Some("7".to_owned()) }],
                ..ServerFindings::default()
            },
            ..Findings::default()
        };
        let text = of(&findings, false, 80);
        for part in [
            "  CASTWAY_GRACE=\"soon\": expected a number (.env, line 3)",
            "CASTWAY_API_KEYS  (not shown)  environment",
            "1 setting has its default",
            "CASTWAY_GRACE  default  7",
            "The settings can't be used.",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("CASTWAY_REALM") && of(&findings, true, 80).contains("CASTWAY_REALM     castway"), "{text}");
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    }
}
