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
    let waits =
        (2..=255).flat_map(|number| [number; 100]).filter(|number| ask(&mut questions, *number) == Place::Waits(())).count();
    assert_eq!(waits + MAX_WAITING_OF_ADDRESS + 1, MAX_WAITING);
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
