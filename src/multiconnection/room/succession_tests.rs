//! Transcripts of pages that end without disconnecting, and come back as another user.

use super::*;

/// A page of the browser with the fingerprint `place`, whose user has this id.
fn page(place: u8, id: &str) -> UserHandshake<&'static str> {
    UserHandshake { fingerprint: [place; 32], ..handshake(id) }
}

const HOST: u8 = 1;
const GUEST: u8 = 2;

impl World {
    /// The host 1 opens "r", the guest 2 joins it, they exchange a message, and all outputs are drained.
    fn call(host: UserHandshake<&'static str>, room: RoomRequest<&'static str>) -> Self {
        let mut world = Self::with(&[]);
        let password = room.password.clone();
        world.connect(1, host).expect("there is room");
        world.connect(2, page(GUEST, "guest")).expect("there is room");
        world.open(1, room).expect("it is free");
        world.join(2, RoomRequest { password, ..request("r") }).expect("it is open");
        world.send(2, "host", "hi");
        world.sent();
        world
    }

    fn drop_all(&mut self, clients: &[u64]) {
        clients.iter().for_each(|client| self.drop(*client));
        assert_eq!(self.sent(), [""; 0]);
    }

    fn sees(&self, client: impl Into<ClientId>) -> bool {
        self.rooms.room(client.into(), "r").is_some()
    }

    fn participants(&self) -> Vec<String> {
        self.rooms.room(id(0), "r").map_or(vec![], |room| room.participants.iter().map(ToString::to_string).collect())
    }
}

#[test]
fn a_host_opens_its_room_again_at_once_whatever_kind_of_room_it_is() {
    let kinds = [request("r"), one_way("r"), locked("r", "pw"), RoomRequest { identifier: Some("fans".into()), ..request("r") }];
    for (room, auto_close) in kinds.iter().flat_map(|room| [(room, true), (room, false)]) {
        let mut world = World::with(&[]);
        world.connect(1, UserHandshake { auto_close, ..page(HOST, "host") }).expect("there is room");
        world.open(1, room.clone()).expect("it is free");
        world.drop(1);
        world.connect(3, page(GUEST, "other")).expect("there is room");
        assert!(world.sees(3), "for others it is there");
        assert_eq!(world.open(3, room.clone()), Err(Refusal::NotAvailable));
        world.connect(4, page(HOST, "host again")).expect("there is room");
        assert!(!world.sees(4));
        assert_eq!(world.rooms.public_rooms(id(4), "fans"), []);
        assert_eq!(world.open(4, locked("r", "new")), Ok(()));
        assert_eq!(world.participants(), ["host again"]);
        assert!(world.sees(4) && world.sees(3));
        assert_eq!(world.join(3, locked("r", "new")), Ok(()));
        world.wait(2 * GRACE);
        assert_eq!(world.participants(), ["host again", "other"], "the end of the old user's grace changes nothing");
        assert_eq!(world.rooms.handle_set_password(id(4), None), (Some("r".into()), Ok(())));
    }
}

#[test]
fn anybody_else_opens_it_after_the_grace() {
    let mut world = World::call(page(HOST, "host"), request("r"));
    world.drop_all(&[1, 2]);
    world.connect(3, page(GUEST, "guest again")).expect("there is room");
    assert!(world.sees(3), "a guest's fingerprint are not its owner's");
    assert_eq!(world.open(3, request("r")), Err(Refusal::NotAvailable));
    world.wait(GRACE - Duration::from_secs(1));
    assert_eq!(world.open(3, request("r")), Err(Refusal::NotAvailable));
    world.wait(Duration::from_secs(1));
    assert!(!world.sees(3));
    assert_eq!(world.open(3, request("r")), Ok(()));
}

