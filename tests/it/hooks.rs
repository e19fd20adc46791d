//! Requests to servers of the operator: the question who may take a seat, against real HTTP servers.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response, StatusCode, header};
use castway::config::secret::Secret;
use castway::config::{AskedSeats, AuthorizeConfig, HookUrl};
use castway::hooks::authorize::{ANSWER_TIMEOUT, Answer, Authorizer, Question, SeatKind};
use castway::hooks::client::{Client, Target};
use castway::hooks::error::PostError;
use castway::hooks::event::Event;
use castway::hooks::resolve::Resolver;
use castway::hooks::webhooks::{FIRST_PAUSE, Webhooks};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::relay::{EVENT_TIMEOUT, until};

const SECRET: &str = "0123456789abcdef";

/// A server of the operator.
#[derive(Clone)]
struct Receiver(Arc<Received>);

struct Received {
    addr: SocketAddr,
    requests: Mutex<Vec<(HeaderMap, Bytes)>>,
    open: AtomicUsize,
    most_open: AtomicUsize,
    /// Each request takes one before it is answered.
    permits: Semaphore,
    answer: Mutex<(StatusCode, String)>,
    /// How long a request takes.
    delay: Mutex<Duration>,
    /// The statuses of events with these names.
    refused: Mutex<Vec<(&'static str, u16)>>,
}

impl Receiver {
    /// Answers at once.
    async fn start() -> Self {
        let receiver = Self::hanging().await;
        receiver.0.permits.add_permits(Semaphore::MAX_PERMITS / 2);
        receiver
    }

    /// Answers as many requests as it gets permits.
    async fn hanging() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self(Arc::new(Received {
            addr: listener.local_addr().unwrap(),
            requests: Mutex::default(),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            permits: Semaphore::new(0),
            answer: Mutex::new((StatusCode::OK, json!({"allow": true}).to_string())),
            delay: Mutex::default(),
            refused: Mutex::default(),
        }));
        let serving = receiver.clone();
        let router = Router::new().fallback(move |request| serving.clone().serve(request));
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    async fn serve(self, request: Request) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let event = serde_json::from_slice::<Value>(&body).unwrap()["event"].clone();
        self.0.requests.lock().unwrap().push((parts.headers, body));
        let open = self.0.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_open.fetch_max(open, Ordering::SeqCst);
        self.0.permits.acquire().await.unwrap().forget();
        let delay = *self.0.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        let (mut status, body) = self.0.answer.lock().unwrap().clone();
        if let Some((_, refused)) = self.0.refused.lock().unwrap().iter().find(|(name, _)| event == *name) {
            status = StatusCode::from_u16(*refused).unwrap();
        }
        let response = Response::builder().status(status).header(header::LOCATION, self.url().replace("/hook", "/other"));
        response.body(Body::from(body)).unwrap()
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.0.addr)
    }

    fn answers(&self, status: u16, body: impl ToString) {
        *self.0.answer.lock().unwrap() = (StatusCode::from_u16(status).unwrap(), body.to_string());
    }

    fn count(&self) -> usize {
        self.0.requests.lock().unwrap().len()
    }

    fn json(&self, number: usize) -> Value {
        serde_json::from_slice(&self.0.requests.lock().unwrap()[number].1).unwrap()
    }
}

fn client() -> Client {
    Client::new(Secret::new(SECRET.into()), false, Resolver::of_machine())
}

/// Waits long for answers, unlike the server.
fn authorizer(url: &str, allows_when_down: bool) -> Authorizer {
    authorizer_within(EVENT_TIMEOUT, url, allows_when_down)
}

fn authorizer_within(limit: Duration, url: &str, allows_when_down: bool) -> Authorizer {
    let seats = AskedSeats { tv: true, caster: true, call: false };
    let config = AuthorizeConfig { url: HookUrl::read(url, false).unwrap(), seats, allows_when_down };
    Authorizer::new(Some(&config), Some(&client()), limit)
}

fn question(address: impl Into<IpAddr>, name: &str) -> Question {
    Question {
        kind: SeatKind::Caster,
        place: Some("E3F7KZ".into()),
        name: Some(name.into()),
        user: None,
        token: Some(Secret::new("a token".into())),
        address: address.into(),
        agent: None,
    }
}

