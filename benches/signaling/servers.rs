//! The compared servers: Castway, and Socket.IO on Node and on Bun.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::ClientConfig;
use tempfile::TempDir;

use crate::support::certificate::Certificate;
use crate::support::process::{Cpus, Process};
use crate::support::report::{Column, Role};
use crate::support::turn_client::{self, REALM, User};

/// The folder of the opponents' programs; `npm ci` there installs them.
const OPPONENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/signaling/servers");
const SECRET: &str = "a secret of the benchmark";
/// More rooms and allocations than any case makes.
const MAX_CLIENTS: &str = "100000";
const READY_SECONDS: u64 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Castway,
    Node,
    Bun,
}

/// What a server is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Cast,
    CastOverTls,
    /// The cast flow, and a relay whose credentials this bench can sign.
    RelayedCast,
    AppRtc,
    MultiConnection,
}

impl Program {
    pub(crate) const ALL: [Self; 3] = [Self::Castway, Self::Node, Self::Bun];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Castway => "castway",
            Self::Node => "node",
            Self::Bun => "bun",
        }
    }

    /// Whether the program has a server for this.
    pub(crate) fn runs(self, service: Service) -> bool {
        match service {
            Service::Cast | Service::CastOverTls => true,
            Service::MultiConnection => self != Self::Bun,
            Service::RelayedCast | Service::AppRtc => self == Self::Castway,
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        self == Self::Castway || package("socket.io").exists()
    }

    /// The column of the report, with the versions of everything that it measures.
    ///
    /// # Errors
    /// The program is not installed.
    pub(crate) fn column(self) -> anyhow::Result<Column> {
        let (program, packages) = match self {
            Self::Castway => {
                let name = format!("castway {}", env!("CARGO_PKG_VERSION"));
                return Ok(Column { name, role: Role::Castway, details: String::new() });
            }
            Self::Node => ("Node", [version_of("socket.io")?, version_of("rtcmulticonnection-server")?]),
            Self::Bun => ("Bun", [version_of("@socket.io/bun-engine")?, version_of("socket.io")?]),
        };
        let name = format!("{program} {}", self.version()?);
        Ok(Column { name, role: Role::Opponent, details: format!("{}; NODE_ENV=production", packages.join(", ")) })
    }

    /// The version that the program itself says.
    fn version(self) -> anyhow::Result<String> {
        let output =
            Command::new(self.path()).arg("--version").output().with_context(|| format!("{} does not start", self.name()))?;
        Ok(String::from_utf8(output.stdout)?.trim().trim_start_matches('v').to_owned())
    }

    fn path(self) -> PathBuf {
        match self {
            Self::Castway => std::env::var_os("CASTWAY_BENCH_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_castway").into()).into(),
            Self::Node => "node".into(),
            Self::Bun => package("bun").join("bin/bun.exe"),
        }
    }
}

fn package(name: &str) -> PathBuf {
    Path::new(OPPONENTS).join("node_modules").join(name)
}

/// A package's name and version.
fn version_of(name: &str) -> anyhow::Result<String> {
    let text = fs::read(package(name).join("package.json"));
    let text = text.with_context(|| format!("{name} is missing: run npm ci --prefix benches/signaling/servers first"))?;
    let package: serde_json::Value = serde_json::from_slice(&text)?;
    Ok(format!("{name} {}", package["version"].as_str().context("a package has no version")?))
}

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Process,
    setup: Setup,
}

/// What stays the same over a restart.
struct Setup {
    program: Program,
    service: Service,
    address: SocketAddr,
    /// The relay's address.
    turn: SocketAddr,
    certificate: Certificate,
    data: TempDir,
}

impl Server {
    /// Starts a server and waits until it accepts connections.
    ///
    /// # Errors
    /// It is not installed, or does not become ready.
    pub(crate) fn start(program: Program, service: Service, cpus: &Cpus) -> anyhow::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let turn = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let data = tempfile::tempdir()?;
        let certificate = Certificate::make(data.path())?;
        let setup = Setup { program, service, address, turn, certificate, data };
        Ok(Self { process: setup.spawn(cpus)?, setup })
    }

    /// Kills the server, and starts it again at the same address with the same data.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn restart(&mut self, cpus: &Cpus) -> anyhow::Result<()> {
        self.process.kill();
        self.process = self.setup.spawn(cpus)?;
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.setup.address
    }

    /// The address of Castway's relay.
    pub(crate) fn turn(&self) -> SocketAddr {
        self.setup.turn
    }

    /// What a client over TLS needs; `None` if the server has no TLS.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn tls(&self) -> anyhow::Result<Option<Arc<ClientConfig>>> {
        let has_tls = self.setup.service == Service::CastOverTls;
        has_tls.then(|| self.setup.certificate.config()).transpose()
    }

    /// The relay's credentials of client `number`, as the cast flow gives them: each client is a user.
    ///
    /// # Errors
    /// The clock is before 1970.
    pub(crate) fn user(&self, number: usize) -> anyhow::Result<User> {
        User::new(&format!("client{number}"), &turn_client::clients_key(SECRET.as_bytes())?)
    }
}

impl Setup {
    fn spawn(&self, cpus: &Cpus) -> anyhow::Result<Process> {
        let mut command = match self.program {
            Program::Castway => self.castway(),
            Program::Node | Program::Bun => self.opponent()?,
        };
        let mut process = Process::spawn(&mut command, cpus)?;
        process.wait_until(READY_SECONDS, || TcpStream::connect(self.address).is_ok())?;
        Ok(process)
    }

    fn opponent(&self) -> anyhow::Result<Command> {
        ensure!(self.program.is_installed(), "run npm ci --prefix benches/signaling/servers first");
        let script = match (self.service, self.program) {
            (Service::MultiConnection, _) => "multiconnection.mjs",
            (_, Program::Bun) => "bun.mjs",
            _ => "node.mjs",
        };
        let mut command = Command::new(self.program.path());
        command.arg(format!("{OPPONENTS}/{script}")).arg(self.address.port().to_string()).env("NODE_ENV", "production");
        if self.service == Service::CastOverTls {
            command.args(&self.certificate.files);
        }
        Ok(command)
    }

    fn castway(&self) -> Command {
        let mut command = Command::new(self.program.path());
        let data = self.data.path();
        command
            .current_dir(data)
            .env("CASTWAY_DATA_DIR", data)
            .env("CASTWAY_TURN_ADDR", self.turn.to_string())
            .env("CASTWAY_MAX_ROOMS", MAX_CLIENTS);
        if self.service == Service::CastOverTls {
            command
                .env("CASTWAY_HTTP_ADDR", "127.0.0.1:0")
                .env("CASTWAY_HTTPS_ADDR", self.address.to_string())
                .env("CASTWAY_TURNS_ADDR", "127.0.0.1:0")
                .env("CASTWAY_CERT", &self.certificate.files[0])
                .env("CASTWAY_PKEY", &self.certificate.files[1]);
        } else {
            command.env("CASTWAY_HTTP_ADDR", self.address.to_string()).env("CASTWAY_NO_TLS", "true");
        }
        if self.service == Service::RelayedCast {
            command
                .env("CASTWAY_REALM", REALM)
                .env("CASTWAY_STATIC_AUTH_SECRET", SECRET)
                .env("CASTWAY_RELAY_IP", self.turn.ip().to_string())
                .env("CASTWAY_ALLOWED_PEER_IP", "127.0.0.0/8")
                .env("CASTWAY_CLIENTS_ALLOCATIONS", MAX_CLIENTS);
        }
        command
    }
}
