//! The start-up report: which pages to open, where the server listens, and what still needs configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use url::{Host, Url};

use super::server::App;
use crate::addresses::interfaces;
use crate::addresses::on_link;
use crate::config::{CertificateSource, without_last_slash};
use crate::limits::descriptors::CastCost;
use crate::tls::{Certificate, CertificateKind, Certificates};

/// Below this limit of open files the report says how to raise it. The usual limit of a shell is 1,024.
const LOW_DESCRIPTOR_LIMIT: u64 = 16_384;

/// What the operator reads after the start.
#[derive(Debug)]
pub struct StartupReport {
    /// That the server runs.
    pub title: String,
    /// Where it is found.
    pub lines: String,
    /// What still needs configuration.
    pub warnings: Vec<String>,
}

impl fmt::Display for StartupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.\n\n{}", self.title, self.lines)?;
        if !self.warnings.is_empty() {
            f.write_str("\nStill needs configuration:\n")?;
            self.warnings.iter().try_for_each(|warning| writeln!(f, "  ! {warning}"))?;
        }
        Ok(())
    }
}

/// The lines so far.
struct Report(String);

/// The addresses by which the server is reached: origins, the public one with the base path.
struct Origins {
    /// As configured.
    public: Option<String>,
    /// On this machine.
    here: String,
    /// From other machines.
    others: Vec<String>,
    /// From TVs, which can't be made to trust a certificate that no authority has signed.
    tv: Vec<String>,
    /// The certificate, if clients don't trust it.
    distrusted: Option<Arc<Certificate>>,
    /// What to do if the certificate is for no address of this machine.
    uncovered: Option<String>,
}

impl Report {
    fn line(&mut self, name: &str, value: &str) {
        self.0.push_str(&format!("  {name:<14}{value}\n"));
    }
}

impl App {
    /// The report that the operator reads after the start, with one line for each thing that still needs configuration.
    pub fn startup_report(&self) -> StartupReport {
        let origins = self.origins();
        let mut report = Report(String::new());
        self.report_pages(&origins, &mut report);
        self.report_certificate(&origins, &mut report);
        self.report_listeners(&mut report);
        self.report_open_ports(origins.distrusted.is_some(), &mut report);
        self.report_descriptors(&mut report);
        report.line("Data", &shown(&self.config.data_dir));
        let mut warnings: Vec<_> = self.warnings().list().into_iter().map(|warning| warning.en).collect();
        warnings.extend(origins.uncovered.filter(|_| origins.public.is_none()));
        StartupReport { title: format!("Castway {} is running", env!("CARGO_PKG_VERSION")), lines: report.0, warnings }
    }

    fn origins(&self) -> Origins {
        let public = self.config.http.public_url.as_ref().map(without_last_slash);
        let here = format!("http://localhost:{}{}", self.listeners.http.addr.port(), self.config.http.base_path);
        let certificate = self.certificates.as_ref().map(Certificates::current);
        let (secure, uncovered) = certificate.as_ref().map(|current| self.secure_origins(current)).unzip();
        let secure = secure.filter(|origins| !origins.is_empty());
        let others = public.clone().map(|url| vec![url]).or(secure).unwrap_or_else(|| self.http_origins());
        let distrusted = certificate.filter(|current| !current.is_trusted());
        let tv = if distrusted.is_some() && public.is_none() { self.http_origins() } else { others.clone() };
        Origins { public, here, others, tv, distrusted, uncovered: uncovered.flatten() }
    }

    fn report_pages(&self, origins: &Origins, report: &mut Report) {
        let Origins { public, here, others, tv, .. } = origins;
        report.line("On the TV", &format!("{}/tv", tv.first().unwrap_or(here)));
        report.line("To cast", &format!("{}/cast", others.first().unwrap_or(here)));
        report.line("To call", &format!("{}/r", others.first().unwrap_or(here)));
        for other in others.iter().skip(1) {
            report.line("", &format!("or {other}"));
        }
        if !others.is_empty() && public.is_none() {
            report.line("", &format!("on this machine {here}"));
        }
        if !self.listeners.more_http.is_empty() {
            let more: Vec<String> = self.more_http_addrs().iter().map(SocketAddr::to_string).collect();
            report.line("Also at", &more.join(", "));
        }
    }