#[tokio::test]
async fn the_operators_server_decides_and_knows_who_asks() {
    let receiver = Receiver::start().await;
    let authorizer = authorizer(&receiver.url(), false);
    assert_eq!(authorizer.ask(question([192, 0, 2, 1], "Anna")).await, Answer::Allowed);
    let (headers, body) = receiver.0.requests.lock().unwrap()[0].clone();
    let timestamp = headers["x-castway-timestamp"].to_str().unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(&body);
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(headers["x-castway-signature"], format!("sha256={signature}"));
    assert_eq!(
        (&headers["host"], &headers["content-type"]),
        (&receiver.0.addr.to_string().parse().unwrap(), &"application/json".parse().unwrap())
    );
    assert!(headers["user-agent"].to_str().unwrap().starts_with("castway/"));
    let asked = receiver.json(0);
    assert_eq!((&asked["kind"], &asked["code"], &asked["token"]), (&json!("caster"), &json!("E3F7KZ"), &json!("a token")));

    assert_eq!(authorizer.ask(question([192, 0, 2, 9], "Anna")).await, Answer::Allowed);
    assert_eq!(receiver.count(), 1, "a yes is remembered");
    receiver.answers(200, json!({"allow": false, "reason": "The room is closed."}));
    for count in 2..4 {
        let refused = authorizer.ask(question([192, 0, 2, 1], "Bert")).await;
        assert_eq!(refused, Answer::Refused(Some("The room is closed.".into())));
        assert_eq!(receiver.count(), count, "a no is not");
    }
    receiver.answers(200, json!({"allow": true}));
    for count in 4..6 {
        let without_token = Question { token: None, ..question([192, 0, 2, 1], "Anna") };
        assert_eq!(authorizer.ask(without_token).await, Answer::Allowed);
        assert_eq!(receiver.count(), count, "nothing proves that it is the same");
    }
    let call = Question { kind: SeatKind::Call, ..question([192, 0, 2, 1], "Cleo") };
    assert!(!authorizer.is_on(SeatKind::Call) && authorizer.is_on(SeatKind::Tv));
    assert_eq!((authorizer.ask(call).await, receiver.count()), (Answer::Allowed, 5));
    let counts = authorizer.counts().unwrap();
    assert_eq!(counts, [("allowed", 3), ("remembered", 1), ("refused", 2), ("down", 0), ("busy", 0)]);
}

#[tokio::test]
async fn a_server_that_can_not_answer_allows_with_a_setting_and_any_other_answer_never_does() {
    let receiver = Receiver::start().await;
    let [refusing, allowing] = [false, true].map(|allows| authorizer(&receiver.url(), allows));
    let yes = json!({"allow": true}).to_string();
    let long = format!("{yes}{}", " ".repeat(70_000));
    let (down, unavailable, refused) = (Answer::Allowed, Answer::Unavailable, Answer::Refused(None));
    let cases = [
        (500, yes.as_str(), &down),
        (503, "", &down),
        (408, "", &down),
        (429, "", &down),
        (302, &yes, &unavailable),
        (204, "", &unavailable),
        (201, &yes, &unavailable),
        (200, "yes", &unavailable),
        (200, &long, &unavailable),
        (400, &yes, &refused),
        (401, "", &refused),
        (404, "", &refused),
        (413, "", &refused),
        (431, "", &refused),
    ];
    for (status, body, with_setting) in cases {
        receiver.answers(status, body);
        let without = if *with_setting == down { &unavailable } else { with_setting };
        assert_eq!(refusing.ask(question([192, 0, 2, 1], "Anna")).await, *without, "{status}");
        assert_eq!(allowing.ask(question([192, 0, 2, 1], "Anna")).await, *with_setting, "{status}");
    }
    assert_eq!(receiver.count(), 2 * cases.len(), "a redirect was not followed");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(authorizer(&format!("http://{closed}/"), false).ask(question([192, 0, 2, 1], "Anna")).await, Answer::Unavailable);
}

#[tokio::test]
async fn sixteen_questions_are_asked_at_once_and_one_address_takes_half_of_them() {
    let receiver = Receiver::hanging().await;
    let authorizer = authorizer(&receiver.url(), false);
    let ask = |address: u8, count: usize| {
        for number in 0..count {
            let (authorizer, name) = (authorizer.clone(), format!("{address} {number}"));
            tokio::spawn(async move { authorizer.ask(question([192, 0, 2, address], &name)).await });
        }
    };
    ask(1, 17);
    until(|| receiver.count() == 8).await;
    ask(2, 9);
    until(|| receiver.count() == 16).await;
    // Whoever comes last does not wait for the crowd.
    ask(3, 1);
    tokio::task::yield_now().await;
    receiver.0.permits.add_permits(4);
    until(|| receiver.count() == 20).await;
    assert!((16..20).any(|number| receiver.json(number)["name"] == "3 0"));
    receiver.0.permits.add_permits(1000);
    until(|| receiver.count() == 17 + 9 + 1).await;
    assert_eq!(receiver.0.most_open.load(Ordering::SeqCst), 16);
}

