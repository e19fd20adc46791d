//! What an operator sees of allocations, and does to them.

use super::*;

/// The rows that a shell gets which asks for parts of this size, and how often it asked.
fn listed(world: &World, places: usize, rows: usize) -> (Vec<ListedAllocation>, usize) {
    let (mut all, mut next, mut parts) = (Vec::new(), Some(0), 0);
    while let Some(place) = next {
        let mut part = Vec::new();
        next = world.engine.list(place, places, rows, world.now, &mut part);
        assert!(part.len() <= rows);
        all.extend(part);
        parts += 1;
    }
    (all, parts)
}

fn client(port: u16) -> Client {
    let mut client = Client::alice();
    client.from.client.set_port(port);
    client
}

#[test]
fn parts_of_a_list_have_each_allocation_once() {
    let mut world = World::new();
    let mut clients: Vec<_> = (1..=10).map(client).collect();
    let relayed: Vec<_> = clients.iter_mut().map(|client| world.allocate(client)).collect();
    // Empty places, and one that has another allocation now.
    for at in [0, 3, 4, 9] {
        world.refresh(&mut clients[at], 0);
    }
    clients[3] = client(50);
    let again = world.allocate(&mut clients[3]);
    let expected: std::collections::BTreeSet<_> = [1, 2, 5, 6, 7, 8].map(|at| relayed[at]).into_iter().chain([again]).collect();
    for (places, rows, parts) in [(100, 100, 1), (1, 100, 10), (100, 2, 4), (3, 2, 4)] {
        let (all, asked) = listed(&world, places, rows);
        assert!(all.len() == expected.len() && asked >= parts, "{places} {rows}: {asked}");
        assert_eq!(all.iter().map(|row| row.relayed[0].unwrap()).collect::<std::collections::BTreeSet<_>>(), expected);
    }
}

#[test]
fn a_part_of_the_table_ends_and_closes_nothing_elsewhere() {
    let mut world = World::new();
    let mut clients: Vec<_> = (1..=4).map(client).collect();
    for client in &mut clients {
        world.allocate(client);
        assert_eq!(world.permit(client, &[OUTSIDE_PEER]), None);
    }
    world.engine.replace_policy(PeerPolicy { denied: vec!["198.51.101.0/24".parse().unwrap()], ..PeerPolicy::default() });
    world.engine.close_denied(1..2, world.now);
    let may_send = |world: &mut World, at: usize| matches!(world.send(&clients[at], OUTSIDE_PEER, b"x"), Verdict::ToPeer { .. });
    assert_eq!([0, 1, 2, 3].map(|at| may_send(&mut world, at)), [true, false, true, true]);
    world.engine.end_users(2..3, |scope, user| (scope, user) == (Scope::Anyone, "alice"));
    world.engine.end_addresses(3..9, |_| true);
    world.drain_outputs();
    assert_eq!([0, 1, 2, 3].map(|at| world.engine.has_allocation(&clients[at].from)), [true, true, false, false]);
}

#[test]
fn a_row_says_whose_an_allocation_is_and_what_it_has_relayed() {
    let (mut world, mut alice) = (World::new(), Client::alice().into_stranger());
    assert!(listed(&world, 10, 10).0.is_empty());
    let mut bob = Client::bob().into_stranger();
    let (mine, theirs) = (world.allocate(&mut alice), world.allocate(&mut bob));
    let since = world.now;
    assert_eq!(world.permit(&mut alice, &[&theirs.to_string()]), None);
    world.permit(&mut bob, &[&mine.to_string()]);
    let _ = world.send(&bob, &mine.to_string(), b"hello");
    let _ = world.send(&alice, &theirs.to_string(), b"12345678");
    world.advance(secs(100));
    let row = listed(&world, 10, 10).0.swap_remove(0);
    assert_eq!(
        (row.user(), row.scope(), row.client, row.transport),
        ("alice", Scope::Clients, alice.from.client, Transport::Udp)
    );
    assert_eq!((row.relayed, row.peers[0], row.peer_count), ([Some(mine), None], Some(theirs.ip()), 1));
    assert_eq!((row.since, row.expires, row.sent), (since, since + secs(600), 8));
    world.advance(secs(300));
    assert_eq!(listed(&world, 10, 10).0[0].peer_count, 0, "the permission has expired");
}

#[test]
fn many_peers_are_counted_and_the_first_ones_shown() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.allocate(&mut alice);
    let peers: Vec<String> = (1..=6).map(|last| format!("198.51.101.{last}:9")).collect();
    assert_eq!(world.permit(&mut alice, &peers.iter().map(String::as_str).collect::<Vec<_>>()), None);
    let row = listed(&world, 10, 10).0.swap_remove(0);
    assert_eq!(
        (row.peers.map(|peer| peer.unwrap()), row.peer_count),
        ([1, 2, 3, 4].map(|last| ip(&format!("198.51.101.{last}"))), 6)
    );
}

#[test]
fn an_allocation_is_ended_by_its_number_and_no_later_one_in_its_place() {
    let mut world = World::new();
    let mut clients = [client(1), client(2)];
    for client in &mut clients {
        world.allocate(client);
    }
    let rows = listed(&world, 10, 10).0;
    assert_ne!(rows[0].number, rows[1].number);
    assert!(!world.engine.end_numbered(rows[0].id, rows[1].number), "the number is another allocation's");
    assert!(world.engine.end_numbered(rows[0].id, rows[0].number));
    world.drain_outputs();
    assert!(!world.engine.end_numbered(rows[0].id, rows[0].number), "it has ended");
    assert_eq!((world.sockets.len(), world.shared.allocations(), world.engine.allocation_count()), (1, 1, 1));
    assert_eq!(world.refresh(&mut clients[0], 600).code(), Some(437));
    assert_eq!(world.refresh(&mut clients[1], 600).code(), None);
}

#[test]
fn numbers_differ_between_engines_and_after_a_restart() {
    let settings = settings();
    let shared = SharedState::new(&settings, [1; 32], Instant::now());
    let mut numbers = std::collections::BTreeSet::new();
    for index in [0, 1, 1] {
        let shard = ShardSettings { index, ports: 50_000..=50_099 };
        let now = Instant::now();
        let mut world = World::shard(settings.clone(), shard, Arc::clone(&shared), Arc::new(users()), now);
        world.allocate(&mut client(1));
        numbers.extend(listed(&world, 10, 10).0.iter().map(|row| row.number));
        world.engine.end_all();
    }
    assert_eq!(numbers.len(), 3);
}