#[test]
fn a_room_with_somebody_in_it_is_nobody_elses() {
    for room in [request("r"), one_way("r")] {
        for gone in [1, 2] {
            let mut world = World::call(page(HOST, "host"), room.clone());
            world.drop_all(&[gone]);
            world.connect(3, page(HOST, "host again")).expect("there is room");
            assert!(world.sees(3));
            assert_eq!(world.open(3, request("r")), Err(Refusal::NotAvailable));
            assert_eq!(world.join(3, request("r")), Ok(()));
            assert_eq!(world.participants(), ["host", "guest", "host again"]);
        }
    }
}

#[test]
fn whoever_joined_those_who_are_away_holds_the_room() {
    let mut world = World::call(page(HOST, "host"), request("r"));
    world.drop_all(&[1, 2]);
    world.connect(3, page(3, "third")).expect("there is room");
    assert_eq!(world.join(3, request("r")), Ok(()));
    world.connect(4, page(HOST, "host again")).expect("there is room");
    assert!(world.sees(4));
    assert_eq!(world.open(4, request("r")), Err(Refusal::NotAvailable));
    world.wait(GRACE);
    assert_eq!(world.sent(), ["3 owns r"]);
}

#[test]
fn former_participants_keep_their_place_and_hear_that_the_old_host_is_gone() {
    let mut world = World::call(page(HOST, "host"), locked("r", "pw"));
    world.drop_all(&[1, 2]);
    world.connect(3, page(HOST, "host again")).expect("there is room");
    assert_eq!(world.open(3, request("r")), Ok(()));
    assert_eq!(world.participants(), ["host again", "guest"]);
    world.connect(12, page(GUEST, "guest")).expect("its own place");
    assert_eq!(world.sent(), ["12 -host"]);
    world.connect(4, page(3, "third")).expect("there is room");
    world.join(4, request("r")).expect("no password any more");
    world.ask_in(4, "r");
    assert_eq!(world.sent(), ["3 message third>host again let me in -", "12 message third>guest let me in -"]);
    world.join(12, request("r")).expect("it left first");
    world.ask_in(12, "r");
    assert_eq!(world.sent(), ["3 message guest>host again let me in -", "4 message guest>third let me in -"]);
    world.leave(3);
    assert_eq!(world.sent(), ["4 owns r"]);
}

#[test]
fn former_participants_who_stay_away_lose_their_place_when_their_own_grace_ends() {
    let mut world = World::call(page(HOST, "host"), request("r"));
    world.drop_all(&[1, 2]);
    world.wait(GRACE - Duration::from_secs(1));
    world.connect(3, page(HOST, "host again")).expect("there is room");
    assert_eq!(world.open(3, request("r")), Ok(()));
    world.wait(Duration::from_secs(1));
    assert_eq!((world.participants(), world.rooms.counts().away), (vec!["host again".to_owned()], 0));
    assert_eq!(world.sent(), [""; 0], "it owns the room already");
}

#[test]
fn the_new_room_has_the_limits_of_its_opener() {
    let mut world = World::call(page(HOST, "host"), request("r"));
    world.drop_all(&[1, 2]);
    world.connect(3, UserHandshake { max_participants: 1, ..page(HOST, "host again") }).expect("there is room");
    assert_eq!(world.open(3, request("r")), Ok(()));
    assert_eq!(world.participants(), ["host again"]);
    world.connect(12, page(GUEST, "guest")).expect("its own place");
    assert_eq!(world.sent(), ["12 -host"]);
    assert_eq!(world.rooms.handle_set_password(id(12), None), (None, Err(Refusal::NotInRoom)));
}

#[test]
fn the_first_host_has_the_room_back_from_an_heir_who_is_away() {
    let mut world = World::call(page(HOST, "host"), request("r"));
    world.drop_all(&[1]);
    world.wait(GRACE - Duration::from_secs(1));
    world.drop_all(&[2]);
    world.wait(Duration::from_secs(1));
    assert_eq!(*world.rooms.room(id(0), "r").expect("it lives").owner, *"guest");
    world.connect(3, page(HOST, "host again")).expect("there is room");
    assert!(!world.sees(3));
    assert_eq!(world.open(3, request("r")), Ok(()));
    world.connect(12, page(GUEST, "guest")).expect("its own place");
    assert_eq!(world.sent(), ["12 -host"], "nothing of what it owned meanwhile");
    assert_eq!(world.participants(), ["host again", "guest"]);
    assert_eq!(world.rooms.handle_set_password(id(12), None).1, Err(Refusal::PermissionDenied));
}

