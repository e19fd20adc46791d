//! Every byte of payload that is relayed counts once, for each allocation that it passes through; nothing that is dropped counts.

use std::sync::Mutex;

use super::*;

/// [`users`], with an account for each name that the test looks at.
struct Accounted {
    users: StaticUsers,
    accounts: Mutex<BTreeMap<(Scope, String), Arc<UserAccount>>>,
}

impl Accounted {
    fn new() -> Arc<Self> {
        Arc::new(Self { users: users(), accounts: Mutex::default() })
    }

    fn of(&self, user: &str) -> Arc<UserAccount> {
        self.account(Scope::Anyone, user)
    }
}

impl CredentialSource for Accounted {
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys> {
        self.users.user_keys(username, realm, algorithm, now)
    }

    fn account(&self, scope: Scope, user: &str) -> Arc<UserAccount> {
        Arc::clone(self.accounts.lock().unwrap().entry((scope, user.to_owned())).or_default())
    }
}

fn world(users: &Arc<Accounted>) -> World {
    World::with_credentials(settings(), 50_000..=50_099, Arc::clone(users) as Arc<dyn CredentialSource>)
}

impl World {
    /// The bytes that were added to the account since the last call.
    fn settled(&mut self, account: &UserAccount) -> u64 {
        self.engine.settle_accounts();
        account.take()
    }
}

#[test]
fn what_a_client_and_its_peer_send_counts_once() {
    let users = Accounted::new();
    let (mut world, mut alice, account) = (world(&users), Client::alice(), users.of("alice"));
    let relayed = world.allocate(&mut alice);
    assert_eq!(world.settled(&account), 0, "requests are no payloads");
    assert_eq!(world.send(&alice, OUTSIDE_PEER, &[0; 100]), Verdict::Drop(DropReason::NoPermission));
    world.permit(&mut alice, &[OUTSIDE_PEER]);
    assert!(matches!(world.send(&alice, OUTSIDE_PEER, &[0; 100]), Verdict::ToPeer { .. }));
    world.bind(&mut alice, 0x4000, OUTSIDE_PEER);
    assert!(matches!(world.channel_data(&alice, 0x4000, &[0; 20]), Verdict::ToPeer { .. }));
    assert!(matches!(world.peer_data(relayed, OUTSIDE_PEER, &[0; 3]), Verdict::ToClient { .. }));
    assert!(matches!(world.peer_data(relayed, "198.51.101.8:1", &[0; 1000]), Verdict::Drop(_)));
    assert_eq!((world.settled(&account), world.settled(&account)), (123, 0));
    assert!(matches!(world.channel_data(&alice, 0x4000, &[0; 7]), Verdict::ToPeer { .. }));
    world.refresh(&mut alice, 0);
    assert_eq!(account.take(), 7, "the end of an allocation settles");
}

#[test]
fn bandwidth_that_is_used_up_counts_nothing() {
    let mut settings = settings();
    settings.limits.allocation_bandwidth = Some(1);
    let users = Accounted::new();
    let mut world = World::with_credentials(settings, 50_000..=50_099, Arc::clone(&users) as Arc<dyn CredentialSource>);
    let mut alice = Client::alice();
    world.allocate(&mut alice);
    world.permit(&mut alice, &[OUTSIDE_PEER]);
    let passed =
        (0..100).filter(|_| world.send(&alice, OUTSIDE_PEER, &[0; 1200]) != Verdict::Drop(DropReason::Bandwidth)).count();
    assert!((1..100).contains(&passed), "{passed}");
    assert_eq!(world.settled(&users.of("alice")), passed as u64 * 1200);
}

#[test]
fn a_payload_between_two_clients_counts_for_both_where_it_arrives() {
    let users = Accounted::new();
    let (mut world, mut alice, mut bob) = (world(&users), Client::alice(), Client::bob());
    let (of_alice, of_bob) = (users.of("alice"), users.of("bob"));
    let (at_alice, at_bob) = (world.allocate(&mut alice).to_string(), world.allocate(&mut bob).to_string());
    world.permit(&mut alice, &[&at_bob]);
    assert_eq!(world.send(&alice, &at_bob, &[0; 500]), Verdict::Drop(DropReason::NotContacted));
    world.permit(&mut bob, &[&at_alice]);
    assert!(matches!(world.send(&bob, &at_alice, &[0; 11]), Verdict::ToClient { .. }), "alice has contacted bob");
    assert!(matches!(world.send(&alice, &at_bob, &[0; 70]), Verdict::ToClient { .. }));
    world.engine.settle_accounts();
    assert_eq!((of_alice.take(), of_bob.take()), (81, 81));
}

