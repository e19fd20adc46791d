//! What the pages may do, and who may show them in a frame.

use axum::http::{HeaderName, HeaderValue, header};

use crate::http::client_info::ClientInfo;

/// Headers of every page. The page may use the screen, the camera and the microphone; frames of other origins may not. Where the page itself
/// is in a frame, it has only those of these features that the site around it grants with `allow=`.
pub(super) const SECURITY_HEADERS: [(HeaderName, &str); 2] = [
    // The URL of a page can contain a code.
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), display-capture=(self), fullscreen=(self), geolocation=(), microphone=(self), payment=(), \
         screen-wake-lock=(self), usb=()",
    ),
];

/// Headers of the page of operators. It uses no device and no WebSocket, and is in no frame.
pub(super) const ADMIN_HEADERS: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), fullscreen=(), geolocation=(), microphone=(), payment=(), screen-wake-lock=(), usb=()",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Scripts, styles and images are files of this server, and nothing is inline. The policy names WebSocket URLs because 'self' does
/// not include them in old engines, and names `ws:` and `wss:` because an untrusted proxy may have terminated TLS.
pub(super) fn content_security(client: &ClientInfo, ancestors: &str) -> HeaderValue {
    // A policy has no syntax for IPv6 addresses.
    let sockets = client
        .host
        .as_ref()
        .filter(|host| !host.contains('['))
        .map(|host| format!(" ws://{host} wss://{host}"))
        .unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'{sockets}; \
         base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
    );
    HeaderValue::from_str(&policy).expect("a checked host is header text")
}
