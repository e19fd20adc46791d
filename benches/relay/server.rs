//! The compared servers: Castway, Debian's coturn, further turnservers, and a forwarder without TURN.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use castway::turn::Scope;
use tempfile::TempDir;

use crate::client::{self, REALM, User};
use crate::support::certificate::Certificate;
use crate::support::process::{Cpus, Process};

const SECRET: &str = "a secret of the benchmark";
/// Below the kernel's ephemeral ports, which the generator's sockets use. Each server has ports for more than 10,000 allocations.
const CASTWAY_PORTS: (u16, u16) = (10_000, 20_999);
const COTURN_PORTS: (u16, u16) = (21_000, 31_999);
/// More than any case makes at the same time.
const MAX_ALLOCATIONS: u32 = 20_000;

/// A server to measure, which has columns of its own in the report.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) program: Program,
}

#[derive(Debug, Clone)]
pub(crate) enum Program {
    Castway,
    /// coturn, or another program with coturn's options.
    Turnserver {
        path: String,
        arguments: Vec<String>,
    },
    /// Only recvmmsg and sendmmsg with trains: the upper limit.
    Forwarder,
}

impl FromStr for Candidate {
    type Err = anyhow::Error;

    /// Reads a turnserver from `NAME=PATH ARGUMENTS`; the arguments are separated by spaces.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, command) = text.split_once('=').context("it is not NAME=PATH ARGUMENTS")?;
        let mut words = command.split_whitespace().map(str::to_owned);
        let path = words.next().context("the path is missing")?;
        Ok(Self { name: name.to_owned(), program: Program::Turnserver { path, arguments: words.collect() } })
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Process,
    /// The address to which clients send.
    pub(crate) address: SocketAddr,
    /// The address to which clients connect over TLS.
    pub(crate) tls: Option<SocketAddr>,
    /// Only for the forwarder: the address to which peers send.
    pub(crate) relayed: Option<SocketAddr>,
    /// Only for Castway: the address of HTTP.
    pub(crate) http: Option<SocketAddr>,
    /// The certificate, if the server takes clients over TCP and TLS.
    pub(crate) certificate: Option<Certificate>,
    /// The key that signs credentials of scope clients, for a server without scopes those of any scope.
    clients_key: Vec<u8>,
    _data: TempDir,
}

