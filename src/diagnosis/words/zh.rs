//! Chinese.

use super::command;
use super::figures::{duration, path, path_name, time};
use super::language::{Language, Reader, Subject, Text};
use crate::diagnosis::verdict::{Fault, Finding, Side};
use crate::turn::{CredentialRefusal, RefusalReason};

pub(super) struct Chinese {
    pub(super) reader: Reader,
}

const OPEN: &str = "请在服务器的防火墙和云平台的安全组中同时放行";
const OTHER_NETWORK: &str = "换一个网络（例如关闭 Wi-Fi 的手机）再检查即可区分";

impl Chinese {
    fn own(&self) -> &'static str {
        match self.reader {
            Reader::Caster | Reader::Tv | Reader::Caller | Reader::Callee => "您",
            Reader::Operator(Subject::Check) => "该设备",
            Reader::Operator(Subject::Cast) => "投屏设备",
            Reader::Operator(Subject::Call) => "主叫方",
        }
    }

    fn other(&self) -> &'static str {
        match self.reader {
            Reader::Caster | Reader::Operator(Subject::Cast) => "电视",
            Reader::Tv => "投屏设备",
            Reader::Caller | Reader::Callee => "对方",
            Reader::Operator(Subject::Check) => "第二台设备",
            Reader::Operator(Subject::Call) => "被叫方",
        }
    }

    fn uses(&self) -> &'static str {
        match self.reader {
            Reader::Caster | Reader::Tv | Reader::Operator(Subject::Check | Subject::Cast) => "投屏",
            Reader::Caller | Reader::Callee | Reader::Operator(Subject::Call) => "通话",
        }
    }

    fn who(&self, end: Side) -> String {
        match self.reader.sees(end) {
            Side::Tv => self.other().to_owned(),
            Side::Both => format!("{}和{}", self.own(), self.other()),
            Side::Caster | Side::Server | Side::Unknown => self.own().to_owned(),
        }
    }

    fn refused_credentials(reason: Option<CredentialRefusal>, static_secret: bool) -> String {
        let sentence = match reason {
            Some(CredentialRefusal::Expired { ago }) => {
                let ago = duration(ago);
                return format!("凭据已过期 {ago}（401）：凭据确实这么旧，或者签发方或本机的时钟偏差了 {ago}。");
            }
            Some(CredentialRefusal::TooFarAhead { ahead, most }) => {
                let (ahead, most) = (duration(ahead), duration(most));
                return format!(
                    "凭据在 {ahead} 后才过期，而最长只允许 {most}（401）：签发方或本机的时钟有偏差，或者有效期过长。"
                );
            }
            Some(CredentialRefusal::WrongSignature) if static_secret => {
                "中继不认识签发凭据所用的密钥（401）：本服务器与签发方的 CASTWAY_STATIC_AUTH_SECRET 不一致，或密钥已更换。"
            }
            Some(CredentialRefusal::WrongSignature) => {
                "中继不认识签发凭据所用的密钥（401）：凭据由另一台服务器签发，或密钥已吊销。"
            }
            Some(CredentialRefusal::UserRefused) => "中继拒绝凭据中的用户（401）：该用户已停用、已删除或已更换范围。",
            Some(CredentialRefusal::OtherRealm | CredentialRefusal::UserOfOtherRealm) => {
                "凭据的 realm 与 CASTWAY_REALM 不同（401）。"
            }
            Some(CredentialRefusal::UnknownUser | CredentialRefusal::WrongPassword) => "中继没有使用该密码的用户（401）。",
            Some(CredentialRefusal::Malformed | CredentialRefusal::Milliseconds | CredentialRefusal::ForeignForm) => {
                "凭据的用户名不是“过期时间:用户”的形式，过期时间须以秒为单位（401）。"
            }
            None => "中继拒绝了凭据（401）：中继不认识签发凭据所用的密钥，或按中继的时钟凭据已过期。",
        };
        sentence.to_owned()
    }

    const fn refused(reason: Option<RefusalReason>, code: u16) -> &'static str {
        match (reason, code) {
            (Some(RefusalReason::UserQuota), _) => "该用户的分配数已达上限",
            (Some(RefusalReason::TrafficQuota), _) => "该用户本月的流量配额已用完",
            (Some(RefusalReason::AddressQuota), _) => "该地址的分配数已达上限",
            (Some(RefusalReason::TotalQuota), _) => "服务器的分配数已达上限",
            (Some(RefusalReason::ShuttingDown), _) => "服务器正在关闭",
            (Some(RefusalReason::NoPort), _) => "没有空闲的中继端口",
            (Some(RefusalReason::StrangersCapacity), _) => "容量不足，用户优先于访客",
            (Some(RefusalReason::Socket(_)), _) => "系统无法为中继地址打开套接字",
            (Some(RefusalReason::NoAddressOfFamily(_)), _) | (None, 440) => "中继没有此协议族的地址",
            (None, 486) => "分配数的配额已用完",
            (None, 508) => "中继没有剩余容量",
            _ => "请求与中继的设置不符",
        }
    }

    const fn refused_fix(reason: Option<RefusalReason>, code: u16) -> &'static str {
        match (reason, code) {
            (Some(RefusalReason::UserQuota), _) => "请调高 CASTWAY_USER_QUOTA。",
            (Some(RefusalReason::TrafficQuota), _) => "请用 castway user quota 提高该用户的配额。",
            (Some(RefusalReason::AddressQuota), _) => "如果该地址后面有很多人，请调高 CASTWAY_CLIENTS_ALLOCATIONS。",
            (Some(RefusalReason::TotalQuota), _) => "请调高 CASTWAY_TOTAL_QUOTA。",
            (Some(RefusalReason::ShuttingDown), _) => "请在服务器启动后重试。",
            (Some(RefusalReason::NoPort), _) => "请扩大 CASTWAY_MIN_PORT 到 CASTWAY_MAX_PORT 的范围。",
            (Some(RefusalReason::NoAddressOfFamily(_)), _) | (None, 440) => {
                "请在 CASTWAY_RELAY_IP 和 CASTWAY_EXTERNAL_IP 中指定此协议族的地址。"
            }
            (None, 486) => "请调高 CASTWAY_USER_QUOTA 或 CASTWAY_CLIENTS_ALLOCATIONS；服务器日志会写明是哪个配额。",
            _ => "原因在服务器日志中，处理办法见 docs/troubleshooting.md。",
        }
    }
}

