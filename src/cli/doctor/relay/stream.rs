//! STUN messages and ChannelData over a byte stream (RFC 8656 §12.5), in the shape that the crate `turn` takes.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::Mutex;
use webrtc_util::{Conn, Error};

/// Bytes in front of a STUN message's attributes, and of ChannelData's payload.
const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;

type Result<T> = std::result::Result<T, Error>;
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A connection to the relay over TCP or TLS.
pub(super) struct StreamConn<S> {
    reader: Mutex<ReadHalf<S>>,
    writer: Mutex<WriteHalf<S>>,
    own: SocketAddr,
    relay: SocketAddr,
}

impl<S: AsyncRead + AsyncWrite> StreamConn<S> {
    pub(super) fn new(stream: S, own: SocketAddr, relay: SocketAddr) -> Self {
        let (reader, writer) = split(stream);
        Self { reader: Mutex::new(reader), writer: Mutex::new(writer), own, relay }
    }
}

/// Reads one message without its padding.
async fn read_message(reader: &mut (impl AsyncRead + Unpin), into: &mut [u8]) -> Result<usize> {
    let too_long = || Error::Io(io::Error::new(io::ErrorKind::InvalidData, "a message is too long").into());
    let header = into.get_mut(..CHANNEL_HEADER).ok_or_else(too_long)?;
    reader.read_exact(header).await?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let is_channel_data = header[0] & 0xc0 == 0x40;
    let (whole, padded) = if is_channel_data {
        (CHANNEL_HEADER + length, CHANNEL_HEADER + length.next_multiple_of(4))
    } else {
        (STUN_HEADER + length, STUN_HEADER + length)
    };
    reader.read_exact(into.get_mut(CHANNEL_HEADER..padded).ok_or_else(too_long)?).await?;
    Ok(whole)
}

// The trait is written with the macro `async_trait`; these are the signatures that it makes.
impl<S: AsyncRead + AsyncWrite + Send + Sync + 'static> Conn for StreamConn<S> {
    fn connect<'a, 'f>(&'a self, _: SocketAddr) -> Answer<'f, ()>
    where
        'a: 'f,
    {
        Box::pin(std::future::ready(Ok(())))
    }

    fn recv<'a, 'b, 'f>(&'a self, into: &'b mut [u8]) -> Answer<'f, usize>
    where
        'a: 'f,
        'b: 'f,
    {
        Box::pin(async move { read_message(&mut *self.reader.lock().await, into).await })
    }

    fn recv_from<'a, 'b, 'f>(&'a self, into: &'b mut [u8]) -> Answer<'f, (usize, SocketAddr)>
    where
        'a: 'f,
        'b: 'f,
    {
        Box::pin(async move { Ok((self.recv(into).await?, self.relay)) })
    }

    fn send<'a, 'b, 'f>(&'a self, message: &'b [u8]) -> Answer<'f, usize>
    where
        'a: 'f,
        'b: 'f,
    {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            writer.write_all(message).await?;
            writer.flush().await?;
            Ok(message.len())
        })
    }

    fn send_to<'a, 'b, 'f>(&'a self, message: &'b [u8], _: SocketAddr) -> Answer<'f, usize>
    where
        'a: 'f,
        'b: 'f,
    {
        self.send(message)
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.own)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        Some(self.relay)
    }

    fn close<'a, 'f>(&'a self) -> Answer<'f, ()>
    where
        'a: 'f,
    {
        Box::pin(async move { Ok(self.writer.lock().await.shutdown().await?) })
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}
