//! The parts of the REST API that settings turn on.

use super::reader::Reader;

/// Other providers' APIs for TURN credentials, and the descriptions of our own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApiConfig {
    /// `/api/docs` is served.
    pub docs: bool,
    pub providers: ProviderApis,
}

/// Whose API is spoken, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProviderApis {
    pub cloudflare: bool,
    pub twilio: bool,
    pub metered: bool,
    pub xirsys: bool,
}

const PROVIDER_APIS: &str = "CASTWAY_PROVIDER_APIS";

impl ApiConfig {
    pub(super) fn read(reader: &mut Reader, has_api_keys: bool) -> Self {
        let config = Self { docs: reader.flag("CASTWAY_API_DOCS"), providers: providers(reader) };
        if config.providers != ProviderApis::default() && !has_api_keys {
            reader.secret_problem("CASTWAY_API_KEYS", "at least one key where CASTWAY_PROVIDER_APIS names a provider");
        }
        config
    }
}

fn providers(reader: &mut Reader) -> ProviderApis {
    let mut providers = ProviderApis::default();
    for name in reader.items(PROVIDER_APIS) {
        match name.as_str() {
            "cloudflare" => providers.cloudflare = true,
            "twilio" => providers.twilio = true,
            "metered" => providers.metered = true,
            "xirsys" => providers.xirsys = true,
            _ => reader.problem(
                PROVIDER_APIS,
                &name,
                "cloudflare, twilio, metered, xirsys, or several of them, separated by commas",
            ),
        }
    }
    providers
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Settings};
    use super::*;

    #[test]
    fn the_apis_of_providers_need_api_keys() {
        let read = |list: &str, keys: &str| {
            let settings = Settings { provider_apis: Some(list.into()), api_keys: Some(keys.into()), ..Settings::default() };
            Config::read(&settings).map(|config| config.api.providers)
        };
        let key = "abcdefghijklmnopqrstuvwx";
        assert_eq!(read("", "").unwrap(), ProviderApis::default());
        let expected = ProviderApis { cloudflare: true, xirsys: true, ..ProviderApis::default() };
        assert_eq!(read("cloudflare, xirsys", key).unwrap(), expected);
        assert!(read("twilio", "").unwrap_err().to_string().contains("CASTWAY_API_KEYS"));
        let problem = read("agora", key).unwrap_err().to_string();
        assert!(problem.contains("agora") && problem.contains("metered"), "{problem}");
    }
}
