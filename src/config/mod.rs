//! Every setting: read together from flags, the environment and `.env`, and checked before anything is opened.
//!
//! - Owner: the program's start. Nothing in here changes while the server runs.
//! - Inputs: [`Settings`], the raw text as clap collects it (a flag wins over its variable, a variable over `.env`).
//! - Outputs: [`Config`], with a struct for each topic, or [`Problems`], with a line for **each** setting that can't be used: the
//!   variable, its value and what is expected.
//! - Invariants: reading binds nothing, and opens no files but those with secrets. Each default stands once, in [`Settings::defaults`]. No secret is printed.
//!
//! A setting goes through `settings` (its text, flag, variable, help and default), `reader` (text to value) and the file of its topic
//! (which values are good together). `quotes` finds values with quotes around them, `userinfo` hides the passwords of URLs,
//! and `secret_file` reads the files that `…_FILE` settings name. `sources` merges the settings of several places, and `server_record` is what a server keeps
//! of its settings for the commands beside it.
//!
//! ```
//! use castway::config::{Config, Settings};
//!
//! let settings = Settings { grace: Some("90".into()), ..Settings::default() };
//! assert_eq!(Config::read(&settings)?.cast.grace.as_secs(), 90);
//! let settings = Settings { grace: Some("soon".into()), ..Settings::default() };
//! let problems = Config::read(&settings).expect_err("no number");
//! assert_eq!(problems.0, [r#"CASTWAY_GRACE="soon": expected a whole number of seconds from 1 to 3600"#]);
//! # Ok::<(), castway::config::Problems>(())
//! ```

mod admin;
mod api;
mod apprtc;
mod base_path;
mod cast;
mod credentials;
mod defaults;
mod external;
mod frame_ancestors;
mod hooks;
mod http;
mod listen;
mod log;
mod multiconnection;
mod network;
mod origins;
mod port_conflicts;
mod problems;
mod quotes;
mod reader;
mod relay;
pub mod secret;
mod secret_file;
mod secrets;
mod server_record;
mod setting_groups;
mod setting_rows;
mod settings;
mod sources;
mod tls;
mod topics;
mod usage;
mod userinfo;
mod without_effect;

pub use admin::AdminConfig;
pub use api::{ApiConfig, ProviderApis};
pub use apprtc::AppRtcConfig;
pub use base_path::BasePath;
pub use cast::{CastAccess, CastConfig};
pub use credentials::{CredentialsConfig, IceAccess, IceConfig, LONGEST_TTL, TurnAccess};
pub use defaults::{COMPUTED_DEFAULTS, ComputedDefault};
pub use external::{ExternalAddress, ExternalConfig, Public, StunServer};
pub use frame_ancestors::FrameAncestors;
pub use hooks::{AskedSeats, AuthorizeConfig, HookUrl, HooksConfig, may_connect};
pub use http::{HttpConfig, without_last_slash};
pub use listen::Listen;
pub use log::{LogConfig, LogFormat};
pub use multiconnection::MultiConnectionConfig;
pub use origins::{AllowedOrigin, CorsOrigins};
pub use port_conflicts::RequiredPorts;
pub use problems::Problems;
pub use reader::{VARIABLE_PREFIX, variable_of};
pub use relay::{Discovery, RelayConfig};
pub use setting_groups::{SETTING_GROUPS, SettingGroup};
pub use setting_rows::SettingRow;
pub use settings::Settings;
pub use tls::{AcmeConfig, CertificateSource, HTTPS_PORT, TlsConfig};
pub use topics::Config;
pub use usage::{UsageConfig, UsageName};
pub(crate) use userinfo::{NOT_SHOWN, hidden as without_userinfo};
