//! The server's certificate: where it comes from, when it is replaced, and which one a handshake gets.
//!
//! - **Owner** of the current certificate ([`Certificates`]; clones share it) and of the files below the data folder's `tls/`.
//! - **Inputs**: the settings' source (self-signed, files, ACME), changes of the files, SIGHUP ([`Certificates::reload`]), the look-ups of a
//!   certificate authority.
//! - **Outputs**: a TLS configuration for each connection ([`HandshakeConfigs::config`]), the answers to look-ups, and the reason why a
//!   renewal failed ([`Certificates::problem`]).
//!
//! `certificates` chooses one of the three sources: `self_signed`, `certificate_files` and `acme`. Each source loads the first certificate,
//! and then its task ([`Certificates::keep_renewed`]) renews it and puts the new one into `served`. A handshake takes the certificate of that
//! moment, so a new certificate serves the next handshake and ends no connection. `certificate` parses a chain and its key, `trust` tells
//! whether clients know its authority, `server_hosts` tells which host a client uses, `private_file` writes keys, `kept_names`
//! has the names of the files, and `acme_folder` that of the folder of each authority's directory.
//!
//! Invariants:
//! - A certificate exists from the start on; without a better one it is self-signed.
//! - A certificate that can't be read, does not match its key or can't be renewed leaves the old one in force. The failure is logged and kept
//!   in [`Certificates::problem`].
//! - Private keys and the ACME account are in files of mode 0600.

mod acme;
mod acme_folder;
mod certificate;
mod certificate_files;
mod certificates;
mod handshake_configs;
mod kept_names;
mod private_file;
mod public_certificate;
mod self_signed;
mod served;
mod server_hosts;
mod trust;

pub use certificate::{Certificate, CertificateKind};
pub use certificates::{Certificates, acme_certificate_file};
pub use handshake_configs::{ACME_TLS, HTTP_2, HandshakeConfigs, STUN_NAT_DISCOVERY, STUN_TURN};
pub use kept_names::{FOLDER, is_kept};
pub use public_certificate::PublicCertificate;
pub use server_hosts::ServerHosts;
