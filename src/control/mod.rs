//! The socket in the data folder, through which commands ask the running server, and the lock on that folder.
//!
//! - Owner: the app binds a [`ControlSocket`] and serves it until the server stops.
//! - Inputs: questions, one JSON object a line: `{"ask": "facts"}`. Those who may ask are root and the user that the server runs as; the
//!   kernel says who a client is.
//! - Outputs: one JSON object a line for each question; `{"error": "a sentence"}` where there is no answer.
//! - [`FolderLock`] is what a server takes before it writes to the folder, so that the folder has one server.
//! - Invariants: nothing here goes over a network. Connections, questions, answers and idle times are bounded. A server whose socket can't
//!   be made serves all the same.
//!
//! An [`Ask`] is one question that the server understands; each has a file in [`asks`]. A new one needs that file, and a line where the
//! app collects them. [`client`] is the side of the commands.

mod ask;
pub mod asks;
pub mod client;
mod connect;
pub mod facts;
mod folder_lock;
mod lines;
mod serve;
mod socket;

pub use ask::{Answer, Ask};
pub use folder_lock::{FolderLock, LockError};
pub use socket::{ControlSocket, SOCKET_FILE_NAME};
