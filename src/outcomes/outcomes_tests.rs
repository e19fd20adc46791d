//! Casts with simulated time: what their reports lead to.

use std::time::Duration;

use super::*;
use crate::diagnosis::report::{Outcome, Protocol, Report, Route, ServerReport};
use crate::outcomes::output::{CastResult, Ended, Reported};
use crate::outcomes::record::MAX_WAIT;
use crate::outcomes::unknown;

/// A table of casts, the time, and whoever was answered by name.
struct World {
    table: Outcomes<&'static str>,
    watch: Watch,
    now: Instant,
}

/// What came out, as texts in order, and the ended casts.
#[derive(Debug, Default, PartialEq)]
struct Happened {
    texts: Vec<String>,
    ended: Vec<Ended>,
}

impl World {
    fn new() -> Self {
        Self::of(Kind::Cast)
    }

    fn of(kind: Kind) -> Self {
        let sources = unknown::sources();
        Self { watch: sources.watch.clone(), table: Outcomes::new(kind, sources), now: Instant::now() }
    }

    fn begin(&mut self) -> RecordId {
        let record = self.table.begin("AB•••F".to_owned(), Some(member(1)), Some(member(2)), self.now);
        assert_eq!(self.happened(), Happened::default());
        record
    }

    fn report(&mut self, id: RecordId, role: Role, report: Report, to: &'static str) -> Result<(), ReportRefusal> {
        let sent = PageReport { report: Some(report), send: false };
        self.table.report(id, role, sent, to, self.now).map_err(|(name, refusal)| {
            assert_eq!(name, to);
            refusal
        })
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.table.handle_timeout(self.now);
    }

    fn happened(&mut self) -> Happened {
        let mut happened = Happened::default();
        while let Some(output) = self.table.poll_output() {
            let text = match output {
                Output::Answer { to, verdict } => {
                    format!("{to}: {}", verdict.map_or("ok", |verdict| if verdict.code.is_empty() { "?" } else { "verdict" }))
                }
                Output::TellTv { .. } => "tell".to_owned(),
                Output::Report(Reported::Failed(_)) => "failed".to_owned(),
                Output::Report(Reported::Sent(sent)) => {
                    assert!(sent.json.len() <= 16 * 1024);
                    "sent".to_owned()
                }
                Output::Report(Reported::Ended(ended)) => {
                    happened.ended.push(ended);
                    continue;
                }
                Output::Report(Reported::Began(began)) => {
                    assert_eq!(began.caster, Some([192, 0, 2, 1].into()));
                    assert!(began.tv.is_none_or(|tv| tv == IpAddr::from([192, 0, 2, 2])), "it may be away");
                    continue;
                }
                Output::Forgotten(_) => "forgotten".to_owned(),
            };
            happened.texts.push(text);
        }
        happened
    }

    fn texts(&mut self) -> Vec<String> {
        self.happened().texts
    }

    fn ended(&mut self) -> Ended {
        self.happened().ended.pop().expect("the cast is over")
    }

    /// Whether the relay would note what this client does.
    fn is_watched(&self) -> bool {
        self.watch.is_open()
    }
}

fn member(host: u8) -> Member {
    Member { address: [192, 0, 2, host].into(), user: Some(format!("cast-{host}")), signed_in: None, host: None, reached: None }
}

fn report(outcome: Outcome) -> Report {
    let json = format!("{{\"outcome\":{}}}", serde_json::to_string(&outcome).unwrap());
    Report::read(&json).unwrap()
}