#[test]
fn a_host_with_an_id_of_its_own_opens_its_room_again() {
    for (room, auto_close) in [(request("r"), false), (request("r"), true), (one_way("r"), false)] {
        for handshake in [page(HOST, "host"), UserHandshake { proof: Some([7; 32]), ..page(HOST, "host") }] {
            let mut world = World::call(UserHandshake { auto_close, ..page(HOST, "host") }, room.clone());
            world.drop_all(&[1, 2]);
            world.connect(11, UserHandshake { auto_close, ..handshake }).expect("there is room");
            assert!(!world.sees(11), "its page was loaded anew");
            assert_eq!(world.open(11, room.clone()), Ok(()));
            assert!(world.sees(11));
            assert_eq!(world.sent(), [""; 0]);
            world.connect(12, page(GUEST, "guest")).expect("its own place");
            assert_eq!(world.sent(), ["12 -host"]);
        }
    }
}

#[test]
fn a_host_with_an_id_of_its_own_ends_what_ended_with_its_page() {
    let mut world = World::call(page(HOST, "host"), one_way("r"));
    world.drop_all(&[1]);
    world.connect(11, page(HOST, "host")).expect("its own place");
    assert!(!world.sees(11) && world.sees(2));
    assert_eq!(world.open(11, one_way("r")), Ok(()));
    assert_eq!(world.sent(), ["2 -host"], "as from a server without a grace");
    assert_eq!(world.participants(), ["host"]);

    let mut world = World::call(page(HOST, "host"), request("r"));
    world.drop_all(&[1]);
    world.connect(11, page(HOST, "host")).expect("its own place");
    assert!(world.sees(11), "the guest has the room");
    assert_eq!(world.open(11, request("r")), Err(Refusal::NotAvailable));
    assert_eq!(world.sent(), ["2 -host", "2 owns r"]);
}

#[test]
fn a_page_that_only_reconnected_sees_its_room_and_keeps_its_peers() {
    let mut world = World::call(page(HOST, "host"), one_way("r"));
    world.drop_all(&[1]);
    world.connect(11, page(HOST, "host")).expect("its own place");
    world.send(11, "guest", "a candidate");
    assert!(world.sees(11));
    world.open(11, request("other")).expect("it is free");
    assert_eq!(world.sent(), ["2 message host>guest a candidate extra"]);
}

#[test]
fn an_owner_alone_among_those_away_opens_its_room_again() {
    let mut world = World::call(page(HOST, "host"), request("r"));
    world.drop_all(&[2]);
    assert!(world.sees(1), "it is in it");
    assert_eq!(world.open(1, request("r")), Ok(()));
    assert_eq!(world.participants(), ["host", "guest"]);
}

#[test]
fn an_id_is_not_given_up_while_anybody_has_to_do_with_it() {
    let thief = || UserHandshake { proof: Some([7; 32]), ..page(HOST, "host") };
    let mut world = World::call(page(HOST, "host"), request("r"));
    world.connect(3, thief()).expect("there is room");
    assert_eq!(world.sent(), ["3 host is taken, random"], "it is here");
    world.drop_all(&[1]);
    assert!(!world.rooms.handle_rename(id(3), "host".into(), world.now));
    assert_eq!(world.sent().len(), 1, "the guest is here");
    world.leave(2);
    world.connect(4, UserHandshake { fingerprint: [GUEST; 32], ..thief() }).expect("there is room");
    assert_eq!(world.sent(), ["4 host is taken, random"], "it comes from elsewhere");
    assert!(world.rooms.handle_rename(id(3), "host".into(), world.now));
    assert!(world.rooms.room(id(0), "r").is_none());
}

