//! [`COTURN_OPTIONS`]: what each option of coturn's turnserver becomes here.

/// An option of coturn, by its name in turnserver.conf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoturnOption {
    pub name: &'static str,
    pub becomes: Counterpart,
}

/// What an option becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counterpart {
    /// A setting, by its variable.
    Setting(&'static str),
    /// Nothing, because of what the sentence says.
    None(&'static str),
}

/// By name.
pub const COTURN_OPTIONS: &[CoturnOption] = &[CoturnOption { name: "realm", becomes: Counterpart::Setting("CASTWAY_REALM") }];
