//! English.

use super::command;
use super::figures::{duration, path, path_name, time};
use super::language::{Language, Reader, Subject, Text};
use crate::diagnosis::verdict::{Fault, Finding, Side};
use crate::turn::{CredentialRefusal, RefusalReason};

pub(super) struct English {
    pub(super) reader: Reader,
}

const OPEN: &str = "in the machine's firewall and in the cloud's security group";
const OTHER_NETWORK: &str = "A check from another network, such as a phone with Wi-Fi off, tells them apart";

impl English {
    /// The end that the caster stands for in the verdict, or the reader's own.
    fn own(&self) -> &'static str {
        match self.reader {
            Reader::Caster | Reader::Tv | Reader::Caller | Reader::Callee => "you",
            Reader::Operator(Subject::Check) => "the device",
            Reader::Operator(Subject::Cast) => "the caster",
            Reader::Operator(Subject::Call) => "the caller",
        }
    }

    fn other(&self) -> &'static str {
        match self.reader {
            Reader::Caster | Reader::Operator(Subject::Cast) => "the TV",
            Reader::Tv => "the caster",
            Reader::Caller | Reader::Callee => "the other side",
            Reader::Operator(Subject::Check) => "the second device",
            Reader::Operator(Subject::Call) => "the callee",
        }
    }

    /// What uses another path, as a plural.
    fn uses(&self) -> &'static str {
        match self.reader {
            Reader::Caster | Reader::Tv | Reader::Operator(Subject::Check | Subject::Cast) => "Casts",
            Reader::Caller | Reader::Callee | Reader::Operator(Subject::Call) => "Calls",
        }
    }

    fn who(&self, end: Side) -> String {
        match self.reader.sees(end) {
            Side::Tv => self.other().to_owned(),
            Side::Both => format!("{} and {}", self.own(), self.other()),
            Side::Caster | Side::Server | Side::Unknown => self.own().to_owned(),
        }
    }

    fn whose(&self, end: Side) -> String {
        let own = if self.own() == "you" { "your".to_owned() } else { format!("{}'s", self.own()) };
        match self.reader.sees(end) {
            Side::Tv => format!("{}'s", self.other()),
            Side::Both => format!("{own} and {}'s", self.other()),
            Side::Caster | Side::Server | Side::Unknown => own,
        }
    }

    fn device(&self, end: Side) -> String {
        match self.who(end).as_str() {
            "you" => "your device".to_owned(),
            who => who.to_owned(),
        }
    }

    fn refused_credentials(reason: Option<CredentialRefusal>, static_secret: bool) -> String {
        let sentence = match reason {
            Some(CredentialRefusal::Expired { ago }) => {
                let ago = duration(ago);
                return format!(
                    "The credentials had expired {ago} ago (401): they were that old, or the clock of their issuer or of this machine is {ago} off."
                );
            }
            Some(CredentialRefusal::TooFarAhead { ahead, most }) => {
                let (ahead, most) = (duration(ahead), duration(most));
                return format!(
                    "The credentials expire in {ahead}, and may in {most} at most (401): the clock of their issuer or of this machine is off, or their lifetime is too long."
                );
            }
            Some(CredentialRefusal::WrongSignature) if static_secret => {
                "The relay does not know the secret that signed these (401): CASTWAY_STATIC_AUTH_SECRET differs between this server and their issuer, or the secret was replaced."
            }
            Some(CredentialRefusal::WrongSignature) => {
                "The relay does not know the secret that signed these (401): another server issued them, or the secret was revoked."
            }
            Some(CredentialRefusal::UserRefused) => {
                "The relay refuses the user of these credentials (401): the user is disabled, was removed, or has another scope now."
            }
            Some(CredentialRefusal::OtherRealm | CredentialRefusal::UserOfOtherRealm) => {
                "The credentials are for another realm than CASTWAY_REALM (401)."
            }
            Some(CredentialRefusal::UnknownUser | CredentialRefusal::WrongPassword) => {
                "The relay knows no such user with this password (401)."
            }
            Some(CredentialRefusal::Malformed | CredentialRefusal::Milliseconds | CredentialRefusal::ForeignForm) => {
                "The username of the credentials is not EXPIRY:user with the expiry in seconds (401)."
            }
            None => {
                "The relay refused the credentials (401): it does not know the secret that signed them, or they have expired by its clock."
            }
        };
        sentence.to_owned()
    }

    const fn refused(reason: Option<RefusalReason>, code: u16) -> &'static str {
        match (reason, code) {
            (Some(RefusalReason::UserQuota), _) => "the user has as many allocations as allowed",
            (Some(RefusalReason::TrafficQuota), _) => "the user has used up this month's quota of bytes",
            (Some(RefusalReason::AddressQuota), _) => "this address has as many allocations as allowed",
            (Some(RefusalReason::TotalQuota), _) => "the server has as many allocations as allowed",
            (Some(RefusalReason::ShuttingDown), _) => "the server is shutting down",
            (Some(RefusalReason::NoPort), _) => "no relayed port is free",
            (Some(RefusalReason::StrangersCapacity), _) => "capacity is scarce, and users come before strangers",
            (Some(RefusalReason::Socket(_)), _) => "the system opened no socket for the relayed address",
            (Some(RefusalReason::NoAddressOfFamily(_)), _) | (None, 440) => "the relay has no address of this family",
            (None, 486) => "a quota of allocations is used up",
            (None, 508) => "the relay has no capacity left",
            _ => "the request does not fit the settings of the relay",
        }
    }

    const fn refused_fix(reason: Option<RefusalReason>, code: u16) -> &'static str {
        match (reason, code) {
            (Some(RefusalReason::UserQuota), _) => "Raise CASTWAY_USER_QUOTA.",
            (Some(RefusalReason::TrafficQuota), _) => "Raise the quota of the user with castway user quota.",
            (Some(RefusalReason::AddressQuota), _) => "Raise CASTWAY_CLIENTS_ALLOCATIONS if many people are behind this address.",
            (Some(RefusalReason::TotalQuota), _) => "Raise CASTWAY_TOTAL_QUOTA.",
            (Some(RefusalReason::ShuttingDown), _) => "Try again once the server has started.",
            (Some(RefusalReason::NoPort), _) => "Widen CASTWAY_MIN_PORT to CASTWAY_MAX_PORT.",
            (Some(RefusalReason::NoAddressOfFamily(_)), _) | (None, 440) => {
                "Name an address of this family in CASTWAY_RELAY_IP and CASTWAY_EXTERNAL_IP."
            }
            (None, 486) => "Raise CASTWAY_USER_QUOTA or CASTWAY_CLIENTS_ALLOCATIONS; the server's log names the quota.",
            _ => "The server's log has the reason, and docs/troubleshooting.md says what to do.",
        }
    }
}

