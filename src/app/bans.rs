//! Ends what banned clients have here. New connections, requests and packets ask for themselves; the relay follows the directory.

use std::net::IpAddr;
use std::time::Duration;

use crate::apprtc::gateway::AppRtcGateway;
use crate::cast::gateway::CastGateway;
use crate::limits::bans::BannedAddresses;
use crate::limits::waiting_bytes::Ledger;
use crate::multiconnection::gateway::MultiConnectionGateway;

/// A connection that was accepted just before a ban, and counted just after it, is found by then.
const SECOND_LOOK_DELAY: Duration = Duration::from_secs(1);

/// Where clients have something that lasts.
pub(super) struct Bans {
    pub(super) banned: BannedAddresses,
    pub(super) cast: CastGateway,
    pub(super) multiconnection: MultiConnectionGateway,
    pub(super) apprtc: AppRtcGateway,
    pub(super) ledger: Ledger,
}

impl Bans {
    /// Never returns.
    pub(super) async fn enforce(self) {
        let mut changes = self.banned.changes();
        // What was banned before the start has nothing here.
        while changes.changed().await.is_ok() {
            self.end_all();
            tokio::time::sleep(SECOND_LOOK_DELAY).await;
            self.end_all();
        }
        std::future::pending().await
    }

    fn end_all(&self) {
        if self.banned.is_empty() {
            return;
        }
        let is_banned = |ip: IpAddr| self.banned.contain(ip);
        // The seats come first: a connection that is lost would keep its seat for a grace period.
        self.cast.end_clients(is_banned);
        self.multiconnection.end_clients(is_banned);
        self.apprtc.end_clients(is_banned);
        self.ledger.close_of(is_banned, "its address is banned");
    }
}
