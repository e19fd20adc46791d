//! Lines of bounded length.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// Bytes of the longest question, with its end of line.
pub(super) const MAX_QUESTION_BYTES: usize = 64 * 1024;
/// Bytes of the longest answer, with its end of line: fifty checks of 16 KiB, and as many bytes around them.
pub(super) const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Reads a line of at most `most` bytes, without its end; `None`: the other side has ended the connection.
///
/// # Errors
/// `InvalidData`: the line is longer.
pub(super) async fn read_line(from: &mut (impl AsyncBufRead + Unpin), most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let available = from.fill_buf().await?;
        if available.is_empty() {
            return Ok(None);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        if line.len() + taken > most {
            return Err(io::ErrorKind::InvalidData.into());
        }
        line.extend_from_slice(&available[..end.unwrap_or(taken)]);
        from.consume(taken);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    #[tokio::test]
    async fn a_line_is_read_up_to_its_bound() {
        let mut from = BufReader::with_capacity(4, &b"12345\n\n123456\n"[..]);
        assert_eq!(read_line(&mut from, 6).await.unwrap().as_deref(), Some(&b"12345"[..]));
        assert_eq!(read_line(&mut from, 6).await.unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(read_line(&mut from, 6).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut from = BufReader::new(&b"no end"[..]);
        assert_eq!(read_line(&mut from, 6).await.unwrap(), None);
    }
}
