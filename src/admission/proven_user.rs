//! [`ProvenUser`]: who has signed in. PURE.

/// A user who has shown a password or a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenUser {
    pub name: String,
    /// Of the password then.
    pub(super) stamp: u64,
}

impl ProvenUser {
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), stamp: 0 }
    }
}