impl Language for English {
    fn fine(&self) -> Text {
        text("Everything works", "Everything that was tested works.", None)
    }

    fn denied_peer(&self) -> Text {
        text(
            "The relayed ports were not tested",
            "All other paths work. The relay's policy refuses the address of this device as a peer, as in every private network, so nothing is known about the relayed ports.",
            Some("Check from a network outside, such as a phone with Wi-Fi off."),
        )
    }

    fn unsupported(&self) -> Text {
        text(
            "Nothing was tested",
            "This browser has no WebRTC, or not enough of it to test a path.",
            Some("Use another browser or device."),
        )
    }

    fn unknown(&self) -> Text {
        text(
            "No connection came about",
            "No connection came about, and what the server and the pages have seen names no cause.",
            Some("The operator finds out more with castway doctor and a check from this device."),
        )
    }

    fn title(&self, finding: &Finding) -> String {
        let whose = capital(&self.whose(finding.side));
        match &finding.fault {
            Fault::UdpClosed { port, tcp: None } => format!("UDP {port} does not get through"),
            Fault::UdpClosed { port, tcp: Some(tcp) } => format!("UDP {port} and TCP {tcp} do not get through"),
            Fault::TcpClosed { port, .. } => format!("TCP {port} does not get through"),
            Fault::RangeClosed { .. } => "The relayed ports can't be reached".to_owned(),
            Fault::WrongExternalAddress { .. } => "The server advertises another address".to_owned(),
            Fault::AnswersLost { .. } => "The server's answers get lost".to_owned(),
            Fault::ProxyBeforeName { .. } => "The name leads to a proxy".to_owned(),
            Fault::UntrustedCertificate { .. } => "TURN over TLS does not work".to_owned(),
            Fault::VisitorBlocksUdp { .. } => format!("{whose} network blocks UDP"),
            Fault::VisitorBlocksAll { tried: false, .. } => format!("Nothing from {} reached the relay", self.who(finding.side)),
            Fault::VisitorBlocksAll { .. } => format!("{whose} network blocks the relay"),
            Fault::CredentialsRefused { .. } => "The relay refuses the credentials".to_owned(),
            Fault::RelayRefused { .. } => "The relay refuses the connection".to_owned(),
            Fault::NoPairWorked { .. } => "No packet got from one end to the other".to_owned(),
        }
    }