fn connected(route: Route, protocol: Protocol) -> Report {
    Report { route: Some(route), protocol: Some(protocol), ..report(Outcome::Connected) }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_failure_waits_for_the_other_end_and_both_get_one_verdict() {
    let mut world = World::new();
    let record = world.begin();
    world.report(record, Role::Tv, report(Outcome::Failed), "tv").unwrap();
    assert_eq!(world.texts(), [""; 0], "the caster may tell more");
    world.now += SECOND;
    world.report(record, Role::Caster, report(Outcome::Failed), "caster").unwrap();
    assert_eq!(world.texts(), ["failed", "caster: verdict", "tell", "tv: verdict"]);
}

#[test]
fn each_end_and_the_operator_read_a_text_that_speaks_to_them() {
    let texts = |kind| {
        let mut world = World::of(kind);
        let record = world.begin();
        for (role, name) in [(Role::Caster, "caster"), (Role::Tv, "tv")] {
            let failed = Report::read(r#"{"outcome":"failed","local":{"relay":1}}"#).unwrap();
            let sent = PageReport { report: Some(failed), send: role == Role::Tv };
            world.table.report(record, role, sent, name, world.now).unwrap();
        }
        let mut texts = Vec::new();
        while let Some(output) = world.table.poll_output() {
            let text = match output {
                Output::Answer { to, verdict } => format!("{to}: {}", verdict.unwrap().en.text),
                Output::Report(Reported::Sent(sent)) => {
                    let json: serde_json::Value = serde_json::from_str(&sent.json).unwrap();
                    format!("operator: {}", json["verdict"]["en"]["text"].as_str().unwrap())
                }
                Output::TellTv { .. } | Output::Report(_) | Output::Forgotten(_) => continue,
            };
            texts.push(text.split(" have relayed").next().unwrap().to_owned());
        }
        texts
    };
    assert_eq!(texts(Kind::Cast), ["caster: You and the TV", "operator: The caster and the TV", "tv: You and the caster"]);
    assert_eq!(
        texts(Kind::Call),
        ["caster: You and the other side", "operator: The caller and the callee", "tv: You and the other side"]
    );
}

#[test]
fn a_failure_is_answered_in_time_where_the_other_end_says_nothing() {
    let mut world = World::new();
    let record = world.begin();
    world.report(record, Role::Caster, report(Outcome::Failed), "caster").unwrap();
    assert_eq!(world.table.next_timeout(), Some(world.now + MAX_WAIT));
    world.pass(MAX_WAIT);
    assert_eq!(world.texts(), ["failed", "caster: verdict", "tell"]);
    world.pass(SECOND);
    world.report(record, Role::Tv, report(Outcome::Failed), "tv").unwrap();
    assert_eq!(world.texts(), ["tv: verdict"], "it counts once, and the TV knows already");
}

#[test]
fn a_tv_that_is_away_is_not_waited_for() {
    let mut world = World::new();
    let record = world.table.begin("AB•••F".to_owned(), Some(member(1)), None, world.now);
    world.report(record, Role::Caster, report(Outcome::Failed), "caster").unwrap();
    assert_eq!(world.texts(), ["failed", "caster: verdict", "tell"]);
}

#[test]
fn an_offer_after_a_failure_begins_a_new_attempt() {
    let mut world = World::new();
    let record = world.begin();
    for again in [false, true] {
        for (role, to) in [(Role::Caster, "caster"), (Role::Tv, "tv")] {
            world.report(record, role, report(Outcome::Failed), to).unwrap();
        }
        assert_eq!(world.texts(), ["failed", "caster: verdict", "tell", "tv: verdict"], "{again}");
        world.pass(MAX_WAIT);
        world.table.negotiate(record, world.now);
        assert_eq!(world.texts(), [""; 0]);
    }
    world.report(record, Role::Caster, connected(Route::Relay, Protocol::Tls), "caster").unwrap();
    world.table.end(record, "caster_left", world.now);
    world.pass(MAX_WAIT);
    assert_eq!(world.ended().result, CastResult::Connected);
}

#[test]
fn both_clients_are_watched_until_they_are_connected_or_two_minutes_have_passed() {
    let mut world = World::new();
    let record = world.begin();
    assert!(world.is_watched());
    world.report(record, Role::Caster, connected(Route::Direct, Protocol::Udp), "caster").unwrap();
    assert!(world.is_watched());
    world.report(record, Role::Tv, connected(Route::Direct, Protocol::Udp), "tv").unwrap();
    assert!(!world.is_watched());
    world.table.negotiate(record, world.now);
    assert!(world.is_watched(), "a new offer may fail");
    world.pass(119 * SECOND);
    assert!(world.is_watched());
    world.pass(SECOND);
    assert!(!world.is_watched());
    world.table.end(record, "tv_left", world.now);
    let other = world.begin_quietly();
    world.table.end(other, "tv_left", world.now);
    assert!(!world.is_watched(), "an ended cast is not watched");
}

#[test]
fn the_media_are_those_of_the_last_report_of_a_page_that_is_connected() {
    let mut world = World::new();
    let record = world.begin();
    assert_eq!(world.table.media(record), MediaRow::default());
    let row = |path: &str, kbps, loss, rtt_ms| MediaRow { path: Some(path.to_owned()), kbps, loss, rtt_ms };
    world.report(record, Role::Tv, connected(Route::Relay, Protocol::Udp), "tv").unwrap();
    assert_eq!(world.table.media(record), row("relay/udp", None, None, None));
    let servers = r#","servers":[{"url":"turn:a","candidates":1}]"#;
    let text = |kbps: u32, servers: &str| {
        format!(r#"{{"outcome":"connected","route":"relay","protocol":"tls","kbps":{kbps},"loss":0.25,"rttMs":40{servers}}}"#)
    };
    world.report(record, Role::Caster, Report::read(&text(900, servers)).unwrap(), "caster").unwrap();
    assert_eq!(
        world.table.media(record),
        row("relay/tls", Some(900.0), Some(0.25), Some(40.0)),
        "the caster's, where both report"
    );
    let bytes = world.table.kept_bytes;
    for kbps in 1..=60 {
        world.pass(10 * SECOND);
        world.report(record, Role::Caster, Report::read(&text(kbps, "")).unwrap(), "caster").unwrap();
        assert_eq!(world.table.media(record).kbps, Some(kbps.into()), "a page may report that often, as long as it likes");
    }
    assert_eq!(world.table.kept_bytes, bytes, "what it said of the servers stays, once");
    world.table.negotiate(record, world.now);
    assert_eq!(world.table.media(record), MediaRow::default(), "a new attempt");
    world.table.end(record, "caster_left", world.now);
    world.pass(MAX_WAIT);
    assert_eq!(world.table.media(record), MediaRow::default());
}

#[test]
fn the_line_has_the_address_by_which_a_client_has_come_back() {
    let mut world = World::new();
    let record = world.begin();
    world.table.replace(record, Role::Tv, member(9), world.now);
    world.table.end(record, "tv_left", world.now);
    assert_eq!(world.ended().tv, Some(member(9).address));
}

#[test]
fn a_line_has_what_the_pages_have_said_and_waits_for_the_totals() {
    let mut world = World::new();
    let record = world.begin();
    world.report(record, Role::Caster, connected(Route::Direct, Protocol::Udp), "caster").unwrap();
    world.report(record, Role::Tv, connected(Route::Relay, Protocol::Tcp), "tv").unwrap();
    world.pass(60 * SECOND);
    world.table.end(record, "caster_left", world.now);
    assert_eq!(world.happened().ended, []);
    world.now += SECOND;
    let last = Report { bytes: Some(7), ..report(Outcome::Ended) };
    world.report(record, Role::Tv, last, "tv").unwrap();
    let happened = world.happened();
    let [ended] = &happened.ended[..] else { panic!("one line: {happened:?}") };
    assert_eq!(
        (ended.route, ended.protocol),
        (Some(Route::Relay), Some(Protocol::Tcp)),
        "one end does not see the other's relay"
    );
    assert_eq!((ended.bytes, ended.duration, ended.reason), (Some(7), 60 * SECOND, "caster_left"));
    assert_eq!((ended.result, ended.verdict), (CastResult::Connected, None));
    assert_eq!(world.table.next_timeout(), None);
    world.report(record, Role::Caster, report(Outcome::Ended), "late").unwrap();
    assert_eq!(world.texts(), ["late: ok"], "a cast that is forgotten has no use for it");
}

#[test]
fn a_cast_without_reports_has_its_line_at_once() {
    let mut world = World::new();
    let record = world.begin();
    world.table.end(record, "tv_lost", world.now);
    let ended = world.ended();
    assert_eq!((ended.result, ended.route, ended.bytes, ended.verdict), (CastResult::Unknown, None, None, None));
}

#[test]
fn a_failed_cast_names_its_last_verdict() {
    let mut world = World::new();
    let record = world.begin();
    world.report(record, Role::Caster, report(Outcome::Failed), "caster").unwrap();
    world.table.end_all("server_stopped", world.now);
    let happened = world.happened();
    assert_eq!(happened.texts, ["failed", "caster: verdict", "tell", "forgotten"], "nobody waits for ever");
    assert_eq!((happened.ended[0].result, happened.ended[0].verdict.is_some()), (CastResult::Failed, true));
}

#[test]
fn reports_of_one_kind_are_two_seconds_apart_and_twenty_in_a_row() {
    let mut world = World::new();
    let record = world.begin();
    world.report(record, Role::Tv, report(Outcome::Gathered), "tv").unwrap();
    world.report(record, Role::Tv, report(Outcome::Connected), "tv").unwrap();
    world.now += SECOND;
    let too_soon = ReportRefusal::TooSoon { wait: SECOND };
    assert_eq!(world.report(record, Role::Tv, report(Outcome::Gathered), "tv"), Err(too_soon));
    world.report(record, Role::Caster, report(Outcome::Gathered), "caster").unwrap();
    let taken = (0..90).filter(|_| {
        world.now += 2 * SECOND;
        world.report(record, Role::Tv, report(Outcome::Gathered), "tv").is_ok()
    });
    let taken = taken.count();
    assert!((60..=80).contains(&taken), "twenty a minute, and twenty in a row: {taken}");
}

#[test]
fn a_report_is_sent_to_the_operator_with_its_verdict() {
    let mut world = World::new();
    let record = world.begin();
    let send = |world: &mut World, report: Option<Report>| {
        world.table.report(record, Role::Caster, PageReport { report, send: true }, "caster", world.now).map_err(|(_, why)| why)
    };
    assert_eq!(send(&mut world, None), Err(ReportRefusal::NothingToSend));
    world.now += 3 * SECOND;
    send(&mut world, Some(report(Outcome::Failed))).unwrap();
    world.pass(MAX_WAIT);
    assert_eq!(world.texts(), ["failed", "sent", "caster: verdict", "tell"]);
    world.now += 3 * SECOND;
    send(&mut world, None).unwrap();
    assert_eq!(world.texts(), ["sent", "caster: verdict"]);
}

#[test]
fn the_oldest_casts_forget_the_details_of_reports_when_too_much_is_kept() {
    let mut world = World::new();
    let server = || ServerReport { url: "u".repeat(200), candidates: 0, code: None, text: Some("t".repeat(100)), ms: None };
    let large = || Report { servers: std::iter::repeat_with(server).take(16).collect(), ..report(Outcome::Gathered) };
    let count = 2 * MAX_KEPT_BYTES / report_bytes(&large());
    let records: Vec<_> = (0..count).map(|_| world.begin_quietly()).collect();
    for record in &records {
        world.report(*record, Role::Tv, large(), "tv").unwrap();
        assert!(world.table.kept_bytes <= MAX_KEPT_BYTES);
    }
    let kept =
        |table: &mut Outcomes<_>, id: RecordId| table.records.get_mut(&id).unwrap().party_mut(Role::Tv).report_bytes() > 1000;
    assert!(!kept(&mut world.table, records[0]) && kept(&mut world.table, records[count - 1]));
    world.table.end_all("server_stopped", world.now);
    assert_eq!((world.table.kept_bytes, world.table.ended, world.table.timers.len()), (0, 0, 0));
}

impl World {
    fn begin_quietly(&mut self) -> RecordId {
        self.table.begin(String::new(), Some(member(1)), Some(member(2)), self.now)
    }
}
