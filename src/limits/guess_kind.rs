//! The kinds of secrets whose wrong guesses are counted. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

/// The kind of secret that was guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GuessKind {
    /// The code of a TV, guessed by a caster or by a TV that claims it.
    Code,
    /// The password of a room of RTCMultiConnection.
    RoomPassword,
    /// The password of RTCMultiConnection's admin page.
    AdminPassword,
    /// The password of an operator, at `/admin`.
    OperatorPassword,
    /// The API key of `/turn` and `/v1alpha`.
    ApiKey,
    /// The key or the digits of `/check`.
    CheckKey,
    /// The password of a user, at `/turn`.
    UserPassword,
    /// A TURN password over TCP or TLS, where the handshake proves the client's address.
    TurnPassword,
    /// A TURN password over UDP, where the sender's address may be forged by a client that once used it. No address should be
    /// banned for these.
    TurnPasswordUdp,
}

impl GuessKind {
    /// All kinds, in the order of the variants.
    pub const ALL: [Self; 9] = [
        Self::Code,
        Self::RoomPassword,
        Self::AdminPassword,
        Self::OperatorPassword,
        Self::ApiKey,
        Self::CheckKey,
        Self::UserPassword,
        Self::TurnPassword,
        Self::TurnPasswordUdp,
    ];

    /// Whether a client beyond its limit may still try once in a while, because these protocols can't tell it how long to wait.
    pub(super) const fn allows_retries(self) -> bool {
        match self {
            Self::Code | Self::RoomPassword | Self::AdminPassword | Self::OperatorPassword | Self::CheckKey => false,
            Self::ApiKey | Self::UserPassword | Self::TurnPassword | Self::TurnPasswordUdp => true,
        }
    }

    /// The name in logs and metrics. The filter in `deploy/fail2ban` matches these words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::RoomPassword => "room_password",
            Self::AdminPassword => "admin_password",
            Self::OperatorPassword => "operator_password",
            Self::ApiKey => "api_key",
            Self::CheckKey => "check_key",
            Self::UserPassword => "user_password",
            Self::TurnPassword => "turn_password",
            Self::TurnPasswordUdp => "turn_password_udp",
        }
    }
}
