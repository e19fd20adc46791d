//! The value of a setting as a file has it that this server, systemd (`EnvironmentFile=`) and Docker Compose (`.env`) read.

/// Why a value is left to the operator.
pub(super) const BY_HAND: &str = "The value has a line break or another control character, which no file of settings holds: choose another value, \
                                  or set the variable in the environment of the server.";

/// The text behind `NAME=`, which each of the three reads as `value`; `None`: no text is that.
///
/// Between single quotes, each of them takes all characters for themselves, except that Compose sees an escape in `\'`. Between double quotes
/// a backslash in front of `"`, `\` and `$` goes away in each of them, and `.env` allows it in front of no backtick.
pub(super) fn written(value: &str) -> Option<String> {
    let is_plain = |character: char| character.is_alphanumeric() || "_.,:/[]@%+=-".contains(character);
    if value.contains(char::is_control) {
        None
    } else if value.chars().all(is_plain) {
        Some(value.to_owned())
    } else if value.contains(['\'', '\\']) {
        let mut text = "\"".to_owned();
        for character in value.chars() {
            if matches!(character, '"' | '\\' | '$') {
                text.push('\\');
            }
            text.push(character);
        }
        Some(text + "\"")
    } else {
        Some(format!("'{value}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{env_file, systemd_env_file};

    /// What Compose makes of a line, by its rules: a backslash keeps a quote from ending the value, and `$$` stands for `$`.
    fn composed(text: &str) -> String {
        let Some(quote) = text.chars().next().filter(|first| "'\"".contains(*first)) else {
            assert!(!text.contains(['$', '#', '\'', '"', '\\', ' ']), "{text}");
            return text.to_owned();
        };
        let (mut inner, mut rest) = (String::new(), text[1..].chars());
        loop {
            match rest.next().expect("the quote has a partner") {
                '\\' => match rest.next().expect("something is behind a backslash") {
                    escaped if escaped == quote => inner.push(escaped),
                    other => inner.extend(['\\', other]),
                },
                end if end == quote => break,
                other => inner.push(other),
            }
        }
        assert_eq!(rest.as_str(), "", "{text}");
        if quote == '\'' {
            return inner;
        }
        let (mut value, mut rest) = (String::new(), inner.chars());
        while let Some(character) = rest.next() {
            value.push(match character {
                '\\' => rest.next().filter(|escaped| "\\$".contains(*escaped)).expect("only these are escaped"),
                '$' => panic!("a variable is expanded in {text}"),
                other => other,
            });
        }
        value
    }

    #[test]
    fn every_reader_reads_the_same_value() {
        let printable = || (' '..='~').map(String::from);
        let mut values: Vec<String> =
            printable().chain(printable().flat_map(|one| printable().map(move |two| one.clone() + &two))).collect();
        assert_eq!(values.len(), 95 + 95 * 95);
        // Where the second character has a neighbour on each side, and where blanks are at no end.
        values.extend(printable().flat_map(|one| printable().map(move |two| format!("a{one}{two}b"))));
        values.extend(
            [
                "",
                "it's a `trap` for $HOME \"and\" \\n",
                "'`$\"\\",
                "\\\\\\",
                "''",
                "\\'",
                "${HOME}",
                "$(id)",
                "日本 ’x’",
                "x #y",
                " é ",
            ]
            .map(str::to_owned),
        );
        let mut text = String::new();
        for (index, value) in values.iter().enumerate() {
            let written = written(value).expect("printable characters can be written");
            assert_eq!(composed(&written), *value, "Compose reads {written}");
            text.push_str(&format!("V{index}={written}\n"));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("castway.env");
        std::fs::write(&path, &text).unwrap();
        let own = env_file::read(&path).unwrap();
        assert_eq!(own.malformed, []);
        let mut of_service = systemd_env_file::variables(&text);
        of_service.reverse();
        for read in [own.variables, of_service] {
            assert_eq!(read.len(), values.len());
            for (index, (variable, value)) in read.iter().zip(&values).enumerate() {
                assert_eq!((&variable.name, &variable.value), (&format!("V{index}"), value));
            }
        }
    }

    #[test]
    fn what_no_reader_reads_alike_is_not_written() {
        for value in ["a\nb", "a\r", "\0", "\t", "a\u{1b}[2J", "\u{85}", "\u{7f}"] {
            assert_eq!(written(value), None, "{value:?}");
        }
    }
}