impl Language for Chinese {
    fn fine(&self) -> Text {
        text("一切正常", "所有测试项均正常。", None)
    }

    fn denied_peer(&self) -> Text {
        text(
            "未测试中继端口",
            "其他路径均正常。按中继的策略，本设备的地址不能作为对端（所有内网地址都是如此），因此无法得知中继端口的情况。",
            Some("请从外部网络检查，例如关闭 Wi-Fi 的手机。"),
        )
    }

    fn unsupported(&self) -> Text {
        text("未做任何测试", "此浏览器不支持 WebRTC，或支持不足，无法测试任何路径。", Some("请换用其他浏览器或设备。"))
    }

    fn unknown(&self) -> Text {
        text(
            "未能建立连接",
            "未能建立连接，从服务器和页面所见无法得出原因。",
            Some("管理员可运行 castway doctor，并在本设备上进行检查，以了解更多。"),
        )
    }

    fn title(&self, finding: &Finding) -> String {
        let who = self.who(finding.side);
        match &finding.fault {
            Fault::UdpClosed { port, tcp: None } => format!("UDP {port} 不通"),
            Fault::UdpClosed { port, tcp: Some(tcp) } => format!("UDP {port} 和 TCP {tcp} 不通"),
            Fault::TcpClosed { port, .. } => format!("TCP {port} 不通"),
            Fault::RangeClosed { .. } => "无法到达中继端口".to_owned(),
            Fault::WrongExternalAddress { .. } => "服务器公布的是另一个地址".to_owned(),
            Fault::AnswersLost { .. } => "服务器的应答丢失".to_owned(),
            Fault::ProxyBeforeName { .. } => "域名指向了代理".to_owned(),
            Fault::UntrustedCertificate { .. } => "基于 TLS 的 TURN 不可用".to_owned(),
            Fault::VisitorBlocksUdp { .. } => format!("{who}所在的网络阻止 UDP"),
            Fault::VisitorBlocksAll { tried: false, .. } => format!("{who}没有任何数据到达中继"),
            Fault::VisitorBlocksAll { .. } => format!("{who}所在的网络阻止访问中继"),
            Fault::CredentialsRefused { .. } => "中继拒绝了凭据".to_owned(),
            Fault::RelayRefused { .. } => "中继拒绝了连接".to_owned(),
            Fault::NoPairWorked { .. } => "两端之间没有数据通过".to_owned(),
        }
    }

