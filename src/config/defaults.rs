//! Each default of a setting, once.

use super::settings::Settings;

/// A default that the program finds out when it starts, in words.
#[derive(Debug)]
pub struct ComputedDefault {
    /// A field of [`Settings`].
    pub field: &'static str,
    pub text: &'static str,
    pub text_zh: &'static str,
}

/// The defaults that are not in [`Settings::defaults`].
pub const COMPUTED_DEFAULTS: [ComputedDefault; 6] = [
    ComputedDefault {
        field: "public_url", text: "the address that each client used", text_zh: "客户端访问时所用的地址"
    },
    ComputedDefault {
        field: "cert_trusted",
        text: "true if the authority is a public one or in this machine's trust store",
        text_zh: "签发者是公共证书机构或在本机信任库中时为 true",
    },
    ComputedDefault { field: "external_ip", text: "the machine's own address", text_zh: "本机地址" },
    ComputedDefault {
        field: "relay_ip",
        text: "those of the default routes, which are followed when they change",
        text_zh: "默认路由的地址，并随其变化",
    },
    ComputedDefault {
        field: "relay_threads",
        text: "the number of processor cores, 4 at most",
        text_zh: "处理器核心数，最多 4 个",
    },
    ComputedDefault {
        field: "static_auth_secret", text: "generated, in the database", text_zh: "自动生成，保存在数据库中"
    },
];

impl Settings {
    /// The default of each setting that has a fixed one. The reader falls back to these texts, the help shows them, and a test
    /// compares `.env.example` with them.
    #[must_use]
    pub fn defaults() -> Self {
        let text = |text: &str| Some(text.to_owned());
        Self {
            data_dir: text("data"),
            http_addr: text("[::]:8080"),
            https_addr: text("[::]:8443"),
            turns_addr: text("[::]:5349"),
            no_tls: text("false"),
            acme_directory: text("https://acme-v02.api.letsencrypt.org/directory"),
            address_connections: text("2000"),
            metrics_allow: text("127.0.0.0/8,::1"),
            cors_origins: text("*"),
            frame_ancestors: text("self"),
            admin_allow: text("any"),
            admin_under_path: text("false"),
            turn_addr: text("[::]:3478"),
            allocation_default_address_family: text("ipv4"),
            turn_http: text("false"),
            min_port: text("49152"),
            max_port: text("65535"),
            realm: text("castway"),
            relay_scope: text("credentials"),
            clients_lifetime: text("86400"),
            clients_allocations: text("2000"),
            clients_capacity: text("80"),
            no_udp: text("false"),
            no_tcp: text("false"),
            no_tcp_relay: text("true"),
            rfc5780: text("false"),
            alt_listening_port: text("0"),
            coalesce: text("100"),
            user_quota: text("0"),
            total_quota: text("0"),
            max_bps: text("6250000"),
            user_bps: text("0"),
            bps_capacity: text("0"),
            clients_bps: text("25000000"),
            max_permissions: text("64"),
            max_channels: text("64"),
            max_connections: text("16"),
            new_peers: text("32"),
            stale_nonce: text("600"),
            max_allocate_lifetime: text("3600"),
            strict_expiry: text("false"),
            mobility: text("false"),
            icmp_indications: text("false"),
            software: text("false"),
            turn_access: text("open"),
            ttl: text("86400"),
            max_foreign_ttl: text("0"),
            credentials_rate: text("2000"),
            ice_access: text("open"),
            ice_rate: text("2000"),
            ice_ttl: text("86400"),
            api_docs: text("false"),
            usage_name: text("whole"),
            usage_days: text("62"),
            usage_months: text("24"),
            max_calls: text("10000"),
            call_rate: text("1200"),
            call_sockets: text("300"),
            code_alphabet: text("letters"),
            new_code: text("after-idle"),
            grace: text("60"),
            takeover: text("true"),
            cast_access: text("anyone"),
            wrong_codes: text("20"),
            max_bitrate: text("0"),
            max_rooms: text("10000"),
            multi_grace: text("20"),
            multi_max_users: text("10000"),
            multi_max_per_address: text("1000"),
            authorize: text("tv,caster,call"),
            authorize_down: text("refuse"),
            hooks_private: text("false"),
            drain: text("5"),
            log: text("info"),
            log_format: text("text"),
            ..Self::default()
        }
    }
}