    fn seen(&self, finding: &Finding) -> String {
        let (who, whose) = (self.who(finding.seen_by), self.whose(finding.seen_by));
        match &finding.fault {
            Fault::UdpClosed { port, tcp: None } => format!("Nothing from {who} reached UDP {port}; TCP did."),
            Fault::UdpClosed { port, tcp: Some(tcp) } => {
                format!("Nothing from {who} reached UDP {port} or TCP {tcp}; {whose} page did reach the server.")
            }
            Fault::TcpClosed { port, .. } if finding.side == Side::Server => format!("Nothing from {who} reached the relay at TCP {port}."),
            Fault::TcpClosed { port, .. } => format!("TCP {port} works for others, not for {who}. {} will use another path.", self.uses()),
            Fault::RangeClosed { ports: (first, last), sent } => {
                format!("The relay answers, but none of {sent} packets reached its ports {first}–{last}/UDP.")
            }
            Fault::WrongExternalAddress { reached: Some(reached), advertised } => {
                format!("{} reached this server at {reached} but it advertises {advertised}.", capital(&who))
            }
            Fault::WrongExternalAddress { reached: None, advertised } => {
                format!("This server advertises {advertised}, and nothing came to it there.")
            }
            Fault::AnswersLost { from, .. } => format!(
                "{} packets arrived{}, but our answers did not reach {who}: they leave over a second address or route, or something on the way back drops them.",
                capital(&whose),
                from.map(|from| format!(" (from {from})")).unwrap_or_default()
            ),
            Fault::ProxyBeforeName { name } => format!("{name} leads to a proxy that carries no UDP."),
            Fault::UntrustedCertificate { known: true, others_work: true } => {
                "TURN over TLS needs a certificate that devices trust. The other paths work; networks where only TLS is open won't.".to_owned()
            }
            Fault::UntrustedCertificate { known: true, others_work: false } => format!(
                "Nothing from {who} reached the relay over UDP or TCP. TURN over TLS would get through where only TLS is open, but it needs a certificate that devices trust."
            ),
            Fault::UntrustedCertificate { known: false, .. } => format!("Nothing from {who} reached the relay over TLS; other paths work."),
            Fault::VisitorBlocksUdp { port, last_elsewhere, instead } => {
                let last = last_elsewhere.map(|at| format!(" (last at {})", time(at)));
                let first = match last {
                    Some(last) => format!("UDP {port} works for others{last}, not for {who}"),
                    None => format!("Nothing from {who} reached UDP {port}"),
                };
                let instead = instead.map(|(over, port)| format!("; {} on {port} does. {} will use it.", path_name(over), self.uses()));
                first + &instead.unwrap_or_else(|| ".".to_owned())
            }
            Fault::VisitorBlocksAll { tried: false, .. } => format!(
                "Nothing from {who} reached the relay, and {whose} page sent no report: {whose} network lets nothing through, or the page does not use this relay."
            ),
            Fault::VisitorBlocksAll { paths, last_elsewhere, .. } => {
                let paths = list(paths.iter().map(|(over, port)| path(*over, *port)).collect(), "or");
                let others = last_elsewhere.map(|at| format!(", but others reach it (last at {})", time(at)));
                format!("Nothing from {who} reached the relay over {paths}{}.", others.unwrap_or_default())
            }
            Fault::CredentialsRefused { reason, static_secret } => Self::refused_credentials(*reason, *static_secret),
            Fault::RelayRefused { reason, code } => {
                format!("The relay refused {who} with the error {code}: {}.", Self::refused(*reason, *code))
            }
            Fault::NoPairWorked { .. } if finding.seen_by == Side::Unknown => {
                let device = if self.own() == "you" { "This device".to_owned() } else { capital(self.own()) };
                format!("{device} reaches the relay, and no relayed connection with the second device came about.")
            }
            Fault::NoPairWorked { last, path } => {
                let both = format!("{} have relayed addresses, and no connection came about between them.", capital(&self.who(Side::Both)));
                let over = path.map(|over| format!(" over {}", path_name(over))).unwrap_or_default();
                match last {
                    Some(last) => format!("{both} The last packets for the other end reached the relay from {}{over}.", self.who(*last)),
                    None => format!("{both} No packet for the other end reached the relay from either."),
                }
            }
        }
    }

