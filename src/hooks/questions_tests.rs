//! See [`super`].

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn client(number: u8) -> IpAddr {
    [192, 0, 2, number].into()
}

fn asking(client: IpAddr, name: u32, now: Instant) -> Asking<u32> {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&name.to_be_bytes());
    Asking {
        json: Secret::new(Bytes::from_static(b"{}")),
        until: now + 2 * SECOND,
        waiter: name,
        client,
        answer_key: Some(key),
        request_key: key,
    }
}

fn all(_: &u32) -> bool {
    true
}

/// Sends what may be sent, and returns the names.
fn sent(questions: &mut Questions<u32>, now: Instant) -> Vec<Asking<u32>> {
    std::iter::from_fn(|| questions.next(now, all)).collect()
}

#[test]
fn addresses_have_turns_and_none_takes_all_requests() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    for name in 0..100 {
        assert_eq!(questions.ask(asking(client(1), name, now), now), Place::Waits(()));
    }
    let first = sent(&mut questions, now);
    assert_eq!(first.len(), MAX_REQUESTS_OF_ADDRESS, "others would have a request at once");
    for name in 200..300 {
        questions.ask(asking(client(2), name, now), now);
    }
    questions.ask(asking(client(3), 300, now), now);
    let others = sent(&mut questions, now);
    assert_eq!(others.len(), MAX_REQUESTS - MAX_REQUESTS_OF_ADDRESS);
    assert!(others[..2].iter().any(|asking| asking.client == client(3)), "one question does not wait for a hundred others");
    assert!(questions.next(now, all).is_none(), "there are sixteen requests");
    questions.finish(&first[0], Ending::Other, now);
    assert_eq!(questions.next(now, all).map(|asking| asking.client), Some(client(1)));
}

#[test]
fn an_address_has_a_share_of_the_places_that_wait() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    let mut name = 0;
    let mut ask = |questions: &mut Questions<u32>, number| {
        name += 1;
        questions.ask(asking(client(number), name, now), now)
    };
    let waits = (0..1000).filter(|_| ask(&mut questions, 1) == Place::Waits(())).count();
    assert_eq!(waits, MAX_WAITING_OF_ADDRESS);
    assert_eq!((ask(&mut questions, 1), ask(&mut questions, 2)), (Place::Full, Place::Waits(())));
    for number in (2..=255).flat_map(|number| [number; 100]) {
        ask(&mut questions, number);
    }
    assert_eq!(questions.waiting_count, MAX_WAITING);
    let shares: Vec<_> = questions.waiting.values().map(|crowd| crowd.questions.len()).collect();
    assert!(shares.len() == 255 && shares.iter().all(|share| (3..=5).contains(share)), "{shares:?}");
    let ended = now + 2 * SECOND;
    assert!(questions.next(ended, all).is_none(), "their time is over");
    assert!(questions.waiters.is_empty() && questions.waiting.is_empty() && questions.turns.is_empty());
    assert_eq!((questions.waiting_count, questions.waiting_bytes), (0, 0));
}

#[test]
fn questions_that_wait_are_bounded_in_bytes() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    let long =
        |name: u32| Asking { json: Secret::new(vec![b'x'; 32 * 1024].into()), ..asking(client((name % 200) as u8), name, now) };
    let waits = (0..200).filter(|name| questions.ask(long(*name), now) == Place::Waits(())).count();
    assert!((30..=32).contains(&waits), "{waits}");
}

#[test]
fn the_questions_of_one_address_are_bounded_in_bytes() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    let long = |number, name| Asking { json: Secret::new(vec![b'x'; 6000].into()), ..asking(client(number), name, now) };
    let waits = (0..100).filter(|name| questions.ask(long(1, *name), now) == Place::Waits(())).count();
    assert_eq!(waits, MAX_WAITING_BYTES_OF_ADDRESS / (6000 + QUESTION_OVERHEAD_BYTES));
    // A crowd that fills all bytes leaves places to somebody else.
    for (number, name) in (2..100).flat_map(|number| (0..20).map(move |name| (number, 1000 * u32::from(number) + name))) {
        questions.ask(long(number, name), now);
    }
    assert!(questions.waiting_bytes > MAX_WAITING_BYTES - 7000);
    assert_eq!(questions.ask(long(200, 1_000_000), now), Place::Waits(()));
    assert!(questions.waiting_bytes <= MAX_WAITING_BYTES);
}

