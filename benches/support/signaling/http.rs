//! Requests and responses of HTTP/1.1, as far as polling and AppRTC need them.

use std::net::SocketAddr;

use anyhow::{Context, ensure};

use super::stamp::find;

/// The headers of a browser, which every request has.
const BROWSER: &str = "Accept-Language: en-US,en;q=0.9\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n";

/// A request with a body, if there is one.
pub(crate) fn request(method: &str, path: &str, server: SocketAddr, body: Option<&str>) -> Vec<u8> {
    let body_headers = body
        .map_or_else(String::new, |body| format!("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n", body.len()));
    let body = body.unwrap_or_default();
    format!("{method} {path} HTTP/1.1\r\nHost: {server}\r\nOrigin: http://{server}\r\n{BROWSER}{body_headers}\r\n{body}")
        .into_bytes()
}

/// A request for a WebSocket.
pub(crate) fn websocket_request(path: &str, server: SocketAddr) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://{server}\r\n{BROWSER}\r\n"
    )
    .into_bytes()
}

/// The body of the first response in `bytes`, and the length of the whole response; `None` where it has not come completely.
///
/// # Errors
/// It is not a 200 response, or has neither a length nor chunks.
pub(crate) fn response(bytes: &[u8]) -> anyhow::Result<Option<(Vec<u8>, usize)>> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end])?;
    ensure!(head.starts_with("HTTP/1.1 200"), "the server answered {head}");
    let header = |wanted: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim())
    };
    let rest = &bytes[end + 4..];
    if let Some(len) = header("Content-Length") {
        let len = len.parse().context("an odd Content-Length")?;
        return Ok(rest.get(..len).map(|body| (body.to_vec(), end + 4 + len)));
    }
    ensure!(header("Transfer-Encoding") == Some("chunked"), "the body has no length: {head}");
    let (mut body, mut at) = (Vec::new(), 0);
    while let Some(line) = find(&rest[at..], b"\r\n") {
        let len = usize::from_str_radix(std::str::from_utf8(&rest[at..at + line])?, 16).context("an odd chunk")?;
        at += line + 2;
        let Some(chunk) = rest.get(at..at + len + 2) else { return Ok(None) };
        at += len + 2;
        if len == 0 {
            return Ok(Some((body, end + 4 + at)));
        }
        body.extend_from_slice(&chunk[..len]);
    }
    Ok(None)
}
