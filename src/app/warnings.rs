//! What still needs configuration, in sentences: for the start-up report, and for operators while the server runs.

use std::net::IpAddr;

use super::self_test::SelfTest;
use super::server::App;
use crate::addresses::external::ExternalAddresses;
use crate::config::{CertificateSource, HTTPS_PORT, without_last_slash};
use crate::limits::descriptors::{CastCost, DescriptorPools};
use crate::sentence::Sentence;
use crate::tls::{Certificate, CertificateKind, Certificates};
use crate::users::{Directory, RealmMismatches};

/// What the warnings are made from.
pub(super) struct Warnings {
    /// Those that stay while the server runs.
    fixed: Vec<Sentence>,
    descriptors: DescriptorPools,
    cost: CastCost,
    certificates: Option<Certificates>,
    self_test: SelfTest,
    external: ExternalAddresses,
    directory: Directory,
    realm: String,
}

impl App {
    pub(super) fn warnings(&self) -> Warnings {
        let http = &self.config.http;
        let mut fixed = self.listeners.missing.clone();
        let public = http.public_url.as_ref().map(without_last_slash);
        if self.certificates.is_none() && !public.is_some_and(|url| url.starts_with("https:")) {
            let here = format!("http://localhost:{}{}", self.http_addr().port(), http.base_path);
            fixed.push(Sentence::new(
                format!(
                    "No HTTPS: browsers share screens only from HTTPS pages or from localhost. On this machine cast from \
                     {here}/cast; for others set CASTWAY_NO_TLS=false, or put a TLS proxy in front and set CASTWAY_PUBLIC_URL=https://…"
                ),
                format!(
                    "没有 HTTPS：浏览器只允许 HTTPS 页面或 localhost 共享屏幕。在此机器上请从 {here}/cast 投屏；要让其他设备投屏，请设置 \
                     CASTWAY_NO_TLS=false，或在前面部署 TLS 代理并设置 CASTWAY_PUBLIC_URL=https://…"
                ),
            ));
        }
        fixed.extend(self.other_https_port());
        fixed.extend(self.config.warnings());
        fixed.extend(self.control.as_ref().err().map(|Sentence { en, zh }| Sentence::new(capitalized(en), zh)));
        fixed.extend(self.lock.problem().cloned());
        Warnings {
            fixed,
            descriptors: self.descriptors.clone(),
            cost: self.cast_cost(),
            certificates: self.certificates.clone(),
            self_test: self.self_test.clone(),
            external: self.external.clone(),
            directory: self.directory.clone(),
            realm: self.config.relay.realm.clone(),
        }
    }

    /// A warning where the certificate authority has to find this server for the first time, and looks at another port than that of HTTPS.
    fn other_https_port(&self) -> Option<Sentence> {
        let CertificateSource::Acme(acme) = &self.config.tls.source else { return None };
        let has_certificate = self.certificates.as_ref()?.current().kind == CertificateKind::Acme;
        let (port, name) = (self.listeners.https_addr().port(), acme.domains.first()?);
        (port != HTTPS_PORT && !has_certificate).then(|| {
            Sentence::new(
                format!(
                    "The certificate authority and browsers come to port {HTTPS_PORT} of {name}, and HTTPS listens on port {port}: forward \
                     {HTTPS_PORT} to it in the router or where a container publishes its ports, or let Castway listen on {HTTPS_PORT} itself \
                     (CASTWAY_TCP_PORT={HTTPS_PORT})"
                ),
                format!(
                    "证书颁发机构和浏览器访问的是 {name} 的端口 {HTTPS_PORT}，而 HTTPS 监听的是端口 {port}：请在路由器上或发布容器端口的地方把 \
                     {HTTPS_PORT} 转发到该端口，或让 Castway 直接监听 {HTTPS_PORT}（CASTWAY_TCP_PORT={HTTPS_PORT}）"
                ),
            )
        })
    }
}

impl Warnings {
    /// A sentence for each of them.
    pub(super) fn list(&self) -> Vec<Sentence> {
        let mut warnings = self.fixed.clone();
        if self.descriptors.casts(self.cost) == 0 {
            let limit = self.descriptors.limit;
            warnings.push(Sentence::new(
                format!("The limit of open files ({limit}) is too small for one cast over the relay: raise it (LimitNOFILE=, ulimit -n)"),
                format!("打开文件数的上限（{limit}）太小，不够一次经过中继的投屏：请调高（LimitNOFILE=、ulimit -n）"),
            ));
        }
        warnings.extend(self.certificates.as_ref().and_then(|certificates| nameless(&certificates.current())));
        warnings.extend(self.self_test.problems());
        warnings.extend(self.external.problems());
        warnings.extend(RealmMismatches::new(self.realm.clone()).new_warning(&self.directory));
        warnings
    }
}

fn capitalized(sentence: &str) -> String {
    let mut rest = sentence.chars();
    rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect()
}

/// A warning about a certificate that no DNS name can be taken from.
fn nameless(certificate: &Certificate) -> Option<Sentence> {
    let has_name = certificate.names.iter().any(|name| name.parse::<IpAddr>().is_err());
    (certificate.is_trusted() && !has_name).then(|| {
        let names = certificate.names.join(", ");
        Sentence::new(
            format!(
                "The certificate is for {names} only, so turns: URLs name an IP address, and Firefox sends nothing to them. Get a \
                 certificate for a DNS name"
            ),
            format!("证书只适用于 {names}，因此 turns: 地址中是 IP 地址，而 Firefox 不会向其发送任何数据。请申请域名证书"),
        )
    })
}