    fn report_certificate(&self, origins: &Origins, report: &mut Report) {
        let Some(current) = &origins.distrusted else { return };
        if current.kind == CertificateKind::SelfSigned {
            if let CertificateSource::Acme(acme) = &self.config.tls.source {
                let awaited = acme.domains.join(", ");
                report.line(
                    "Certificate",
                    &format!("not here yet: until the one for {awaited} arrives, a self-signed one answers,"),
                );
                report.line("", "of which browsers warn. Its SHA-256 fingerprint is");
            } else {
                report.line("Certificate", "made by this server: browsers warn once. Its SHA-256 fingerprint is");
            }
            self.own_fingerprints(&origins.others).iter().for_each(|fingerprint| report.line("", fingerprint));
        } else {
            report.line("Certificate", "clients don't trust the certificate of CASTWAY_CERT: browsers warn once, HTTP is not");
            report.line("", "redirected, and turns: is not offered (CASTWAY_CERT_TRUSTED=true says that clients know its");
            report.line("", "authority). Its SHA-256 fingerprint is");
            report.line("", &current.fingerprint);
        }
    }

    fn report_listeners(&self, report: &mut Report) {
        let secure: Vec<String> =
            [self.listeners.wanted_https_addr(), self.turns_addr()].iter().flatten().map(SocketAddr::to_string).collect();
        if !secure.is_empty() {
            report.line("TLS", &format!("{} (pages, signaling and TURN)", secure.join(", ")));
        }
        if let Some(addr) = self.collider_addr() {
            report.line("Collider", &format!("{addr}, and the pages' ports"));
        }
        let kinds = [(self.relay.has_udp(), "UDP"), (self.relay.has_tcp(), "TCP")];
        let kinds: Vec<&str> = kinds.iter().filter(|(listens, _)| *listens).map(|(_, kind)| *kind).collect();
        let alternate = self.alternate_turn_port().map(|port| format!(" and port {port}")).unwrap_or_default();
        let families = if self.turn_addr().ip() == Ipv6Addr::UNSPECIFIED { ", over IPv4 and IPv6" } else { "" };
        let tls = if self.relay.has_tcp() && self.certificates.is_some() { ", with TLS too" } else { "" };
        let at = format!("{}{alternate} {}{tls}{families}", self.turn_addr(), kinds.join(" and "));
        let listening = if kinds.is_empty() { "over TLS".to_owned() } else { at };
        report.line("TURN relay", &listening);
        let seen: Vec<_> = self.external.relayed_ips().iter().flatten().map(|relay| relay.advertised.to_string()).collect();
        let seen = format!("seen by others as {}", seen.join(" and "));
        report.line("", if self.external.is_without_address() { "seen by nobody else yet" } else { &seen });
        let closed = self.relay.closed_neighbours();
        if !closed.is_empty() {
            report.line("", &format!("reaches no peers in {}, where this machine is itself:", on_link::listed(closed)));
            report.line("", "CASTWAY_ALLOWED_PEER_IP allows them");
        }
    }

    /// The ports that a firewall must let through.
    fn report_open_ports(&self, distrusted: bool, report: &mut Report) {
        if self.is_only_for_this_machine() {
            return report.line("Ports to open", "none: all addresses are loopback ones, which only this machine reaches");
        }
        let http = self.listeners.http.addr.port();
        let pages = match self.https_addr() {
            Some(https) if https.port() == http => format!("TCP {http}"),
            Some(https) if distrusted => format!("TCP {http} (TVs) and {} (casters)", https.port()),
            Some(https) => format!("TCP {}", https.port()),
            None => format!("TCP {http}"),
        };
        let udp = if self.relay.has_udp() { format!(" and UDP {}", self.turn_addr().port()) } else { String::new() };
        let relay = &self.config.relay;
        let peers = if relay.tcp_relay { "UDP and TCP" } else { "UDP" };
        let range = format!("{peers} {}-{}", relay.ports.start(), relay.ports.end());
        if relay.clients_need_range() {
            return report.line("Ports to open", &format!("{pages}{udp}, and {range} for relayed addresses"));
        }
        report.line("Ports to open", &format!("{pages}{udp}; casts and calls need no others"));
        if relay.scope.is_none() {
            report.line("", &format!("{range} only for users and API keys, whose peers may be anyone"));
        }
    }

    /// Whether no other machine reaches any listener.
    fn is_only_for_this_machine(&self) -> bool {
        let secure = [self.https_addr(), self.turns_addr(), self.collider_addr()];
        let all =
            [self.http_addr(), self.turn_addr()].into_iter().chain(self.more_http_addrs()).chain(secure.into_iter().flatten());
        all.map(|addr| addr.ip().to_canonical()).all(|ip| ip.is_loopback())
    }

