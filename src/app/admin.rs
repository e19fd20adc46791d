//! Builds `/admin`.

use super::open::Opened;
use super::server::App;
use crate::addresses::interfaces;
use crate::admin::{Admin, AdminParts, SecureUrl};
use crate::check::Checks;
use crate::config::without_last_slash;
use crate::http::own_address;
use crate::users::PasswordChecks;

impl Opened {
    pub(super) fn admin(&self, password_checks: &PasswordChecks, checks: &Checks) -> Admin {
        let http = &self.config.http;
        Admin::new(AdminParts {
            config: http.admin.clone(),
            base: http.base_path.clone(),
            public_origin: self.public_origin(),
            secure_url: self.secure_url(),
            directory: self.directory.clone(),
            password_checks: password_checks.clone(),
            reports: self.relay.reports().clone(),
            checks: checks.clone(),
            settings: self.config.settings.expose().rows(),
        })
    }

    /// The address of `/admin` over HTTPS for a client that used this host, as far as the server knows it: that of the setting, or of its
    /// certificate.
    fn secure_url(&self) -> SecureUrl {
        let public = self.config.http.public_url.clone();
        let secure = self.certificates.clone().zip(self.https_port);
        Box::new(move |asked| {
            let own = || {
                let (certificates, port) = secure.as_ref()?;
                let asked = asked.and_then(own_address::parsed_host);
                let host = asked.and_then(|asked| certificates.current().host_for(asked.clone()).or(Some(asked)))?;
                Some(interfaces::origin("https", &host, *port))
            };
            let origin = match &public {
                Some(url) if url.scheme() == "https" => Some(without_last_slash(url)),
                _ => own(),
            };
            origin.map(|origin| format!("{origin}/admin"))
        })
    }
}

impl App {
    /// Lets operators in.
    pub(super) fn open_admin(&self) {
        self.admin.open(self.operator());
    }
}