#[test]
fn a_payload_for_a_stream_counts_once_the_stream_has_taken_it() {
    let users = Accounted::new();
    let (mut world, mut alice, mut bob) = (world(&users), Client::alice().over_tcp(), Client::bob());
    let (of_alice, of_bob) = (users.of("alice"), users.of("bob"));
    let (at_alice, at_bob) = (world.allocate(&mut alice).to_string(), world.allocate(&mut bob).to_string());
    world.permit(&mut alice, &[&at_bob, OUTSIDE_PEER]);
    world.permit(&mut bob, &[&at_alice]);
    let _ = world.send(&alice, &at_bob, &[0; 1]);
    let _ = world.send(&bob, &at_alice, &[0; 1]);
    world.engine.settle_accounts();
    let _ = (of_alice.take(), of_bob.take());
    assert!(matches!(world.send(&bob, &at_alice, &[0; 500]), Verdict::ToClient { .. }));
    world.engine.settle_accounts();
    assert_eq!((of_alice.take(), of_bob.take()), (0, 0), "the stream had no room");
    assert!(matches!(world.send(&bob, &at_alice, &[0; 40]), Verdict::ToClient { .. }));
    world.engine.handle_stream_took_payload();
    world.engine.handle_stream_took_payload();
    world.engine.settle_accounts();
    assert_eq!((of_alice.take(), of_bob.take()), (40, 40));
    let relayed = addr(&at_alice);
    assert!(matches!(world.peer_data(relayed, OUTSIDE_PEER, &[0; 9]), Verdict::ToClient { .. }));
    world.engine.handle_stream_took_payload();
    world.engine.settle_accounts();
    assert_eq!((of_alice.take(), of_bob.take()), (9, 0));
}

/// The receiver's engine counts for the sender, too: the sender's one does not know whether the payload arrives.
#[test]
fn a_payload_for_a_stream_of_another_shard_counts_there() {
    let users = Accounted::new();
    let mut one = world(&users);
    let shard = ShardSettings { index: 1, ports: 51_000..=51_099 };
    let credentials = Arc::clone(&users) as Arc<dyn CredentialSource>;
    let mut other = World::shard(settings(), shard, Arc::clone(&one.shared), credentials, one.now);
    let (mut alice, mut bob) = (Client::alice().over_tcp(), Client::bob());
    let (of_alice, of_bob) = (users.of("alice"), users.of("bob"));
    let (at_alice, at_bob) = (one.allocate(&mut alice), other.allocate(&mut bob));
    one.permit(&mut alice, &[&at_bob.to_string()]);
    other.permit(&mut bob, &[&at_alice.to_string()]);
    let _ = one.send(&alice, &at_bob.to_string(), &[0; 5]);
    let verdict = other.send(&bob, &at_alice.to_string(), &[0; 300]);
    assert!(matches!(verdict, Verdict::ToRelayedAddress { shard: 0, .. }), "{verdict:?}");
    other.engine.settle_accounts();
    assert_eq!(of_bob.take(), 0, "it waits in the queue");
    assert!(matches!(one.relayed_data(at_bob, at_alice, &[0; 300]), Verdict::ToClient { .. }));
    one.engine.handle_stream_took_payload();
    one.engine.settle_accounts();
    other.engine.settle_accounts();
    assert_eq!((of_alice.take(), of_bob.take()), (300, 300));
}

#[test]
fn a_shard_that_fails_loses_no_byte() {
    let users = Accounted::new();
    let (mut world, mut alice) = (world(&users), Client::alice());
    world.allocate(&mut alice);
    world.permit(&mut alice, &[OUTSIDE_PEER]);
    let _ = world.send(&alice, OUTSIDE_PEER, &[0; 100]);
    drop(world);
    assert_eq!(users.of("alice").take(), 100);
}

#[test]
fn a_user_who_may_relay_no_more_loses_the_allocations_and_gets_no_others() {
    let users = Accounted::new();
    let (mut world, mut alice, mut bob) = (world(&users), Client::alice(), Client::bob());
    world.allocate(&mut alice);
    world.allocate(&mut bob);
    users.of("alice").set_exhausted(true);
    world.engine.settle_accounts();
    world.drain_outputs();
    let has = |world: &World, client: &Client| world.engine.has_allocation(&client.from);
    assert_eq!((has(&world, &alice), has(&world, &bob)), (false, true));
    let allocate = |writer: &mut MessageWriter<'_>| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP);
    };
    assert_eq!(world.request(&mut alice, Method::Allocate, allocate).code(), Some(486));
    assert_eq!(world.refused.pop().map(|refused| refused.reason), Some(RefusalReason::TrafficQuota));
    users.of("alice").set_exhausted(false);
    world.allocate(&mut alice);
}

#[test]
fn bytes_of_tcp_peers_count_in_both_directions() {
    let users = Accounted::new();
    let mut settings = settings();
    settings.tcp_relay = true;
    let mut world = World::with_credentials(settings, 50_000..=50_099, Arc::clone(&users) as Arc<dyn CredentialSource>);
    let mut alice = Client::alice().over_tcp();
    let allocated = world.request(&mut alice, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, TCP);
    });
    assert_eq!(allocated.code(), None);
    let connect = alice.signed(Method::Connect, |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(OUTSIDE_PEER));
    });
    assert_eq!(world.handle(alice.from, &connect), Verdict::Accepted);
    let connection = world.outputs.iter().find_map(connect_output).expect("the engine connects");
    world.engine.handle_peer_connection_bytes(connection, Direction::ToPeer, 1000, world.now);
    world.engine.handle_peer_connection_bytes(connection, Direction::ToClient, 24, world.now);
    assert_eq!(world.settled(&users.of("alice")), 1024);
}