    fn report_descriptors(&self, report: &mut Report) {
        let cost = self.cast_cost();
        let limit = self.descriptors.limit;
        let casts = match self.descriptors.casts(cost) {
            1 => "1 cast".to_owned(),
            casts => format!("{casts} casts"),
        };
        report.line("Open files", &format!("{limit} at most, which is enough for {casts} over the relay at once:"));
        let CastCost { relayed, turn_clients, http } = cost;
        let sockets = if relayed > 0 { format!("{relayed} relayed sockets, ") } else { String::new() };
        report.line("", &format!("{sockets}{turn_clients} connections to the relay and {http} to the pages for each"));
        if limit < LOW_DESCRIPTOR_LIMIT {
            report.line("", "LimitNOFILE= (systemd) or ulimit -n allows more");
        }
    }

    /// The descriptors that a cast over the relay needs: browsers make an allocation at each URL that they get.
    pub(super) fn cast_cost(&self) -> CastCost {
        let turns = self.certificates.as_ref().is_some_and(|certificates| certificates.current().is_trusted());
        let (udp, streams) = (usize::from(self.relay.has_udp()), usize::from(self.relay.has_tcp()) + usize::from(turns));
        CastCost::of_urls(udp, streams, self.config.relay.clients_need_range())
    }

    /// The hosts by which other machines reach what is bound to `ip` here, the external ones first.
    fn hosts(&self, ip: IpAddr) -> Vec<Host> {
        let mut hosts: Vec<Host> = self.external.hosts().into_iter().filter(|host| interfaces::leads_to(host, ip)).collect();
        for own in interfaces::hosts(ip) {
            if !hosts.contains(&own) {
                hosts.push(own);
            }
        }
        hosts
    }

    fn http_origins(&self) -> Vec<String> {
        let addr = self.listeners.http.addr;
        self.hosts(addr.ip()).iter().map(|host| interfaces::origin("http", host, addr.port())).collect()
    }

    /// The fingerprints of the self-signed certificates, of which each host has its own.
    fn own_fingerprints(&self, origins: &[String]) -> Vec<String> {
        let Some(certificates) = &self.certificates else { return Vec::new() };
        let hosts: Vec<Host> =
            origins.iter().filter_map(|origin| Url::parse(origin).ok()?.host().map(|host| host.to_owned())).collect();
        let fingerprint = |host: &Host| {
            let host = interfaces::unbracketed(host);
            let certificate = certificates.for_client(Some(&host), host.parse().ok(), Ipv4Addr::LOCALHOST.into());
            (host, certificate.fingerprint.clone())
        };
        match hosts.as_slice() {
            [] => vec![certificates.current().fingerprint.clone()],
            [host] => vec![fingerprint(host).1],
            hosts => hosts.iter().map(fingerprint).map(|(host, fingerprint)| format!("{fingerprint} for {host}")).collect(),
        }
    }

    /// The origins over TLS by which other machines reach this one without a warning about its name: those of its hosts that the
    /// certificate is for, or else the hosts of the certificate. Where there are neither, all of its hosts, and what to do.
    fn secure_origins(&self, certificate: &Certificate) -> (Vec<String>, Option<String>) {
        let addr = self.listeners.https_addr();
        let origins = |hosts: &[Host]| hosts.iter().map(|host| interfaces::origin("https", host, addr.port())).collect();
        let all = self.hosts(addr.ip());
        // Each host has a self-signed certificate of its own.
        let covers =
            |host: &&Host| certificate.kind == CertificateKind::SelfSigned || certificate.covers(&interfaces::unbracketed(host));
        let mut good: Vec<Host> = all.iter().filter(covers).cloned().collect();
        if good.is_empty() {
            good = certificate.hosts().into_iter().filter(|host| interfaces::leads_to(host, addr.ip())).collect();
        }
        if !good.is_empty() || all.is_empty() {
            return (origins(&good), None);
        }
        let warning = format!(
            "The certificate is for {}, and for no address of this machine, so browsers warn of it. Set CASTWAY_PUBLIC_URL to the \
             address that people type, with a name that the certificate is for",
            certificate.names.first().map_or("no host", String::as_str)
        );
        (origins(&all), Some(warning))
    }
}

fn shown(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}