#[test]
fn nobody_is_kept_out_of_a_full_room_by_the_user_that_it_was() {
    let host = || UserHandshake { max_participants: 2, ..page(HOST, "host") };
    let mut world = World::call(host(), request("r"));
    world.drop_all(&[2]);
    world.connect(3, page(3, "third")).expect("there is room");
    assert_eq!(world.join(3, request("r")), Err(Refusal::Full));
    world.connect(4, page(GUEST, "guest again")).expect("there is room");
    let is_full = |world: &World, who| world.rooms.room(ClientId::from(who), "r").expect("it lives").is_full;
    assert!(is_full(&world, 3) && !is_full(&world, 4));
    assert_eq!(world.join(4, request("r")), Ok(()));
    assert_eq!(world.sent(), ["1 -guest"]);
    assert_eq!(world.participants(), ["host", "guest again"]);

    let mut world = World::call(host(), request("r"));
    world.drop_all(&[1]);
    world.connect(4, page(HOST, "host again")).expect("there is room");
    assert_eq!(world.join(4, request("r")), Ok(()));
    assert_eq!(world.sent(), ["2 -host", "2 owns r"]);

    for (auto_close, room) in [(false, one_way("r")), (true, request("r"))] {
        let mut world = World::call(UserHandshake { auto_close, ..host() }, room.clone());
        world.drop_all(&[1]);
        world.connect(4, page(HOST, "host again")).expect("there is room");
        assert!(!world.rooms.room(id(4), "r").expect("it lives").is_full);
        assert_eq!(world.join(4, room), Ok(()));
        assert_eq!(world.sent(), ["2 -host", "4 owns r"], "the room does not end under them");
        assert_eq!(world.participants(), ["guest", "host again"]);
    }
}

#[test]
fn a_one_way_room_does_not_end_under_the_host_that_came_back() {
    for all_were_away in [false, true] {
        let mut world = World::call(page(HOST, "host"), one_way("r"));
        world.drop_all(&[1]);
        if all_were_away {
            world.drop_all(&[2]);
            world.connect(5, page(3, "viewer")).expect("there is room");
            world.join(5, one_way("r")).expect("it is open");
        }
        world.connect(4, page(HOST, "host again")).expect("there is room");
        assert!(world.sees(4));
        world.join(4, one_way("r")).expect("it is open");
        world.wait(GRACE);
        assert!(world.sent().contains(&"4 owns r".to_owned()));
        assert!(world.sees(4));
    }
}

#[test]
fn whoever_said_goodbye_has_no_room_to_come_back_to() {
    let mut world = World::call(page(HOST, "host"), request("r"));
    world.leave(1);
    assert_eq!(world.sent(), ["2 -host", "2 owns r"]);
    world.drop_all(&[2]);
    world.connect(3, page(HOST, "host again")).expect("there is room");
    assert!(world.sees(3));
    assert_eq!(world.open(3, request("r")), Err(Refusal::NotAvailable));
    world.connect(4, page(GUEST, "guest again")).expect("there is room");
    assert_eq!(world.open(4, request("r")), Ok(()), "the room was the guest's");
}

#[test]
fn a_room_that_ends_with_its_owner_does_not_end_under_the_owner_that_came_back() {
    let host = || UserHandshake { auto_close: true, ..page(HOST, "host") };
    let mut world = World::call(host(), request("r"));
    world.drop_all(&[1]);
    world.connect(3, page(HOST, "host again")).expect("there is room");
    world.join(3, request("r")).expect("it is open");
    world.wait(GRACE);
    assert_eq!(world.sent(), ["2 -host", "3 owns r"]);

    let mut world = World::call(host(), request("r"));
    world.drop_all(&[1]);
    world.connect(3, page(3, "third")).expect("there is room");
    world.join(3, request("r")).expect("it is open");
    world.wait(GRACE);
    assert_eq!(world.sent(), ["2 -host"]);
    assert!(!world.sees(2), "nobody who could be its owner");

    let mut world = World::call(host(), request("r"));
    world.drop_all(&[1]);
    world.connect(3, page(HOST, "a neighbour")).expect("there is room");
    world.join(3, request("r")).expect("it is open");
    world.connect(11, host()).expect("its own place");
    world.leave(11);
    assert_eq!(world.sent(), ["2 -host"]);
    assert!(!world.sees(3), "its owner came back and left");
}