#[tokio::test]
async fn the_same_question_is_asked_once_and_a_client_that_went_away_is_not_asked_about() {
    let receiver = Receiver::hanging().await;
    let authorizer = authorizer(&receiver.url(), false);
    let same = || {
        let authorizer = authorizer.clone();
        tokio::spawn(async move { authorizer.ask(question([192, 0, 2, 1], "Anna")).await })
    };
    let asked = [same(), same(), same()];
    until(|| receiver.count() == 1).await;
    receiver.0.permits.add_permits(1);
    for asked in asked {
        assert_eq!(asked.await.unwrap(), Answer::Allowed);
    }
    assert_eq!(receiver.count(), 1);

    let fill: Vec<_> = (0..8)
        .map(|number| {
            let authorizer = authorizer.clone();
            tokio::spawn(async move { authorizer.ask(question([192, 0, 2, 1], &number.to_string())).await })
        })
        .collect();
    until(|| receiver.count() == 9).await;
    let mut gone = Box::pin(authorizer.ask(question([192, 0, 2, 1], "gone")));
    assert!(futures_util::poll!(&mut gone).is_pending());
    drop(gone);
    receiver.0.permits.add_permits(1000);
    for asked in fill {
        assert_eq!(asked.await.unwrap(), Answer::Allowed);
    }
    authorizer.ask(question([192, 0, 2, 1], "the next one")).await;
    assert_eq!((receiver.count(), receiver.json(9)["name"].as_str()), (10, Some("the next one")));
}