    fn seen(&self, finding: &Finding) -> String {
        let who = self.who(finding.seen_by);
        match &finding.fault {
            Fault::UdpClosed { port, tcp: None } => format!("{who}没有任何数据到达 UDP {port}，而 TCP 可以到达。"),
            Fault::UdpClosed { port, tcp: Some(tcp) } => {
                format!("{who}没有任何数据到达 UDP {port} 或 TCP {tcp}，而页面可以访问服务器。")
            }
            Fault::TcpClosed { port, .. } if finding.side == Side::Server => format!("{who}没有任何数据到达中继的 TCP {port}。"),
            Fault::TcpClosed { port, .. } => format!("TCP {port} 对其他人可用，对{who}不可用。{}会使用其他路径。", self.uses()),
            Fault::RangeClosed { ports: (first, last), sent } => {
                format!("中继有应答，但发往其端口 {first}–{last}/UDP 的 {sent} 个数据包均未到达。")
            }
            Fault::WrongExternalAddress { reached: Some(reached), advertised } => {
                format!("{who}通过 {reached} 访问本服务器，但它公布的地址是 {advertised}。")
            }
            Fault::WrongExternalAddress { reached: None, advertised } => {
                format!("本服务器公布的地址是 {advertised}，但没有任何数据经该地址到达。")
            }
            Fault::AnswersLost { from, .. } => format!(
                "{who}的数据包已到达{}，但我们的应答没有回到{who}：应答从另一个地址或路由发出，或在返回途中被丢弃。",
                from.map(|from| format!("（来自 {from}）")).unwrap_or_default()
            ),
            Fault::ProxyBeforeName { name } => format!("{name} 指向一个不转发 UDP 的代理。"),
            Fault::UntrustedCertificate { known: true, others_work: true } => {
                "基于 TLS 的 TURN 需要设备信任的证书。其他路径可用；只开放 TLS 的网络则不可用。".to_owned()
            }
            Fault::UntrustedCertificate { known: true, others_work: false } => format!(
                "{who}没有任何数据经 UDP 或 TCP 到达中继。在只开放 TLS 的网络中，基于 TLS 的 TURN 可以通过，但它需要设备信任的证书。"
            ),
            Fault::UntrustedCertificate { known: false, .. } => format!("{who}没有任何数据经 TLS 到达中继，其他路径可用。"),
            Fault::VisitorBlocksUdp { port, last_elsewhere, instead } => {
                let first = match last_elsewhere {
                    Some(at) => format!("UDP {port} 对其他人可用（最近一次 {}），对{who}不可用", time(*at)),
                    None => format!("{who}没有任何数据到达 UDP {port}"),
                };
                let instead =
                    instead.map(|(over, port)| format!("，{port} 端口的 {} 可用。{}会使用它。", path_name(over), self.uses()));
                first + &instead.unwrap_or_else(|| "。".to_owned())
            }
            Fault::VisitorBlocksAll { tried: false, .. } => format!(
                "{who}没有任何数据到达中继，其页面也没有发送报告：可能是{who}所在的网络不放行，也可能是该页面不使用此中继。"
            ),
            Fault::VisitorBlocksAll { paths, last_elsewhere, .. } => {
                let others = last_elsewhere.map(|at| format!("，但其他人可以到达（最近一次 {}）", time(at)));
                format!("{who}没有任何数据经 {} 到达中继{}。", list(paths), others.unwrap_or_default())
            }
            Fault::CredentialsRefused { reason, static_secret } => Self::refused_credentials(*reason, *static_secret),
            Fault::RelayRefused { reason, code } => format!("中继以错误 {code} 拒绝了{who}：{}。", Self::refused(*reason, *code)),
            Fault::NoPairWorked { .. } if finding.seen_by == Side::Unknown => {
                let device = if self.own() == "您" { "本设备" } else { self.own() };
                format!("{device}可以到达中继，但未能与第二台设备建立经由中继的连接。")
            }
            Fault::NoPairWorked { last, path } => {
                let both = format!("{}都有中继地址，但两者之间未能建立连接。", self.who(Side::Both));
                let over = path.map(|over| format!("经 {} ", path_name(over))).unwrap_or_default();
                match last {
                    Some(last) => format!("{both}最后到达中继、发往另一端的数据包来自{}，{over}到达。", self.who(*last)),
                    None => format!("{both}两端都没有发往另一端的数据包到达中继。"),
                }
            }
        }
    }