fn broadcaster(id: &str) -> UserHandshake<&'static str> {
    UserHandshake { relay_limit: Some(1), auto_close: true, ..page(HOST, id) }
}

/// The page of client 1 broadcasts "show" to client 2.
fn broadcast() -> World {
    let mut world = World::with(&[]);
    world.connect(1, broadcaster("random")).expect("there is room");
    world.connect(2, UserHandshake { relay_limit: Some(1), ..page(GUEST, "viewer") }).expect("there is room");
    world.rooms.handle_join_broadcast(id(1), Some("show".into()), "show", "video", world.now);
    world.open(1, one_way("show")).expect("it is free");
    world.rooms.handle_join_broadcast(id(2), Some("viewer".into()), "show", "video", world.now);
    world.join(2, request("show")).expect("it is open");
    world.send(2, "show", "hi");
    world.sent();
    world
}

#[test]
fn a_broadcaster_broadcasts_again_at_once() {
    let mut world = broadcast();
    world.drop_all(&[1, 2]);
    world.connect(3, UserHandshake { fingerprint: [GUEST; 32], ..broadcaster("other") }).expect("there is room");
    assert!(world.rooms.is_broadcasting(id(3), "show"));
    world.rooms.handle_join_broadcast(id(3), Some("show".into()), "show", "video", world.now);
    assert_eq!(world.sent(), ["3 show is taken, other"]);
    world.leave(3);
    world.connect(4, broadcaster("random again")).expect("there is room");
    assert!(!world.rooms.is_broadcasting(id(4), "show"));
    world.rooms.handle_join_broadcast(id(4), Some("show".into()), "show", "video", world.now);
    let started = ["4 show has 0 viewers", "4 start video", "4 log You <show> are now serving the broadcast."];
    assert_eq!(world.sent(), started);
    assert_eq!(world.open(4, one_way("show")), Ok(()));
    assert!(world.rooms.is_broadcasting(id(4), "show"));
    world.connect(12, UserHandshake { relay_limit: Some(1), ..page(GUEST, "viewer") }).expect("its own place");
    assert_eq!(world.sent(), ["12 -show", "12 show stopped"]);
    world.rooms.handle_join_broadcast(id(12), Some("viewer".into()), "show", "video", world.now);
    assert_eq!(world.sent()[1], "12 receive video of show from show");
}

#[test]
fn a_broadcast_that_is_watched_is_not_taken() {
    let mut world = broadcast();
    world.drop_all(&[1]);
    world.connect(4, broadcaster("random again")).expect("there is room");
    assert!(world.rooms.is_broadcasting(id(4), "show"));
    world.rooms.handle_join_broadcast(id(4), Some("show".into()), "show", "video", world.now);
    assert_eq!(world.sent(), ["4 show is taken, random again"]);
}

#[test]
fn a_broadcaster_with_an_id_of_its_own_ends_what_ended_with_its_page() {
    let mut world = broadcast();
    world.drop_all(&[1]);
    world.connect(11, broadcaster("random")).expect("its own place");
    world.rooms.handle_join_broadcast(id(11), Some("show".into()), "show", "video", world.now);
    let sent = world.sent();
    assert_eq!(sent[0], "2 show stopped");
    assert!(sent.contains(&"11 start video".to_owned()), "{sent:?}");
    assert_eq!(world.open(11, one_way("show")), Ok(()));
    assert_eq!(world.sent(), ["2 -show"]);
}