    fn cause(&self, finding: &Finding) -> String {
        let whose = self.whose(finding.side);
        match &finding.fault {
            Fault::UdpClosed { port, tcp: None } => format!("UDP {port} is closed at the server"),
            Fault::UdpClosed { port, tcp: Some(tcp) } => format!("UDP {port} and TCP {tcp} are closed at the server"),
            Fault::TcpClosed { port, .. } => format!("TCP {port} is closed at the server"),
            Fault::RangeClosed { ports: (first, last), .. } => format!("UDP {first}–{last} is closed at the server"),
            Fault::WrongExternalAddress { advertised, .. } => format!("{advertised} does not lead to this server"),
            Fault::AnswersLost { .. } => "the server's answers leave over a second address or route".to_owned(),
            Fault::ProxyBeforeName { name } => format!("{name} leads to a proxy"),
            Fault::UntrustedCertificate { .. } => {
                format!(
                    "{} network lets only TLS out, and {} does not trust the server's certificate",
                    self.whose(finding.seen_by),
                    self.device(finding.seen_by)
                )
            }
            Fault::VisitorBlocksUdp { .. } => format!("{whose} network lets no UDP through"),
            Fault::VisitorBlocksAll { tried: false, .. } => format!("{whose} network lets no UDP through to the server"),
            Fault::VisitorBlocksAll { .. } => format!("{whose} network lets nothing through to the relay"),
            Fault::CredentialsRefused { .. } => "the relay refuses the credentials".to_owned(),
            Fault::RelayRefused { .. } => "the relay refuses the connection".to_owned(),
            Fault::NoPairWorked { .. } => "no packet gets from one end to the other".to_owned(),
        }
    }

