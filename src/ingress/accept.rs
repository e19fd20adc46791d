//! Accepts connections on all listeners, each one in a task of its own, until the server stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::dispatch::Dispatcher;
use super::listener::{Listener, NewConnection};
use super::unidentified::UnidentifiedConnection;
use crate::limits::ip_prefix;

/// Pause after an accept that failed for want of descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves until `stop` ends, then lets the requests finish that are being answered.
pub async fn serve(listeners: Vec<Listener>, dispatcher: Dispatcher, stop: impl Future<Output = ()>) {
    let dispatcher = Arc::new(dispatcher);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept_loop(listener, Arc::clone(&dispatcher)));
    }
    stop.await;
    accepting.shutdown().await;
    dispatcher.http.stop().await;
}

async fn accept_loop(mut listener: Listener, dispatcher: Arc<Dispatcher>) {
    let mut is_failing = false;
    loop {
        // Acquired before the accept, so that a descriptor is free for the connection.
        let slot = dispatcher.unidentified.slot().await;
        match listener.accept().await {
            Ok(new) => {
                is_failing = false;
                let new = NewConnection { peer: ip_prefix::canonical(new.peer), ..new };
                if dispatcher.banned.contain(new.peer.ip()) {
                    continue;
                }
                let client = Some(new.peer.ip()).filter(|ip| !dispatcher.trusts(*ip));
                let connection = Arc::new(dispatcher.unidentified.admit(client, slot));
                let task = tokio::spawn(identify(Arc::clone(&dispatcher), new, Arc::clone(&connection)));
                connection.attach(task.abort_handle());
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::error!(%error, "no connection can be accepted for now: raise the limit of open files (ulimit -n)");
                }
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Hands the connection over, or closes it.
async fn identify(dispatcher: Arc<Dispatcher>, new: NewConnection, connection: Arc<UnidentifiedConnection>) {
    let (peer, deadline) = (new.peer, new.deadline);
    match timeout_at(deadline.into(), dispatcher.dispatch(new, &connection)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(client = %peer, %error, "closed a connection before its protocol was known"),
        Err(_) => tracing::debug!(client = %peer, "closed a connection that did not identify its protocol in time"),
    }
}

/// Whether accept(2) failed because the client has already closed this connection; the next accept may succeed.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected};
    [ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected].contains(&error.kind())
}
