//! `docs/settings.md` and `docs/zh/settings.md` are made from the code: `UPDATE_DOCS=1 cargo test --test it settings_document` writes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use castway::cli::{COTURN_OPTIONS, Counterpart, SettingHelp, setting_help, variables};
use castway::config::{COMPUTED_DEFAULTS, ComputedDefault, SETTING_GROUPS, SettingGroup, Settings, variable_of};

/// The sentences around the tables.
struct Language {
    file: &'static str,
    introduction: &'static str,
    columns: [&'static str; 5],
    computed: fn(&ComputedDefault) -> &'static str,
    heading: fn(&SettingGroup) -> &'static str,
}

const ENGLISH: Language = Language {
    file: "docs/settings.md",
    introduction: "\
# Settings

<!-- Made from the code: UPDATE_DOCS=1 cargo test --test it settings_document -->

Castway runs without any setting. Each setting has three forms; the first of these that is set wins:

1. a flag: `castway --turn-addr 0.0.0.0:3478`; a setting that is true or false needs no value: `castway --no-tls`
2. a variable of the environment: `CASTWAY_TURN_ADDR=0.0.0.0:3478`
3. a line in a file: `.env` of the folder in which the server is started, or `/etc/castway/castway.env` of the service

The name of the flag is that of the variable in small letters, with hyphens and without `CASTWAY_`. An empty value counts as not set. A
server that meets a value that it can't use does not start, and says for each such setting what it expects.

`castway config check` shows the values in force and where each came from. It finds misspelt names, settings that contradict each other and
settings that have no effect, and starts nothing. Secrets can come from a file: `…_FILE` names it.

The last column is the option of coturn's `turnserver` with the same purpose; [From coturn](coturn.md) says how `castway import coturn`
translates a `turnserver.conf`.
",
    columns: ["Setting", "Value", "Default", "What it does", "coturn"],
    computed: |default| default.text,
    heading: |group| group.heading,
};

const CHINESE: Language = Language {
    file: "docs/zh/settings.md",
    introduction: "\
# 设置

<!-- Made from the code: UPDATE_DOCS=1 cargo test --test it settings_document -->

Castway 不需要任何设置就能运行。每项设置有三种写法，同时存在时，排在前面的优先：

1. 命令行参数：`castway --turn-addr 0.0.0.0:3478`；取值为 true 或 false 的参数可以省略值：`castway --no-tls`
2. 环境变量：`CASTWAY_TURN_ADDR=0.0.0.0:3478`
3. 文件中的一行：启动服务器的目录下的 `.env`，或者系统服务使用的 `/etc/castway/castway.env`

参数名就是变量名去掉 `CASTWAY_`、改为小写、下划线换成连字符。空值等于没有设置。如果有无法使用的值，服务器不会启动，并逐项说明应该怎样写。

`castway config check` 显示实际生效的值以及每个值的来源，并找出拼错的名字、互相矛盾的设置和不起作用的设置；它不会启动任何东西。密钥可以放在文件里，由 `…_FILE` 指定。

最后一列是 coturn 的 `turnserver` 中用途相同的选项；`castway import coturn` 如何转换 `turnserver.conf`，见[从 coturn 迁移](coturn.md)。
",
    columns: ["设置", "值", "默认值", "作用", "coturn"],
    computed: |default| default.text_zh,
    heading: |group| group.heading_zh,
};

#[test]
fn the_english_document_is_that_of_the_code() {
    let texts = setting_help().into_iter().map(|help| (variable_of(&help.field), help.text)).collect();
    compare(&ENGLISH, &texts);
}

#[test]
fn the_chinese_document_is_that_of_the_code() {
    let texts = fs::read_to_string(root().join("docs/zh/settings-text.json")).unwrap();
    let texts: BTreeMap<String, String> = serde_json::from_str(&texts).unwrap();
    let missing: Vec<_> = variables().into_iter().filter(|name| !texts.contains_key(name)).collect();
    assert!(missing.is_empty(), "docs/zh/settings-text.json lacks {missing:?}");
    let unknown: Vec<_> = texts.keys().filter(|name| !variables().contains(name)).collect();
    assert!(unknown.is_empty(), "docs/zh/settings-text.json names {unknown:?}, which are no settings");
    compare(&CHINESE, &texts);
}

#[test]
fn every_option_of_coturn_becomes_a_setting_that_exists() {
    let known = variables();
    for option in COTURN_OPTIONS {
        if let Some(variable) = variable(&option.becomes) {
            assert!(known.iter().any(|known| known == variable), "{} becomes {variable}", option.name);
        }
    }
}

fn compare(language: &Language, texts: &BTreeMap<String, String>) {
    let (path, made) = (root().join(language.file), document(language, texts));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    let differs = written.lines().zip(made.lines()).find(|(written, made)| written != made);
    assert!(
        written == made,
        "{}: UPDATE_DOCS=1 cargo test --test it settings_document writes it anew: {differs:?}",
        language.file
    );
}

fn document(language: &Language, texts: &BTreeMap<String, String>) -> String {
    let defaults: BTreeMap<_, _> = Settings::defaults().set_fields().collect();
    let help: BTreeMap<_, _> = setting_help().into_iter().map(|help| (help.field.clone(), help)).collect();
    let mut document = language.introduction.to_owned();
    for group in &SETTING_GROUPS {
        let _ = writeln!(
            document,
            "\n## {}\n\n| {} |\n|---|---|---|---|---|",
            (language.heading)(group),
            language.columns.join(" | ")
        );
        for field in group.fields {
            let variable = variable_of(field);
            let computed = COMPUTED_DEFAULTS.iter().find(|computed| computed.field == *field).map(language.computed);
            let default = defaults.get(*field).map(|default| format!("`{default}`"));
            let default = default.or(computed.map(str::to_owned)).unwrap_or_default();
            let text = cell(texts.get(&variable).map(String::as_str).unwrap_or_default());
            let SettingHelp { value, .. } = &help[*field];
            let value = if value == "BOOL" { "true, false".to_owned() } else { value.to_lowercase() };
            let _ = writeln!(document, "| `{variable}` | {value} | {default} | {text} | {} |", coturn(&variable));
        }
    }
    document.lines().fold(String::new(), |text, line| text + line.replace("  ", " ").trim_end() + "\n")
}

/// The options of coturn that become the setting.
fn coturn(setting: &str) -> String {
    let options = COTURN_OPTIONS.iter().filter(|option| variable(&option.becomes) == Some(setting));
    options.map(|option| format!("`{}`", option.name)).collect::<Vec<_>>().join(", ")
}

fn variable(becomes: &Counterpart) -> Option<&'static str> {
    match becomes {
        Counterpart::Setting(variable) | Counterpart::ByHand(variable, _) => Some(variable),
        Counterpart::Users(_) | Counterpart::Always(_) | Counterpart::None(_) => None,
    }
}

/// A text as the cell of a table, with what is to be typed in the type of code.
fn cell(text: &str) -> String {
    let words = text.replace('|', "\\|");
    let words = words.split(' ').map(|word| {
        let bare = word.trim_matches([',', ';', ':', '.', '(', ')']);
        let is_code = !word.contains('`')
            && (bare.starts_with("CASTWAY_") || bare.contains("://") || bare.contains('*') || bare.contains("[:"));
        let is_ascii = bare.is_ascii() && !bare.is_empty();
        if is_code && is_ascii { word.replacen(bare, &format!("`{bare}`"), 1) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