    fn fix(&self, finding: &Finding) -> Option<String> {
        let whose = self.whose(finding.seen_by);
        let unless = format!("If a check from another network passes, {whose} network blocks it instead.");
        Some(match &finding.fault {
            Fault::UdpClosed { port, tcp: None } => format!("Open UDP {port} {OPEN}."),
            Fault::UdpClosed { port, tcp: Some(tcp) } => format!("Open UDP {port} and TCP {tcp} {OPEN}."),
            Fault::TcpClosed { port, .. } if finding.side == Side::Server => format!("Open TCP {port} {OPEN}. {unless}"),
            Fault::TcpClosed { .. } => return None,
            Fault::RangeClosed { ports: (first, last), .. } => format!(
                "Open UDP {first}–{last} {OPEN}, or set CASTWAY_MIN_PORT and CASTWAY_MAX_PORT to a range that is open. {unless}"
            ),
            Fault::WrongExternalAddress { reached: Some(reached), advertised } if command::leads_here(*reached, *advertised) => {
                format!("Set {}.", command::setting(*reached))
            }
            Fault::WrongExternalAddress { advertised, .. } => format!(
                "If {advertised} is not this server's public address, correct CASTWAY_EXTERNAL_IP. If it is, the router does not let devices inside reach it: test from another network."
            ),
            Fault::AnswersLost { .. } => {
                "Set CASTWAY_RELAY_IP to the address that clients reach, and let the machine's route back leave from it.".to_owned()
            }
            Fault::ProxyBeforeName { .. } => "Point a name straight at this machine, and set CASTWAY_EXTERNAL_IP to that name.".to_owned(),
            Fault::UntrustedCertificate { .. } => {
                "Set CASTWAY_DOMAIN for a certificate of Let's Encrypt, or CASTWAY_CERT and CASTWAY_PKEY with one of a public authority.".to_owned()
            }
            Fault::VisitorBlocksUdp { instead: Some(_), .. } => return None,
            Fault::VisitorBlocksUdp { port, .. } => format!("Use another network, or let UDP {port} out in {whose} network."),
            Fault::VisitorBlocksAll { paths, .. } if !paths.is_empty() => {
                let paths = list(paths.iter().map(|(over, port)| path(*over, *port)).collect(), "or");
                format!("Use another network, or let {paths} out in {whose} network.")
            }
            Fault::VisitorBlocksAll { .. } => format!("Use another network, or let UDP out in {whose} network."),
            Fault::CredentialsRefused { reason: Some(CredentialRefusal::Expired { .. } | CredentialRefusal::TooFarAhead { .. }), .. } => {
                "Reload the page. If that does not help, compare the clocks of both machines with date -u.".to_owned()
            }
            Fault::CredentialsRefused { reason: Some(CredentialRefusal::UserRefused), .. } => {
                "castway user list shows the user's state.".to_owned()
            }
            Fault::CredentialsRefused { .. } => {
                "Reload the page. If that does not help, give the issuer and this server the same CASTWAY_STATIC_AUTH_SECRET, and compare their clocks with date -u.".to_owned()
            }
            Fault::RelayRefused { reason, code } => Self::refused_fix(*reason, *code).to_owned(),
            Fault::NoPairWorked { .. } => "Try again over TLS, or from another network.".to_owned(),
        })
    }

    fn either(&self, first: &str, second: &str) -> String {
        format!("Either {first}, or {second}.")
    }

    fn tell_apart(&self, first: &Finding, second: &Finding) -> String {
        let whose = self.whose(first.seen_by);
        match (&first.fault, &second.fault) {
            (Fault::ProxyBeforeName { name }, _) => {
                format!("The addresses of {name} tell them apart: they are this machine's or its router's, or a proxy's.")
            }
            (Fault::UntrustedCertificate { .. }, Fault::TcpClosed { port, .. }) => format!(
                "The device's browser tells them apart: open https:// with this server's name and port {port}. A warning shows the certificate, no answer a closed port."
            ),
            (Fault::AnswersLost { .. }, _) => {
                format!("{OTHER_NETWORK}: if it passes, {whose} network drops the answers.")
            }
            (_, Fault::UntrustedCertificate { .. }) => {
                format!("{OTHER_NETWORK}: if it passes, {whose} network needs TURN over TLS.")
            }
            _ => format!("{OTHER_NETWORK}: if it passes, {whose} network is the cause; if it shows the same, the server is."),
        }
    }

    fn fixes(&self, first: &str, second: &str) -> String {
        format!("In the first case: {first} In the second: {second}")
    }

    fn doubt(&self, finding: &Finding) -> String {
        format!(
            "The server may have missed packets, because UDP from {} can come from another address than the page (IPv4 and IPv6, or another NAT).",
            self.who(finding.seen_by)
        )
    }

    fn space(&self) -> &'static str {
        " "
    }
}

fn text(title: &str, text: &str, fix: Option<&str>) -> Text {
    Text { title: title.to_owned(), text: text.to_owned(), fix: fix.map(str::to_owned) }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// `a, b or c`.
fn list(mut words: Vec<String>, conjunction: &str) -> String {
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} {conjunction} {last}", words.join(", ")) }
}
