//! Decides which gateway serves a Socket.IO client: the clients of RTCMultiConnection identify themselves in the query of their
//! handshake, and all others use the cast flow.

use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler as _;

use crate::cast::gateway::{CastGateway, RTC};
use crate::multiconnection::gateway::{HandshakeRefused, MultiConnectionGateway};

/// Serves the cast flow on its namespaces of `io`, and RTCMultiConnection beside it on `/`.
pub(super) fn attach(io: &SocketIo, cast: &CastGateway, multiconnection: &MultiConnectionGateway) {
    for namespace in ["/", RTC] {
        let (registering, admitting) = ((cast.clone(), multiconnection.clone()), (cast.clone(), multiconnection.clone()));
        let register = move |socket: SocketRef, TryData(auth): TryData<Value>| {
            let (cast, multiconnection) = registering.clone();
            async move {
                if is_multiconnection(&socket) {
                    return multiconnection.register(socket).await;
                }
                cast.register(&socket, auth.ok().as_ref());
                Ok::<(), HandshakeRefused>(())
            }
        };
        let connected = move |socket: SocketRef| {
            let (cast, multiconnection) = &admitting;
            if is_multiconnection(&socket) {
                multiconnection.connected(socket)
            } else {
                cast.connected(socket)
            }
            std::future::ready(())
        };
        io.ns(namespace, connected.with(register));
    }
}

fn is_multiconnection(socket: &SocketRef) -> bool {
    socket.ns() == "/" && MultiConnectionGateway::serves(socket)
}