    fn cause(&self, finding: &Finding) -> String {
        let who = self.who(finding.side);
        match &finding.fault {
            Fault::UdpClosed { port, tcp: None } => format!("服务器未开放 UDP {port}"),
            Fault::UdpClosed { port, tcp: Some(tcp) } => format!("服务器未开放 UDP {port} 和 TCP {tcp}"),
            Fault::TcpClosed { port, .. } => format!("服务器未开放 TCP {port}"),
            Fault::RangeClosed { ports: (first, last), .. } => format!("服务器未开放 UDP {first}–{last}"),
            Fault::WrongExternalAddress { advertised, .. } => format!("{advertised} 不通往本服务器"),
            Fault::AnswersLost { .. } => "服务器的应答从另一个地址或路由发出".to_owned(),
            Fault::ProxyBeforeName { name } => format!("{name} 指向代理"),
            Fault::UntrustedCertificate { .. } => {
                format!("{}所在的网络只放行 TLS，而设备不信任服务器的证书", self.who(finding.seen_by))
            }
            Fault::VisitorBlocksUdp { .. } => format!("{who}所在的网络不放行 UDP"),
            Fault::VisitorBlocksAll { tried: false, .. } => format!("{who}所在的网络不放行通往服务器的 UDP"),
            Fault::VisitorBlocksAll { .. } => format!("{who}所在的网络不放行通往中继的任何数据"),
            Fault::CredentialsRefused { .. } => "中继拒绝了凭据".to_owned(),
            Fault::RelayRefused { .. } => "中继拒绝了连接".to_owned(),
            Fault::NoPairWorked { .. } => "两端之间没有数据通过".to_owned(),
        }
    }

