use axum::body::{Body, to_bytes};
use axum::http::Request;
use tower::ServiceExt as _;

use super::*;
use crate::config::{Config, Settings};
use crate::http::client_info::Scheme;

fn pages(public_url: &str, frame_ancestors: &str) -> Pages {
    let some = |text: &str| Some(text.to_owned());
    let settings = Settings { public_url: some(public_url), frame_ancestors: some(frame_ancestors), ..Settings::default() };
    let http = Config::read(&settings).unwrap().http;
    Pages::new(http.base_path, http.frame_ancestors)
}

/// The answer's status, headers and body to a browser's request.
async fn asked(pages: &Pages, request: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    let (method, path) = request.split_once(' ').unwrap();
    let client =
        ClientInfo { address: "192.0.2.9".parse().unwrap(), scheme: Scheme::Https, host: Some("example.org".to_owned()) };
    let request = Request::builder().method(method).uri(path).extension(client);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let routes = pages.calls().fallback_service(pages.router());
    let (head, body) = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().into_parts();
    (head.status, head.headers, String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap())
}

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");

#[tokio::test]
async fn what_somebody_has_almost_typed_right_leads_to_the_page() {
    for (base, prefix) in [("https://example.org", ""), ("https://example.org/castway/", "/castway")] {
        let pages = pages(base, "");
        for (request, location) in [
            ("GET /TV", "/tv"),
            ("HEAD /Cast", "/cast"),
            ("GET /CAST/?code=ABC123", "/cast?code=ABC123"),
            ("GET /R/Room?hd=true", "/r/Room?hd=true"),
            ("GET /r/u-YWJj?x", "/r/abc?x"),
            ("GET /r/%EF%BC%A1%EF%BC%A2", "/r/AB"),
        ] {
            let (status, headers, _) = asked(&pages, request, &[BROWSER]).await;
            let expected = format!("{prefix}{location}");
            assert_eq!((status, headers[header::LOCATION].to_str().unwrap()), (StatusCode::PERMANENT_REDIRECT, &*expected));
        }
        assert_eq!(asked(&pages, "POST /TV", &[BROWSER]).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_room_of_any_script_has_a_page_with_its_link() {
    for (base, prefix) in [("https://example.org", ""), ("https://example.org/castway/", "/castway")] {
        let pages = pages(base, "");
        for path in ["/r/%E4%BC%9A%E8%AE%AE", "/r/u-5Lya6K6u", "/r/%E3%80%80%E4%BC%9A%E8%AE%AE"] {
            let (status, headers, body) = asked(&pages, &format!("GET {path}"), &[]).await;
            let link = format!("<link rel=\"canonical\" href=\"{prefix}/r/%E4%BC%9A%E8%AE%AE\" />");
            assert!(status.is_success() && body.contains(&link), "{path}: {status}");
            let tag = headers[header::ETAG].to_str().unwrap().to_owned();
            assert!(tag.ends_with("-u-5Lya6K6u\""), "{tag}");
            let known = asked(&pages, &format!("GET {path}"), &[("if-none-match", &tag)]).await;
            assert_eq!(known.0, StatusCode::NOT_MODIFIED);
        }
        for path in ["/r/constructor", "/r/a%2Fb", "/r/%FF", "/r/a%00", "/r/%E2%80%AEabc%E4%BC%9A"] {
            assert_eq!(asked(&pages, &format!("GET {path}"), &[]).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }
}

#[tokio::test]
async fn programs_are_told_in_words_that_there_is_nothing() {
    let (status, headers, body) = asked(&pages("https://example.org/castway/", ""), "GET /nothing", &[]).await;
    assert_eq!((status, headers.get(header::CONTENT_SECURITY_POLICY)), (StatusCode::NOT_FOUND, None));
    assert!(body.starts_with("Not found. Open /castway/tv on the TV"), "{body}");
    let (_, _, body) = asked(&pages("https://example.org/castway/", ""), "GET /rtc/?EIO=4&transport=polling", &[BROWSER]).await;
    assert!(body.contains("{ path: '/castway/socket.io/' }"), "{body}");
    let (_, _, body) = asked(&Pages::default(), "GET /rtc/?EIO=4&transport=polling", &[BROWSER]).await;
    assert!(body.contains("leave the option `path` alone"), "{body}");
}

#[tokio::test]
async fn pages_and_files_are_only_read() {
    for request in ["POST /tv", "DELETE /tv", "PUT /", "PATCH /cast", "OPTIONS /tv", "POST /r", "DELETE /r/room"] {
        let (status, headers, body) = asked(&Pages::default(), request, &[BROWSER]).await;
        assert_eq!((status, body.as_str()), (StatusCode::METHOD_NOT_ALLOWED, ""), "{request}");
        assert_eq!(headers[header::ALLOW], "GET,HEAD", "{request}");
        assert!(headers.contains_key("permissions-policy"), "{request}");
    }
}

#[tokio::test]
async fn browsers_get_a_page_that_says_so() {
    for request in ["GET /nothing", "HEAD /nothing", "GET /404", "GET /404.html", "GET /r/constructor", "GET /a/b/c"] {
        let pages = pages("https://example.org/castway/", "none");
        let (status, headers, body) = asked(&pages, request, &[BROWSER]).await;
        assert_eq!(
            (status, &headers[header::CACHE_CONTROL]),
            (StatusCode::NOT_FOUND, &HeaderValue::from_static("no-store")),
            "{request}"
        );
        assert!(headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"), "{request}");
        assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().ends_with("frame-ancestors 'none'"));
        assert!(headers.contains_key("permissions-policy") && !headers.contains_key(header::ETAG));
        assert!(request.starts_with("HEAD") || body.contains("href=\"/castway/tv\""), "{request}: {body}");
    }
    for (request, text) in [
        ("GET /api/nothing", "\"error\":\"NotFound\""),
        ("GET /v1alpha/nothing", "\"error\":\"NotFound\""),
        ("POST /nothing", "Not found."),
    ] {
        let (status, headers, body) = asked(&Pages::default(), request, &[BROWSER]).await;
        assert!(status == StatusCode::NOT_FOUND && body.contains(text), "{request}: {headers:?} {body}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{request}");
    }
}

#[tokio::test]
async fn the_policy_names_who_may_frame_the_pages() {
    for (setting, expected) in
        [("", "'self'"), ("none", "'none'"), ("self,https://portal.example", "'self' https://portal.example")]
    {
        let pages = pages("https://example.org", setting);
        for path in ["/", "/tv", "/cast", "/r", "/r/room"] {
            let (_, headers, _) = asked(&pages, &format!("GET {path}"), &[]).await;
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.ends_with(&format!("; frame-ancestors {expected}")), "{path}: {policy}");
        }
    }
}

#[tokio::test]
async fn under_a_base_path_pages_are_compressed_and_have_its_urls() {
    let pages = pages("https://example.org/castway/", "");
    let (_, headers, body) = asked(&pages, "GET /cast", &[]).await;
    assert!(body.contains("<meta name=\"castway-base\" content=\"/castway\" />") && body.contains("href=\"/castway/assets/"));
    assert_eq!(headers.get(header::CONTENT_ENCODING), None);
    let file = &pages.0.changed["cast.html"];
    let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("br, gzip"))]);
    let answer = file.answer("cast.html", &headers);
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(Pages::default().0.changed.is_empty(), "without a base path the built files are sent");
}
