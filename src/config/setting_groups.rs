//! [`SettingGroup`]: the headings under which the help and the documents list the settings.

/// Settings that belong together.
#[derive(Debug)]
pub struct SettingGroup {
    pub heading: &'static str,
    pub heading_zh: &'static str,
    /// Fields of [`Settings`](super::Settings).
    pub fields: &'static [&'static str],
}

/// Every setting is in one of them. The help lists them in the order of [`Settings`](super::Settings), which is the same.
pub const SETTING_GROUPS: [SettingGroup; 10] = [
    SettingGroup {
        heading: "Pages, Socket.IO and API",
        heading_zh: "页面、Socket.IO 与 API",
        fields: &[
            "data_dir",
            "tcp_port",
            "http_addr",
            "https_addr",
            "turns_addr",
            "public_url",
            "trusted_proxies",
            "plain_api",
            "cors_origins",
            "frame_ancestors",
            "address_connections",
            "metrics_allow",
            "api_docs",
        ],
    },
    SettingGroup {
        heading: "Certificates",
        heading_zh: "证书",
        fields: &["no_tls", "domain", "acme_email", "acme_directory", "acme_ca", "cert", "pkey", "cert_trusted"],
    },
    SettingGroup {
        heading: "Operators",
        heading_zh: "管理员",
        fields: &[
            "admin_allow",
            "admin_under_path",
            "usage_name",
            "usage_days",
            "usage_months",
            "webhook_url",
            "webhook_secret",
            "webhook_secret_file",
            "authorize_url",
            "authorize",
            "authorize_down",
            "hooks_private",
        ],
    },
    SettingGroup {
        heading: "Relay: addresses and ports",
        heading_zh: "中继：地址与端口",
        fields: &[
            "turn_addr",
            "turn_http",
            "external_ip",
            "stun_servers",
            "relay_ip",
            "allocation_default_address_family",
            "min_port",
            "max_port",
            "no_udp",
            "no_tcp",
            "no_tcp_relay",
            "rfc5780",
            "alt_listening_port",
            "alt_ip",
            "alternate_server",
            "relay_threads",
            "coalesce",
        ],
    },
    SettingGroup {
        heading: "Relay: who may reach whom",
        heading_zh: "中继：谁可以访问谁",
        fields: &[
            "realm",
            "relay_scope",
            "allowed_peer_ip",
            "denied_peer_ip",
            "clients_peer_ip",
            "clients_lifetime",
            "clients_allocations",
            "clients_capacity",
        ],
    },
    SettingGroup {
        heading: "Relay: limits",
        heading_zh: "中继：限制",
        fields: &[
            "user_quota",
            "total_quota",
            "max_bps",
            "user_bps",
            "bps_capacity",
            "clients_bps",
            "max_permissions",
            "max_channels",
            "max_connections",
            "new_peers",
            "stale_nonce",
            "max_allocate_lifetime",
            "strict_expiry",
            "mobility",
            "icmp_indications",
            "software",
        ],
    },
    SettingGroup {
        heading: "TURN credentials",
        heading_zh: "TURN 凭据",
        fields: &[
            "static_auth_secret",
            "static_auth_secret_file",
            "turn_access",
            "api_keys",
            "api_keys_file",
            "ttl",
            "max_foreign_ttl",
            "credentials_rate",
            "ice_access",
            "ice_rate",
            "ice_ttl",
            "provider_apis",
        ],
    },
    SettingGroup {
        heading: "Casts",
        heading_zh: "投屏",
        fields: &["cast_access", "code_alphabet", "new_code", "grace", "takeover", "wrong_codes", "max_bitrate", "max_rooms"],
    },
    SettingGroup {
        heading: "Calls and rooms",
        heading_zh: "通话与房间",
        fields: &[
            "collider_addr",
            "max_calls",
            "call_rate",
            "call_sockets",
            "multi_grace",
            "multi_max_users",
            "multi_max_per_address",
        ],
    },
    SettingGroup { heading: "The program", heading_zh: "程序", fields: &["drain", "log", "log_format"] },
];

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    #[test]
    fn every_setting_is_in_one_group() {
        let mut grouped: Vec<_> = SETTING_GROUPS.iter().flat_map(|group| group.fields).map(|field| (*field).to_owned()).collect();
        grouped.sort();
        let mut fields: Vec<_> = Settings::default().fields().into_keys().collect();
        fields.sort();
        assert_eq!(grouped, fields);
    }
}