    fn fix(&self, finding: &Finding) -> Option<String> {
        let who = self.who(finding.seen_by);
        let unless = format!("如果从其他网络检查正常，则是{who}所在的网络阻止了它。");
        Some(match &finding.fault {
            Fault::UdpClosed { port, tcp: None } => format!("{OPEN} UDP {port}。"),
            Fault::UdpClosed { port, tcp: Some(tcp) } => format!("{OPEN} UDP {port} 和 TCP {tcp}。"),
            Fault::TcpClosed { port, .. } if finding.side == Side::Server => format!("{OPEN} TCP {port}。{unless}"),
            Fault::TcpClosed { .. } => return None,
            Fault::RangeClosed { ports: (first, last), .. } => {
                format!("{OPEN} UDP {first}–{last}，或将 CASTWAY_MIN_PORT 和 CASTWAY_MAX_PORT 设为已放行的范围。{unless}")
            }
            Fault::WrongExternalAddress { reached: Some(reached), advertised } if command::leads_here(*reached, *advertised) => {
                format!("请设置 {}。", command::setting(*reached))
            }
            Fault::WrongExternalAddress { advertised, .. } => format!(
                "如果 {advertised} 不是本服务器的公网地址，请更正 CASTWAY_EXTERNAL_IP。如果是，则路由器不允许内部设备访问该地址：请从其他网络测试。"
            ),
            Fault::AnswersLost { .. } => "请将 CASTWAY_RELAY_IP 设为客户端访问的地址，并让返回的路由从该地址发出。".to_owned(),
            Fault::ProxyBeforeName { .. } => "请让一个域名直接指向本机，并将 CASTWAY_EXTERNAL_IP 设为该域名。".to_owned(),
            Fault::UntrustedCertificate { .. } => {
                "请设置 CASTWAY_DOMAIN 以获取 Let's Encrypt 证书，或用 CASTWAY_CERT 和 CASTWAY_PKEY 指定公共机构签发的证书。".to_owned()
            }
            Fault::VisitorBlocksUdp { instead: Some(_), .. } => return None,
            Fault::VisitorBlocksUdp { port, .. } => format!("请换一个网络，或在{who}所在的网络中放行出站 UDP {port}。"),
            Fault::VisitorBlocksAll { paths, .. } if !paths.is_empty() => {
                format!("请换一个网络，或在{who}所在的网络中放行出站 {}。", list(paths))
            }
            Fault::VisitorBlocksAll { .. } => format!("请换一个网络，或在{who}所在的网络中放行出站 UDP。"),
            Fault::CredentialsRefused { reason: Some(CredentialRefusal::Expired { .. } | CredentialRefusal::TooFarAhead { .. }), .. } => {
                "请刷新页面。如果仍然不行，请用 date -u 比较两台机器的时钟。".to_owned()
            }
            Fault::CredentialsRefused { reason: Some(CredentialRefusal::UserRefused), .. } => {
                "castway user list 会显示用户的状态。".to_owned()
            }
            Fault::CredentialsRefused { .. } => {
                "请刷新页面。如果仍然不行，请让签发方与本服务器使用相同的 CASTWAY_STATIC_AUTH_SECRET，并用 date -u 比较两边的时钟。".to_owned()
            }
            Fault::RelayRefused { reason, code } => Self::refused_fix(*reason, *code).to_owned(),
            Fault::NoPairWorked { .. } => "请改用 TLS 重试，或换一个网络。".to_owned(),
        })
    }

    fn either(&self, first: &str, second: &str) -> String {
        format!("原因有两种可能：{first}，或者{second}。")
    }

    fn tell_apart(&self, first: &Finding, second: &Finding) -> String {
        let who = self.who(first.seen_by);
        match (&first.fault, &second.fault) {
            (Fault::ProxyBeforeName { name }, _) => {
                format!("查看 {name} 的地址即可区分：是本机或其路由器的地址，还是代理的地址。")
            }
            (Fault::UntrustedCertificate { .. }, Fault::TcpClosed { port, .. }) => format!(
                "用设备的浏览器以 https:// 打开本服务器的域名和端口 {port} 即可区分：出现警告说明是证书问题，没有应答说明端口未开放。"
            ),
            (Fault::AnswersLost { .. }, _) => format!("{OTHER_NETWORK}：如果正常，则是{who}所在的网络丢弃了应答。"),
            (_, Fault::UntrustedCertificate { .. }) => {
                format!("{OTHER_NETWORK}：如果正常，则{who}所在的网络需要基于 TLS 的 TURN。")
            }
            _ => format!("{OTHER_NETWORK}：如果正常，原因在{who}所在的网络；如果结果相同，原因在服务器。"),
        }
    }

    fn fixes(&self, first: &str, second: &str) -> String {
        format!("若是前者：{first}若是后者：{second}")
    }

    fn doubt(&self, finding: &Finding) -> String {
        let who = self.who(finding.seen_by);
        format!("服务器可能漏看了数据包，因为{who}的 UDP 与页面可能来自不同的地址（IPv4 与 IPv6，或不同的 NAT）。")
    }

    fn space(&self) -> &'static str {
        ""
    }
}

fn text(title: &str, text: &str, fix: Option<&str>) -> Text {
    Text { title: title.to_owned(), text: text.to_owned(), fix: fix.map(str::to_owned) }
}

fn list(paths: &[(crate::diagnosis::observation::Path, u16)]) -> String {
    paths.iter().map(|(over, port)| path(*over, *port)).collect::<Vec<_>>().join("、")
}
