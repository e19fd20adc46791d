//! Decides which gateway serves a Socket.IO client: the clients of RTCMultiConnection identify themselves in the query of their
//! handshake, and all others use the cast flow.

use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::handler::ConnectHandler as _;

use crate::cast::gateway::{Gateway as Cast, RTC};
use crate::multiconnection::gateway::{Gateway as MultiConnection, HandshakeRefused};

/// Serves the cast flow on its namespaces of `io`, and RTCMultiConnection beside it on `/`.
pub(super) fn attach(io: &SocketIo, cast: &Cast, multi: &MultiConnection) {
    for namespace in ["/", RTC] {
        let (registering, admitting) = ((cast.clone(), multi.clone()), (cast.clone(), multi.clone()));
        let register = move |socket: SocketRef| {
            let (cast, multi) = registering.clone();
            async move {
                if is_multi(&socket) {
                    return multi.register(socket).await;
                }
                cast.register(&socket);
                Ok::<(), HandshakeRefused>(())
            }
        };
        let connected = move |socket: SocketRef| {
            let (cast, multi) = &admitting;
            if is_multi(&socket) {
                multi.connected(socket)
            } else {
                cast.connected(socket)
            }
            std::future::ready(())
        };
        io.ns(namespace, connected.with(register));
    }
}

fn is_multi(socket: &SocketRef) -> bool {
    socket.ns() == "/" && MultiConnection::serves(socket)
}
