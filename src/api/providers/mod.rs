//! The APIs of other providers of TURN servers, so that an application that was written for one of them needs another URL and key alone.
//!
//! `CASTWAY_PROVIDER_APIS` turns them on. Each takes an API key of this server where the provider has its own, and answers with
//! credentials of scope anyone in the provider's shape.