#[tokio::test]
async fn a_server_that_hangs_is_not_waited_for_by_everybody() {
    let receiver = Receiver::hanging().await;
    let [refusing, allowing] = [false, true].map(|allows| authorizer_within(ANSWER_TIMEOUT, &receiver.url(), allows));
    let all = |authorizer: &Authorizer| {
        let authorizer = authorizer.clone();
        async move {
            futures_util::future::join_all((0..8).map(|number| authorizer.ask(question([192, 0, 2, 1], &number.to_string()))))
                .await
        }
    };
    let (refused, allowed) = tokio::join!(all(&refusing), all(&allowing));
    assert!(
        refused.iter().all(|answer| *answer == Answer::Unavailable) && allowed.iter().all(|answer| *answer == Answer::Allowed)
    );
    let before = receiver.count();
    let many = (0..100).map(|number| refusing.ask(question([192, 0, 2, number], "many")));
    let answers = futures_util::future::join_all(many).await;
    assert!(answers.iter().all(|answer| *answer == Answer::Unavailable));
    assert!(receiver.count() <= before + 1, "one finds out whether it answers again");
    receiver.0.permits.add_permits(1000);
    let deadline = tokio::time::Instant::now() + EVENT_TIMEOUT;
    while refusing.ask(question([192, 0, 2, 3], "again")).await != Answer::Allowed {
        assert!(tokio::time::Instant::now() < deadline, "it answers again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn whoever_asks_too_much_is_refused_even_where_a_server_that_is_down_allows_all() {
    let receiver = Receiver::hanging().await;
    let authorizer = authorizer_within(ANSWER_TIMEOUT, &receiver.url(), true);
    let crowd = |number: usize| {
        let authorizer = authorizer.clone();
        async move { authorizer.ask(question([192, 0, 2, 1], &number.to_string())).await }
    };
    let answers = futures_util::future::join_all((0..200).map(crowd)).await;
    let refused = answers.iter().filter(|answer| **answer == Answer::Unavailable).count();
    assert!(refused >= 200 - 8 - 128, "those beyond the share of an address: {refused}");
    assert_eq!(answers.iter().filter(|answer| **answer == Answer::Allowed).count() + refused, 200);
}

#[tokio::test]
async fn questions_that_wait_behind_a_slow_server_let_nobody_in_and_stop_nobody_else() {
    // With the second one, questions are sent whose answers are late.
    for delay in [300, 1000].map(Duration::from_millis) {
        let receiver = Receiver::start().await;
        receiver.answers(200, json!({"allow": false}));
        *receiver.0.delay.lock().unwrap() = delay;
        let authorizer = authorizer_within(ANSWER_TIMEOUT, &receiver.url(), true);
        let crowd = (0..120).map(|number| authorizer.ask(question([192, 0, 2, 1], &number.to_string())));
        let answers = futures_util::future::join_all(crowd).await;
        assert!(answers.contains(&Answer::Refused(None)) && answers.contains(&Answer::Unavailable));
        assert!(!answers.contains(&Answer::Allowed), "{delay:?}: {:?}", authorizer.counts());
        assert_eq!(authorizer.counts().unwrap()[3], ("down", 0));
        let victim = authorizer.ask(question([192, 0, 2, 9], "Anna")).await;
        assert_eq!(victim, Answer::Refused(None), "{delay:?}: the server is asked, and answers");
    }
}

#[tokio::test]
async fn a_crowd_of_ten_addresses_leaves_others_a_place() {
    let receiver = Receiver::hanging().await;
    receiver.answers(200, json!({"allow": false}));
    let authorizer = authorizer(&receiver.url(), true);
    for (address, number) in (1..=10).flat_map(|address| (0..135).map(move |number| (address, number))) {
        let (authorizer, name) = (authorizer.clone(), format!("{address} {number}"));
        tokio::spawn(async move { authorizer.ask(question([192, 0, 2, address], &name)).await });
    }
    until(|| authorizer.counts().unwrap()[4].1 >= 10 * 135 - 1024 - 16).await;
    let mut victim = Box::pin(authorizer.ask(question([192, 0, 2, 99], "Anna")));
    assert!(futures_util::poll!(&mut victim).is_pending(), "it has a place");
    receiver.0.permits.add_permits(10_000);
    assert_eq!(victim.await, Answer::Refused(None));
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_not_asked() {
    let resolver = Resolver::new(|_| async { Ok(vec!["10.0.0.7".parse().unwrap()]) });
    let client = Client::new(Secret::new(SECRET.into()), false, resolver);
    let target = Target::new(&client, HookUrl::read("https://app.example.org/", false).unwrap());
    let refused = target.post(Bytes::from_static(b"{}"), EVENT_TIMEOUT).await;
    assert!(matches!(refused, Err(PostError::AddressNotAllowed { secure: true })), "{refused:?}");
}

fn ended(number: u64) -> Event {
    Event::QuotaReached { scope: "clients".into(), user: "anna".into(), bytes: number, quota: 1 }
}

#[tokio::test]
async fn a_webhook_that_hangs_holds_no_other_up_and_gets_all_in_order_later() {
    let (hanging, other) = (Receiver::hanging().await, Receiver::start().await);
    let urls = [&hanging, &other].map(|receiver| HookUrl::read(&receiver.url(), false).unwrap());
    let webhooks = Webhooks::new(&urls, Some(&client()), FIRST_PAUSE);
    let running = tokio::spawn(webhooks.clone().run());
    let events = webhooks.events();
    (0..20).for_each(|number| events.tell(ended(number)));
    until(|| other.count() == 20).await;
    assert_eq!(hanging.count(), 1);
    hanging.0.permits.add_permits(1000);
    until(|| hanging.count() == 20).await;
    for receiver in [&hanging, &other] {
        let order: Vec<_> = (0..20).map(|number| receiver.json(number)["bytes"].as_u64().unwrap()).collect();
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(receiver.0.most_open.load(Ordering::SeqCst), 1);
    }
    assert_eq!(hanging.json(7)["id"], other.json(7)["id"]);
    until(|| webhooks.counts()[0].1 == 40).await;

    // The end tells what waits, and waits no longer than it may.
    running.abort();
    other.answers(500, "");
    events.tell(ended(20));
    webhooks.finish(EVENT_TIMEOUT).await;
    assert_eq!((hanging.count(), other.count()), (21, 21));
}

#[tokio::test]
async fn events_that_a_receiver_refuses_hold_up_no_others() {
    let receiver = Receiver::start().await;
    *receiver.0.refused.lock().unwrap() = vec![("call_started", 422)];
    let url = HookUrl::read(&receiver.url(), false).unwrap();
    let webhooks = Webhooks::new(&[url], Some(&client()), Duration::from_millis(4));
    let running = tokio::spawn(webhooks.clone().run());
    let events = webhooks.events();
    let refused = |number: u8| Event::CallStarted { id: number.to_string(), room: "ro•••m".into(), members: Vec::new() };
    (0..100).for_each(|number| events.tell(refused(number)));
    events.tell(ended(7));
    until(|| webhooks.counts()[0].1 == 1).await;
    assert_eq!(webhooks.counts(), [("delivered", 1), ("failed", 300), ("lost", 100)]);
    assert_eq!((receiver.count(), receiver.json(300)["bytes"].as_u64()), (301, Some(7)));

    // What it can't take now is another matter.
    *receiver.0.refused.lock().unwrap() = vec![("call_started", 503)];
    events.tell(refused(1));
    until(|| receiver.count() >= 301 + 5).await;
    receiver.0.refused.lock().unwrap().clear();
    until(|| webhooks.counts()[0].1 == 2).await;
    assert_eq!(webhooks.counts()[2], ("lost", 100));

    // At the end, one that is refused does not take the time of the others.
    running.abort();
    *receiver.0.refused.lock().unwrap() = vec![("call_started", 404)];
    events.tell(refused(2));
    events.tell(ended(8));
    webhooks.finish(EVENT_TIMEOUT).await;
    assert_eq!(receiver.json(receiver.count() - 1)["bytes"], 8);
}