#[test]
fn where_no_place_is_left_the_newest_question_of_the_largest_crowd_gives_way() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    for (number, name) in (1..=10).flat_map(|number| (0..135).map(move |name| (number, 1000 * u32::from(number) + name))) {
        questions.ask(asking(client(number), name, now), now);
    }
    assert_eq!(questions.waiting_count, MAX_WAITING);
    let known = |questions: &Questions<u32>, name| questions.waiters.values().any(|waiter| *waiter == name);
    let newest = questions.waiting.values().map(|crowd| (crowd.questions.len(), crowd.questions.back().unwrap().waiter)).max();
    assert_eq!(questions.ask(asking(client(99), 7, now), now), Place::Waits(()));
    assert_eq!((questions.waiting_count, questions.waiters.len()), (MAX_WAITING, MAX_WAITING));
    assert!(known(&questions, 7) && !known(&questions, newest.unwrap().1), "whoever waits for it is told");
    assert!(sent(&mut questions, now).iter().any(|asking| asking.waiter == 7), "it is asked with the first ones");
}

#[test]
fn all_addresses_of_a_site_give_way_together() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    for name in 0..2000_u32 {
        let network = IpAddr::V6(std::net::Ipv6Addr::from_bits(0x2001_0db8_0001_u128 << 80 | u128::from(name) << 64));
        questions.ask(asking(network, name, now), now);
    }
    assert_eq!((questions.waiting_count, questions.turns.len()), (MAX_WAITING, MAX_WAITING));
    for name in 0..100 {
        assert_eq!(questions.ask(asking(client(9), 5000 + name, now), now), Place::Waits(()), "{name}");
    }
    assert_eq!((questions.waiting_count, questions.turns.len()), (MAX_WAITING, MAX_WAITING - 100 + 1));
    assert!(sent(&mut questions, now + 2 * SECOND).is_empty());
    assert!(questions.waiters.is_empty() && questions.waiting.is_empty() && questions.turns.is_empty());
    assert_eq!((questions.waiting_count, questions.waiting_bytes), (0, 0));
}

#[test]
fn a_question_with_too_little_time_left_is_not_sent() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    for name in 0..2 {
        questions.ask(asking(client(name), name.into(), now), now);
        let at = now + 2 * SECOND - MIN_REQUEST_TIME + Duration::from_millis(name.into());
        assert_eq!(questions.next(at, all).is_some(), name == 0);
    }
    assert_eq!(questions.waiters.len(), 1, "whoever waits for the second one is told");
}

#[test]
fn a_request_that_had_no_time_says_nothing_about_the_server() {
    let (mut questions, mut now) = (Questions::default(), Instant::now());
    let mut end = |name, ending, now| {
        let place = questions.ask(asking(client(1), name, now), now);
        if let Some(asking) = questions.next(now, all) {
            questions.finish(&asking, ending, now);
        }
        place
    };
    for name in 0..50 {
        assert_eq!(end(name, Ending::Unknown, now), Place::Waits(()));
    }
    for name in 100..100 + MAX_UNANSWERED {
        assert_eq!(end(1000 + name, Ending::Unknown, now), Place::Waits(()));
        assert_eq!(end(name, Ending::Unanswered, now), Place::Waits(()), "it neither adds to the others nor ends their row");
    }
    assert_eq!(end(200, Ending::Other, now), Place::Down);
    now += DOWN_TIME;
    assert_eq!(end(201, Ending::Unknown, now), Place::Waits(()), "it finds out nothing");
    assert_eq!(end(202, Ending::Unanswered, now), Place::Waits(()), "and the next one does");
    assert_eq!(end(203, Ending::Other, now), Place::Down);
}

#[test]
fn a_question_that_nobody_waits_for_is_not_sent() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    for name in 0..10 {
        questions.ask(asking(client(1), name, now), now);
    }
    assert_eq!(questions.next(now, |name| *name == 7).map(|asking| asking.waiter), Some(7));
    assert_eq!(questions.waiters.len(), 3, "those behind it, and itself");
}

