//! Who has a port that this server could not bind, as far as `/proc` tells this user.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::{fs, io};

/// The state of a listening TCP socket in `/proc/net/tcp` (`TCP_LISTEN`).
const LISTENING: &str = "0A";
/// The holder of a port that this server has itself.
const OURSELVES: &str = "another setting of this server";

/// Another program's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub address: SocketAddr,
    pub process: u32,
    /// The name of the program.
    pub name: String,
}

/// A bound socket.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    address: SocketAddr,
    user: u32,
    inode: u64,
}

/// A sentence that says who has `protocol` (TCP or UDP) at `address`, which `setting` wants, and what to do.
#[must_use]
pub fn port_taken(protocol: &str, address: SocketAddr, setting: &str) -> String {
    let holder = port_holder(protocol, address);
    let stop = if holder == OURSELVES { "" } else { "stop that program, or " };
    format!("{protocol} {address} is taken by {holder}: {stop}set {setting} to a free port")
}

/// What lets a program without privileges listen on `port`.
#[must_use]
pub fn listen_privilege(port: u16) -> String {
    format!(
        "give the program CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), or open the ports from {port} up to \
         every program (sysctl net.ipv4.ip_unprivileged_port_start={port}; Docker: --sysctl with the same)"
    )
}

/// A sentence for an IPv6 `address`, which `setting` names, where `error` says that the kernel has no IPv6.
#[must_use]
pub fn without_ipv6(address: SocketAddr, setting: &str, error: &io::Error) -> Option<String> {
    let sentence =
        || format!("{setting}={address} is IPv6, which this machine's kernel does not have: use 0.0.0.0:{}", address.port());
    (error.raw_os_error() == Some(libc::EAFNOSUPPORT)).then(sentence)
}

/// A sentence that says who has `protocol` (TCP or UDP) at `address` now; `None`: nobody.
#[must_use]
pub fn port_in_use(protocol: &str, address: SocketAddr) -> Option<String> {
    sockets_at(protocol, address).first().map(|found| format!("{protocol} {address} is taken by {}", in_words(found)))
}

/// The programs that have `protocol` at an address that excludes `address`, as far as this user may see them.
#[must_use]
pub fn holders(protocol: &str, address: SocketAddr) -> Vec<Holder> {
    let holder = |socket: Socket| {
        let process = process_of(socket.inode)?;
        Some(Holder { address: socket.address, process, name: program_name(process) })
    };
    sockets_at(protocol, address).into_iter().filter_map(holder).collect()
}

/// Who has the port, in words.
fn port_holder(protocol: &str, address: SocketAddr) -> String {
    sockets_at(protocol, address).first().map_or_else(|| "another program".to_owned(), in_words)
}

/// The sockets that keep `address` from being bound.
fn sockets_at(protocol: &str, address: SocketAddr) -> Vec<Socket> {
    let file = protocol.to_lowercase();
    let tables = [format!("/proc/self/net/{file}"), format!("/proc/self/net/{file}6")]
        .map(|path| fs::read_to_string(path).unwrap_or_default());
    let sockets = tables.iter().flat_map(|table| table.lines()).filter_map(|line| socket(line, protocol == "TCP"));
    sockets.filter(|socket| excludes(socket.address, address)).collect()
}

fn in_words(found: &Socket) -> String {
    match process_of(found.inode) {
        Some(process) if process == std::process::id() => OURSELVES.to_owned(),
        Some(process) => format!("another program ({:?}, process {process})", program_name(process)),
        None => format!("another program (of the user {})", found.user),
    }
}

fn program_name(process: u32) -> String {
    fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default().trim().to_owned()
}

/// Whether a socket that is bound to `taken` keeps `wanted` from being bound.
fn excludes(taken: SocketAddr, wanted: SocketAddr) -> bool {
    let (one, other) = (taken.ip().to_canonical(), wanted.ip().to_canonical());
    taken.port() == wanted.port() && (one == other || one.is_unspecified() || other.is_unspecified())
}

/// The socket of a line of the kernel's tables (proc_net_tcp.txt); of TCP sockets only those that listen.
fn socket(line: &str, is_tcp: bool) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[_, local, _, state, _, _, _, user, _, inode, ..] = fields.as_slice() else { return None };
    if is_tcp && state != LISTENING {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let address = SocketAddr::new(ip_of(ip)?, u16::from_str_radix(port, 16).ok()?);
    Some(Socket { address, user: user.parse().ok()?, inode: inode.parse().ok()? })
}

/// Each word of four bytes is a number in the order of this machine.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            Some(IpAddr::from(<[u8; 16]>::try_from(words.concat()).ok()?))
        }
        _ => None,
    }
}

/// The process that has the socket with this inode; `None`: this user may not see it.
fn process_of(inode: u64) -> Option<u32> {
    let link = format!("socket:[{inode}]");
    let has = |process: &u32| {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        descriptors.into_iter().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == Path::new(&link)))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.into_iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(has)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_line_of_the_kernels_table_is_a_socket() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   33        0 4711 1 0 100 0 0 10 0";
        let six = "   1: 00000000000000000000000001000000:0D96 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
                   00000000     0        0 12 1 0 100 0 0 10 0";
        if cfg!(target_endian = "little") {
            let expected = Socket { address: "127.0.0.1:8080".parse().unwrap(), user: 33, inode: 4711 };
            assert_eq!(socket(line, true), Some(expected));
            assert_eq!(socket(six, true).unwrap().address, "[::1]:3478".parse().unwrap());
        }
        assert_eq!(socket(&line.replace(" 0A ", " 01 "), true), None, "it does not listen");
        assert_eq!(
            socket("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", true),
            None
        );
    }

    #[test]
    fn the_holder_of_a_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(port_holder("TCP", taken), "another program", "it is free again");
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("[::1]:0"));
        let taken = tcp.local_addr().unwrap();
        for wanted in [taken, SocketAddr::new([0, 0, 0, 0].into(), taken.port())] {
            assert_eq!(port_holder("TCP", wanted), OURSELVES);
        }
        let sentence = format!("TCP {taken} is taken by another setting of this server: set CASTWAY_X to a free port");
        assert_eq!(port_taken("TCP", taken, "CASTWAY_X"), sentence, "there is no program to stop");
        // Skipped on a machine without IPv6.
        if let Ok(udp) = udp {
            assert_eq!(port_holder("UDP", udp.local_addr().unwrap()), OURSELVES);
        }
    }
}
