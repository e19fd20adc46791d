//! Which proxies may name the client, and which headers the pages have: the whole program, without a real proxy.

use castway::config::Settings;
use reqwest::{Client, StatusCode};

use super::support::Server;

/// A server that issues credentials only once a minute, and its origin.
async fn server(trusted: &str) -> (String, Server) {
    let text = |text: &str| Some(text.to_owned());
    let server = Server::start(Settings {
        turn_addr: text("0.0.0.0:0"),
        turn_access: text("open"),
        credentials_rate: text("1"),
        trusted_proxies: text(trusted),
        cors_origins: text("https://front.example.org"),
        ..Settings::default()
    });
    let server = server.await;
    (format!("http://{}", server.http), server)
}

async fn turn(origin: &str, lines: &[(&str, &str)]) -> reqwest::Response {
    let request = Client::new().get(format!("{origin}/turn?username=tv"));
    lines.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

#[tokio::test]
async fn limits_and_hosts_go_by_what_a_trusted_proxy_says() {
    let (origin, _server) = server("127.0.0.1").await;
    let alice = [("x-forwarded-for", "203.0.113.1"), ("x-forwarded-host", "cast.example.org")];
    let answer = turn(&origin, &alice).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let text = answer.text().await.unwrap();
    assert!(text.contains("\"turn:cast.example.org:"), "{text}");
    assert_eq!(turn(&origin, &alice).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let spoofing = [("x-forwarded-for", "198.51.100.1, 203.0.113.1")];
    assert_eq!(turn(&origin, &spoofing).await.status(), StatusCode::TOO_MANY_REQUESTS, "alice wrote the first one herself");
    assert_eq!(turn(&origin, &[("forwarded", "for=203.0.113.2")]).await.status(), StatusCode::OK);
    assert_eq!(turn(&origin, &[("x-forwarded-for", "203.0.113.2")]).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn headers_of_strangers_are_ignored() {
    for trusted in ["", "10.0.0.0/8"] {
        let (origin, _server) = server(trusted).await;
        let lines = [("x-forwarded-for", "203.0.113.1"), ("x-forwarded-host", "evil.org"), ("host", "cast.example.org")];
        let text = turn(&origin, &lines).await.text().await.unwrap();
        assert!(text.contains("\"turn:cast.example.org:"), "{text}");
        for header in [("x-forwarded-for", "203.0.113.2"), ("forwarded", "for=203.0.113.3")] {
            assert_eq!(turn(&origin, &[header]).await.status(), StatusCode::TOO_MANY_REQUESTS, "{header:?}");
        }
    }
}

#[tokio::test]
async fn behind_a_proxy_the_servers_own_pages_are_no_foreign_origin() {
    let (origin, _server) = server("127.0.0.1").await;
    for (page, status) in [
        ("https://cast.example.org", StatusCode::OK),
        ("https://front.example.org", StatusCode::OK),
        ("https://evil.org", StatusCode::FORBIDDEN),
    ] {
        let request = Client::new().get(format!("{origin}/socket.io/?EIO=4&transport=polling"));
        let request = request.header("origin", page).header("x-forwarded-host", "cast.example.org");
        assert_eq!(request.send().await.unwrap().status(), status, "{page}");
    }
}

#[tokio::test]
async fn pages_are_hardened() {
    let (origin, _server) = server("").await;
    let http = Client::new();
    for page in ["/", "/tv", "/cast"] {
        let answer = http.get(format!("{origin}{page}")).header("host", "cast.example.org:8080").send().await.unwrap();
        let said = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let policy = said("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'self'"] {
            assert!(policy.contains(part), "{page}: {policy}");
        }
        assert!(policy.contains("connect-src 'self' ws://cast.example.org:8080 wss://cast.example.org:8080;"), "{policy}");
        assert_eq!(said("x-content-type-options"), "nosniff");
        assert_eq!(said("referrer-policy"), "same-origin");
        assert!(said("permissions-policy").contains("display-capture=(self)"));
        assert_eq!(said("strict-transport-security"), "", "there is no way back from it");
        let html = answer.text().await.unwrap();
        for inline in ["<style", "style=", "onclick=", "javascript:"] {
            assert!(!html.contains(inline), "{page} has {inline}");
        }
        assert!(html.split("<script").skip(1).all(|script| script.split('>').next().unwrap().contains("src=")), "{page}");
    }
    for answer in ["/healthz", "/turn?username=nobody", "/nowhere", "/socket.io/?EIO=4&transport=polling", "/socket.io/"] {
        let headers = http.get(format!("{origin}{answer}")).send().await.unwrap().headers().clone();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{answer}");
    }
    // A host with characters that could change the policy is left out of it.
    let answer = http.get(format!("{origin}/tv")).header("host", "a.org;script-src").send().await.unwrap();
    assert!(answer.headers()["content-security-policy"].to_str().unwrap().contains("connect-src 'self';"));
}