impl Server {
    /// Starts the server and waits until it answers. `threads`: how many of them relay; `None` leaves it to the server.
    ///
    /// # Errors
    /// The server is not installed, or does not become ready.
    pub(crate) fn start(candidate: &Candidate, threads: Option<usize>, cpus: &Cpus) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        Self::launch(candidate, data, threads, None, cpus)
    }

    /// The same for clients over TCP and TLS.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn start_with_streams(candidate: &Candidate, cpus: &Cpus) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let certificate = Certificate::make(data.path())?;
        Self::launch(candidate, data, None, Some(certificate), cpus)
    }

    fn launch(
        candidate: &Candidate,
        data: TempDir,
        threads: Option<usize>,
        certificate: Option<Certificate>,
        cpus: &Cpus,
    ) -> anyhow::Result<Self> {
        let server = match &candidate.program {
            Program::Castway => Self::castway(data, threads, certificate, cpus),
            Program::Turnserver { path, arguments } => {
                Self::turnserver(data, (path, arguments.as_slice()), threads, certificate, cpus)
            }
            Program::Forwarder => Self::forwarder(data, cpus),
        };
        server.with_context(|| format!("{} can't be measured", candidate.name))
    }

    fn castway(data: TempDir, threads: Option<usize>, certificate: Option<Certificate>, cpus: &Cpus) -> anyhow::Result<Self> {
        let (http, address) = (free_tcp()?, free_udp()?);
        let program = std::env::var("CASTWAY_BENCH_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_castway").to_owned());
        let mut command = Command::new(program);
        command
            .current_dir(data.path())
            .env("CASTWAY_DATA_DIR", data.path())
            .env("CASTWAY_HTTP_ADDR", http.to_string())
            .env("CASTWAY_TURN_ADDR", address.to_string())
            .env("CASTWAY_RELAY_IP", address.ip().to_string())
            .env("CASTWAY_REALM", REALM)
            .env("CASTWAY_STATIC_AUTH_SECRET", SECRET)
            .env("CASTWAY_ALLOWED_PEER_IP", "127.0.0.0/8")
            .env("CASTWAY_MIN_PORT", CASTWAY_PORTS.0.to_string())
            .env("CASTWAY_MAX_PORT", CASTWAY_PORTS.1.to_string());
        for unlimited in ["CASTWAY_MAX_BPS", "CASTWAY_CLIENTS_BPS"] {
            command.env(unlimited, "0");
        }
        command.env("CASTWAY_CLIENTS_ALLOCATIONS", MAX_ALLOCATIONS.to_string());
        if let Some(threads) = threads {
            command.env("CASTWAY_RELAY_THREADS", threads.to_string());
        }
        if let Some(Certificate { files: [chain, key], .. }) = &certificate {
            command.env("CASTWAY_CERT", chain).env("CASTWAY_PKEY", key);
        }
        let mut process = Process::spawn(&mut command, cpus)?;
        process.wait_until(10, || is_ready(http).unwrap_or(false))?;
        let clients_key = client::clients_key(SECRET.as_bytes())?;
        // The relay's port takes TLS as well.
        let (tls, http) = (Some(address), Some(http));
        Ok(Self { process, address, tls, relayed: None, http, certificate, clients_key, _data: data })
    }

    fn turnserver(
        data: TempDir,
        (program, arguments): (&str, &[String]),
        threads: Option<usize>,
        certificate: Option<Certificate>,
        cpus: &Cpus,
    ) -> anyhow::Result<Self> {
        let address = free_udp()?;
        let path = |name: &str| data.path().join(name).display().to_string();
        let mut command = Command::new(program);
        command
            .args(["-n", "--no-cli", "--no-dtls", "--allow-loopback-peers"])
            .args(["--no-stdout-log", "--log-file", "/dev/null", "--use-auth-secret", "--static-auth-secret", SECRET])
            .args(["--realm", REALM, "--listening-ip", &address.ip().to_string(), "--relay-ip", &address.ip().to_string()])
            .args(["--listening-port", &address.port().to_string()])
            .args(["--min-port", &COTURN_PORTS.0.to_string(), "--max-port", &COTURN_PORTS.1.to_string()])
            .args(["--userdb", &path("turndb"), "--pidfile", &path("pid")]);
        if let Some(threads) = threads {
            command.args(["--relay-threads", &threads.to_string()]);
        }
        let tls = certificate.as_ref().map(|_| free_tcp()).transpose()?;
        if let (Some(Certificate { files: [chain, key], .. }), Some(tls)) = (&certificate, tls) {
            command.args(["--tls-listening-port", &tls.port().to_string()]).arg("--cert").arg(chain).arg("--pkey").arg(key);
        } else {
            command.args(["--no-tls", "--no-tcp"]);
        }
        command.args(arguments);
        let mut process = Process::spawn(&mut command, cpus)?;
        let takes_tls = || tls.is_none_or(|tls| TcpStream::connect(tls).is_ok());
        process.wait_until(10, || answers_binding(address).unwrap_or(false) && takes_tls())?;
        Ok(Self { process, address, tls, relayed: None, http: None, certificate, clients_key: SECRET.into(), _data: data })
    }

    fn forwarder(data: TempDir, cpus: &Cpus) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--forwarder");
        let (process, stdout) = Process::spawn_with_stdout(&mut command, cpus)?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let (address, relayed) = line.trim().split_once(' ').context("it does not say its addresses")?;
        let (address, relayed) = (address.parse()?, Some(relayed.parse()?));
        let (tls, http, certificate) = (None, None, None);
        Ok(Self { process, address, tls, relayed, http, certificate, clients_key: Vec::new(), _data: data })
    }

    /// Makes the credentials of a user; each label has an account of its own.
    ///
    /// # Errors
    /// The clock is before 1970.
    pub(crate) fn user(&self, label: &str, scope: Scope) -> anyhow::Result<User> {
        User::new(
            label,
            match scope {
                Scope::Clients => &self.clients_key,
                Scope::Anyone => SECRET.as_bytes(),
                Scope::OwnAddress => bail!("the benchmarks have no credentials of this scope"),
            },
        )
    }
}

fn free_udp() -> anyhow::Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn free_tcp() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn is_ready(http: SocketAddr) -> anyhow::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&http, Duration::from_millis(200))?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 200"))
}

fn answers_binding(address: SocketAddr) -> anyhow::Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut request = stun::message::Message::new();
    request.build(&[Box::new(stun::agent::TransactionId::new()), Box::new(stun::message::BINDING_REQUEST)])?;
    socket.send_to(&request.raw, address)?;
    Ok(socket.recv(&mut [0; 256])? > 20)
}