#[test]
fn the_same_question_is_asked_once_at_a_time() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    let question = Asking { answer_key: None, ..asking(client(1), 1, now) };
    assert_eq!(questions.ask(question.clone(), now), Place::Waits(()));
    assert_eq!(questions.ask(question.clone(), now), Place::Shared(1), "while it waits");
    let first = questions.next(now, all).unwrap();
    assert_eq!(questions.ask(question.clone(), now), Place::Shared(1), "while it was sent");
    questions.finish(&first, Ending::Yes, now);
    assert_eq!(questions.ask(question, now), Place::Waits(()), "without a token nothing is remembered");
}

#[test]
fn a_yes_is_remembered_for_half_a_minute_and_nothing_else_is() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    let mut ask = |ending, at| {
        let place = questions.ask(asking(client(1), 1, at), at);
        if let Some(asking) = questions.next(at, all) {
            questions.finish(&asking, ending, at);
        }
        place
    };
    for ending in [Ending::Other, Ending::Unanswered, Ending::Yes] {
        assert_eq!(ask(ending, now), Place::Waits(()), "{ending:?}");
    }
    assert_eq!(ask(Ending::Yes, now + 30 * SECOND - Duration::from_millis(1)), Place::Remembered);
    assert_eq!(ask(Ending::Other, now + 30 * SECOND), Place::Waits(()), "looking at it makes it no younger");
    assert_eq!(ask(Ending::Other, now + 30 * SECOND), Place::Waits(()));
}

#[test]
fn what_is_remembered_is_bounded() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    for name in 0..MAX_REMEMBERED as u32 + 100 {
        questions.ask(asking(client(1), name, now), now);
        let asking = questions.next(now, all).unwrap();
        questions.finish(&asking, Ending::Yes, now);
    }
    assert_eq!((questions.remembered.len(), questions.ends.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
    assert_eq!(questions.ask(asking(client(1), 0, now), now), Place::Waits(()), "the oldest is forgotten");
    assert_eq!(questions.ask(asking(client(1), 5000, now), now), Place::Remembered);
    assert_eq!(questions.ask(asking(client(1), 5001, now + YES_LIFETIME), now + YES_LIFETIME), Place::Waits(()));
    assert!(questions.remembered.is_empty() && questions.ends.is_empty());
}

#[test]
fn while_the_server_does_not_answer_one_question_at_a_time_is_asked() {
    let (mut questions, mut now) = (Questions::default(), Instant::now());
    for name in 0..MAX_UNANSWERED {
        assert_eq!(questions.ask(asking(client(1), name, now), now), Place::Waits(()), "{name}");
    }
    let all_sent = sent(&mut questions, now);
    all_sent.iter().for_each(|asking| questions.finish(asking, Ending::Unanswered, now));
    assert_eq!(questions.ask(asking(client(2), 100, now), now), Place::Down);
    for name in [101, 201] {
        now += DOWN_TIME;
        assert_eq!(questions.ask(asking(client(2), name, now), now), Place::Waits(()), "it finds out");
        assert_eq!(questions.ask(asking(client(3), name + 1, now), now), Place::Down, "the others don't wait for it");
        let probe = questions.next(now, all).unwrap();
        questions.finish(&probe, Ending::Unanswered, now);
        assert_eq!(questions.ask(asking(client(3), name + 2, now), now), Place::Down, "for as long as before");
    }
    now += DOWN_TIME;
    // Whoever has asked goes away.
    assert_eq!(questions.ask(asking(client(2), 301, now), now), Place::Waits(()));
    assert!(questions.next(now, |_| false).is_none());
    assert_eq!(questions.ask(asking(client(2), 302, now), now), Place::Waits(()), "another one finds out");
    let probe = questions.next(now, all).unwrap();
    questions.finish(&probe, Ending::Other, now);
    for name in 400..420 {
        assert_eq!(questions.ask(asking(client(2), name, now), now), Place::Waits(()), "it answers again");
    }
}
