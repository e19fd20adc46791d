//! Which installation a command finds, and what it says where it finds none.

use std::ffi::OsString;

use super::*;
use crate::cli::command_line::CommandLine;

/// A working folder and the paths of a service, all empty.
struct Machine {
    _folder: tempfile::TempDir,
    paths: StandardPaths,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let paths = StandardPaths { working_dir: at("here"), service_settings: at("etc/castway.env"), service_data: at("lib") };
        fs::create_dir(&paths.working_dir).unwrap();
        fs::create_dir(at("etc")).unwrap();
        Self { _folder: folder, paths }
    }

    fn has_data(&self, folder: &str) -> PathBuf {
        let folder = self.paths.working_dir.parent().unwrap().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("castway.db"), "x").unwrap();
        folder
    }

    fn service(&self, settings: &str) {
        fs::write(&self.paths.service_settings, settings).unwrap();
    }

    fn find(&self, line: &str) -> Result<Installation, CliError> {
        let args: Vec<_> = line.split(' ').map(OsString::from).collect();
        Installation::find(&self.paths, &CommandLine::parse(&args).unwrap().given())
    }

    fn data_dir(&self, line: &str) -> PathBuf {
        self.find(line).unwrap().data_dir
    }

    fn refusal(&self, line: &str) -> String {
        match self.find(line) {
            Err(CliError::Usage(message)) => message,
            Err(CliError::Failed(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

const LIST: &str = "castway user list";

#[test]
fn a_command_takes_the_working_folders_data_or_the_services() {
    let machine = Machine::new();
    let here = machine.paths.working_dir.join("data");
    assert_eq!(machine.data_dir(LIST), here, "where nothing is");
    machine.service("");
    assert_eq!(machine.data_dir(LIST), machine.paths.service_data, "a service that never ran");
    machine.has_data("here/data");
    assert_eq!(machine.data_dir(LIST), here, "a service without data is none");

    let machine = Machine::new();
    let lib = machine.has_data("lib");
    assert_eq!(machine.data_dir(LIST), lib, "without a file of settings");
    machine.service("CASTWAY_DATA_DIR='data of it'\n");
    let named = machine.has_data("lib/data of it");
    assert_eq!(machine.data_dir(LIST), named, "a path from the service's working folder");
}

#[test]
fn the_service_is_where_its_unit_puts_it() {
    let unit = include_str!("../../../deploy/castway.service");
    let paths = StandardPaths::of_this_machine().unwrap();
    let (settings, data) = (paths.service_settings.display(), paths.service_data.display());
    for line in [
        format!("EnvironmentFile=-{settings}"),
        format!("Environment=CASTWAY_DATA_DIR={data}"),
        format!("WorkingDirectory={data}"),
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn two_installations_are_an_error_that_names_both() {
    let machine = Machine::new();
    let (own, service) = (machine.has_data("here/data"), machine.has_data("lib"));
    let refusal = machine.refusal(LIST);
    for part in [own.to_str().unwrap(), service.to_str().unwrap(), "--data-dir DIR or CASTWAY_DATA_DIR"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert!(machine.refusal("castway health").contains("--http-addr"));
    assert_eq!(machine.data_dir("castway user list --data-dir data"), own);
    assert_eq!(machine.data_dir(&format!("castway user list --data-dir {}", service.display())), service);
    assert!(machine.find("castway health --http-addr 127.0.0.1:1").is_ok());
    fs::write(machine.paths.working_dir.join(".env"), "CASTWAY_DATA_DIR=data\n").unwrap();
    assert_eq!(machine.data_dir(LIST), own);

    let mut machine = Machine::new();
    machine.has_data("here/data");
    machine.paths.service_data.clone_from(&machine.paths.working_dir);
    machine.service(&format!("CASTWAY_DATA_DIR={}/data", machine.paths.working_dir.display()));
    assert!(machine.find(LIST).unwrap().service.is_some(), "the service's is the working folder's");
}

#[test]
fn unreadable_settings_of_the_service_are_an_error() {
    let machine = Machine::new();
    // A folder can't be read as a file, by root neither.
    fs::create_dir(&machine.paths.service_settings).unwrap();
    let refusal = machine.refusal(LIST);
    assert!(refusal.contains("castway.env, the settings of the service, can't be read"), "{refusal}");
    assert!(refusal.contains("sudo") && refusal.contains("--data-dir"), "{refusal}");
    machine.has_data("here/data");
    assert!(machine.refusal(LIST).contains("there are two installations here"));
}

#[test]
fn a_malformed_line_of_the_service_stops_no_command() {
    let machine = Machine::new();
    machine.has_data("lib");
    machine.service("CASTWAY_TTL=60\nCASTWAY_REALM two words\n");
    for line in [LIST, "castway config check", "castway doctor"] {
        let found = machine.find(line).unwrap();
        let names: Vec<_> = found.malformed_of_service().iter().map(|line| line.name.as_deref()).collect();
        assert_eq!(
            (names, found.settings().ttl.as_deref(), found.malformed()),
            (vec![Some("CASTWAY_REALM")], Some("60"), &[][..])
        );
    }
}

#[test]
fn a_line_that_cannot_be_parsed_stops_all_commands_but_those_that_examine_settings() {
    let machine = Machine::new();
    fs::write(machine.paths.working_dir.join(".env"), "CASTWAY_REALM=two words\nCASTWAY_TTL=60\nbad line\n").unwrap();
    let refusal = machine.refusal(LIST);
    assert!(refusal.contains("line 1 (the value of CASTWAY_REALM)") && refusal.contains("line 3: expected"), "{refusal}");
    for line in ["castway config check", "castway doctor"] {
        let found = machine.find(line).unwrap();
        assert_eq!((found.malformed().len(), found.given.ttl.as_deref()), (2, Some("60")), "{line}");
    }
    machine.has_data("here/data");
    machine.has_data("lib");
    let refusal = machine.refusal("castway config check");
    assert!(refusal.contains("line 3: expected") && refusal.contains("two installations"), "{refusal}");
}

#[test]
fn each_installation_has_its_own_settings() {
    let machine = Machine::new();
    fs::write(machine.paths.working_dir.join(".env"), "CASTWAY_REALM=mine\nCASTWAY_REALN=x\n").unwrap();
    let own = machine.find("castway user list --ttl 60").unwrap();
    assert_eq!((own.given.realm.as_deref(), own.given.ttl.as_deref()), (Some("mine"), Some("60")));
    assert_eq!(own.names().collect::<Vec<_>>(), ["CASTWAY_REALM", "CASTWAY_REALN"]);
    let words = own.settings_in_words(true);
    let env = machine.paths.working_dir.join(".env");
    assert_eq!(words, format!("the settings of the command line, {} and the server's last start", env.display()));

    machine.service("CASTWAY_REALM=theirs\nCASTWAY_HTTP_ADDR=127.0.0.1:1234\n");
    let by_name = machine.find(&format!("castway user list --data-dir {}", machine.has_data("lib").display())).unwrap();
    assert!(by_name.service.is_some(), "a service by the name of its folder");
    let services = machine.find("castway health").unwrap();
    assert_eq!(services.given.realm, None, "what is in the working folder's .env is not for the service");
    let config = services.without_database().unwrap();
    assert_eq!((config.relay.realm.as_str(), config.http.listen[0].addrs[0].port()), ("theirs", 1234));
    let words = services.settings_in_words(false);
    assert_eq!(words, format!("the settings of {}", machine.paths.service_settings.display()));

    machine.service("CASTWAY_STATIC_AUTH_SECRET_FILE=secrets\n");
    fs::write(machine.has_data("lib").join("secrets"), "north-0123456789\n").unwrap();
    let config = machine.find("castway health").unwrap().without_database().unwrap();
    assert_eq!(config.credentials.static_auth_secrets.len(), 1, "a path from the service's working folder");
}
