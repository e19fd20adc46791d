//! Which of the Socket.IO flows a client speaks: RTCMultiConnection's clients tell it in their handshake's query, all others
//! are of the cast flow.

use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::handler::ConnectHandler as _;

use crate::cast::gateway::{Gateway as Cast, RTC};
use crate::multiconnection::gateway::{Gateway as MultiConnection, Refused};

/// Serves the cast flow on its namespaces of `io`, and RTCMultiConnection beside it on `/`.
pub fn attach(io: &SocketIo, cast: &Cast, multi: &MultiConnection) {
    for namespace in ["/", RTC] {
        let (listening, greeting) = ((cast.clone(), multi.clone()), (cast.clone(), multi.clone()));
        let listen = move |socket: SocketRef| {
            let (cast, multi) = listening.clone();
            async move {
                if is_multi(&socket) {
                    return multi.listen(socket).await;
                }
                cast.listen(&socket);
                Ok::<(), Refused>(())
            }
        };
        let greet = move |socket: SocketRef| {
            let (cast, multi) = &greeting;
            if is_multi(&socket) {
                multi.greet(socket)
            } else {
                cast.greet(socket)
            }
            std::future::ready(())
        };
        io.ns(namespace, greet.with(listen));
    }
}

fn is_multi(socket: &SocketRef) -> bool {
    socket.ns() == "/" && MultiConnection::is_ours(socket)
}
