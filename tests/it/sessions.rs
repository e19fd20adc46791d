//! What an operator sees of the relay and does to it, and what commands print of texts that others wrote.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use castway::config::{RelayConfig, Settings};
use castway::relay::Relay;
use castway::turn::Scope;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Executor as _};
use stun::agent::TransactionId;
use stun::attributes::ATTR_ERROR_CODE;
use stun::message::METHOD_REFRESH;
use tokio::net::UdpSocket;

use super::relay::{LOCALHOST, Users, asked, config, nonce, signed, signed_allocate, started, until};
use super::support::{Server, castway, ok, rest_client};

/// Clears the screen, turns the direction of text around, and hides a letter.
const HOSTILE: &str = "x\u{1b}[2J\u{9b}\u{202e}gnp\u{200b}";

/// A client with an allocation, and its nonce.
async fn allocated(handle: &Relay, user: &str) -> (UdpSocket, String) {
    let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let nonce = nonce(&socket, handle.listening()).await;
    let request = signed_allocate(TransactionId::new(), user, "newest", &nonce, vec![]);
    assert!(!asked(&socket, handle.listening(), &request).await.contains(ATTR_ERROR_CODE));
    (socket, nonce)
}

#[tokio::test]
async fn a_list_has_the_allocations_of_all_shards_and_each_can_be_ended() {
    const CLIENTS: usize = 150;
    let handle = started(&RelayConfig { threads: 4, ..config() }, Arc::<Users>::default()).unwrap();
    let live = handle.live_allocations();
    assert_eq!(live.list().await.allocations.len(), 0);
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(allocated(&handle, if number % 3 == 0 { "stranger" } else { "tv" }).await);
    }
    let list = live.list().await;
    let addresses: HashSet<_> = list.allocations.iter().map(|(_, row)| row.client).collect();
    assert!(list.complete && list.allocations.len() == CLIENTS && addresses.len() == CLIENTS);
    let shards: HashSet<_> = list.allocations.iter().map(|(shard, _)| shard).collect();
    assert_eq!(shards.len(), 4);
    let of = |scope: Scope| list.allocations.iter().filter(move |(_, row)| row.scope() == scope);
    assert_eq!((of(Scope::Clients).count(), of(Scope::Anyone).count()), (50, 100));
    assert!(of(Scope::Clients).all(|(_, row)| row.user() == "stranger" && row.relayed[0].is_some()));

    let lists = futures_util::future::join_all((0..20).map(|_| live.list())).await;
    assert!(lists.iter().all(|list| list.complete && list.allocations.len() == CLIENTS));

    assert_eq!(live.end(of(Scope::Anyone)).await, 100);
    assert_eq!(live.end(of(Scope::Anyone)).await, 0, "they have ended");
    assert_eq!((handle.allocations(), live.list().await.allocations.len()), (50, 50));
    for (number, (socket, nonce)) in clients.iter().enumerate() {
        let user = if number % 3 == 0 { "stranger" } else { "tv" };
        let refresh = signed(METHOD_REFRESH, TransactionId::new(), user, "newest", nonce, vec![]);
        let answer = asked(socket, handle.listening(), &refresh).await;
        assert_eq!(answer.contains(ATTR_ERROR_CODE), user == "tv", "{answer}");
    }
}

#[tokio::test]
async fn a_shard_that_hangs_is_left_out_of_lists_and_is_asked_once() {
    let users = Arc::new(Users::default());
    let handle = started(&RelayConfig { threads: 2, ..config() }, Arc::clone(&users) as _).unwrap();
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(allocated(&handle, "tv").await);
    }
    let live = handle.live_allocations();
    users.hanging.store(true, Ordering::Relaxed);
    let (socket, nonce) = &clients[0];
    let hang = signed(METHOD_REFRESH, TransactionId::new(), "hang", "newest", nonce, vec![]);
    socket.send_to(&hang.raw, handle.listening()).await.unwrap();
    let stats = handle.stats_reader();
    until(|| !stats.stalled_shards().is_empty()).await;
    for _ in 0..3 {
        let list = live.list().await;
        assert!(!list.complete && (1..40).contains(&list.allocations.len()), "{} rows", list.allocations.len());
    }
    users.hanging.store(false, Ordering::Relaxed);
    until(|| stats.stalled_shards().is_empty()).await;
    // The request that waited in the shard may still be there.
    while !live.list().await.complete {
        tokio::task::yield_now().await;
    }
    assert_eq!(live.list().await.allocations.len(), 40);
}

fn steers(text: &str) -> bool {
    text.chars().any(|character| {
        (character.is_control() && character != '\n') || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
    })
}

async fn database(folder: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.join("castway.db")).connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_print_hostile_names_as_numbers_and_keep_them_in_json() {
    let server = Server::start(Settings::default()).await;
    let folder = server.folder.as_ref().unwrap().path().to_owned();
    let run = |args: &[&str]| ok(castway(&folder).args(args));
    run(&["user", "add", "victim", "--generate"]);
    // No command makes such a name; a database of an older version, or one that somebody has written to, may have it.
    let mut database = database(&folder).await;
    database.execute(sqlx::query("UPDATE users SET name = ?1").bind(HOSTILE)).await.unwrap();
    let client = rest_client(server.turn).await;
    let _relayed = client.allocate().await.unwrap();
    for args in [&["user", "list"][..], &["sessions"], &["status"], &["doctor", "--no-wait"]] {
        let output = castway(&folder).args(args).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!steers(&text), "{args:?}: {text:?}");
        let json = castway(&folder).args(args).arg("--json").output().unwrap().stdout;
        let text = String::from_utf8(json).unwrap();
        assert!(!steers(&text), "{args:?}: {text:?}");
        serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{args:?}: {error}"));
    }
    assert!(run(&["user", "list"]).contains("x\\u{1b}[2J\\u{9b}\\u{202e}gnp\\u{200b}"));
    let users: Value = serde_json::from_str(&run(&["user", "list", "--json"])).unwrap();
    assert_eq!(users[0]["name"], HOSTILE);
    let refused = castway(&folder).args(["end", HOSTILE]).output().unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && text.contains("neither an id") && !steers(&text), "{text:?}");
    let allocations: Value = serde_json::from_str(&run(&["sessions", "allocations", "--json"])).unwrap();
    let [row] = allocations["allocations"].as_array().unwrap().as_slice() else { panic!("{allocations}") };
    assert_eq!((&row["user"], &row["scope"], &row["transport"]), (&"alice".into(), &"anyone".into(), &"udp".into()));
    let ended = run(&["end", row["id"].as_str().unwrap()]);
    assert!(ended.contains("of the user \"alice\"."), "{ended}");
    server.stop().await;
    let gone = castway(&folder).arg("sessions").output().unwrap();
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn a_command_without_a_server_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["status"][..], &["status", "--watch"], &["sessions"], &["end", "cast-1"]] {
        let none = castway(folder.path()).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&none.stderr).into_owned();
        let expected = format!("no server runs with the data folder {}: start one", folder.path().display());
        assert!(none.status.code() == Some(1) && none.stdout.is_empty() && text.contains(&expected), "{text}");
        let missing = castway(&folder.path().join("gone")).args(args).output().unwrap();
        assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no data folder"));
    }
}
