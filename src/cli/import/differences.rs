//! What is different here although no option says so: other defaults.

use super::facts::Facts;
use super::translate::Translation;

/// A sentence for each default that differs from turnserver's and that no option sets.
pub(super) fn differences(facts: &Facts, translation: &Translation) -> Vec<String> {
    let sets = |variable: &str| translation.settings.contains_key(variable);
    let mut sentences = Vec::new();
    let mut say = |is_so: bool, sentence: &str| {
        if is_so {
            sentences.push(sentence.to_owned());
        }
    };
    say(
        !sets("CASTWAY_ALLOWED_PEER_IP"),
        "Private networks and the networks of this machine are denied as peers; CASTWAY_ALLOWED_PEER_IP allows some. turnserver denies \
         loopback addresses alone.",
    );
    say(
        !facts.has("max-bps"),
        "An allocation relays at most 6250000 bytes per second in each direction; CASTWAY_MAX_BPS changes that, and 0 lifts it. \
         turnserver has no limit.",
    );
    say(
        !facts.has("no-tcp-relay"),
        "TCP peers (RFC 6062) are off; CASTWAY_NO_TCP_RELAY=false turns them on. turnserver has them on.",
    );
    say(
        !sets("CASTWAY_CERT") && !facts.is_on("no-tls"),
        "TURN over TLS has a certificate that the server makes itself unless CASTWAY_DOMAIN or CASTWAY_CERT is set. turnserver has no TLS \
         without cert and pkey.",
    );
    say(
        true,
        "The server also has pages, Socket.IO and a REST API, at CASTWAY_HTTP_ADDR and CASTWAY_HTTPS_ADDR. Anybody may have credentials from \
         GET /turn, with which clients of this server reach each other and nobody else; CASTWAY_TURN_ACCESS=users closes that.",
    );
    sentences
}
