//! [`DatabaseHeader`]: the bytes that a file of SQLite has, by its own header (sqlite.org/fileformat.html §1.3).

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Why a file is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("the file is no backup that castway has made")]
    NotADatabase,
    #[error("the file is no backup that castway has made: its header does not say how long it is")]
    NoLength,
    #[error("the backup has {found} bytes or more, but its header says {said}: it has been changed")]
    Longer { found: u64, said: u64 },
    #[error("the backup ends early: it has {found} bytes, and its header says {said}. Take another one")]
    Shorter { found: u64, said: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DatabaseHeader {
    bytes: u64,
}

impl DatabaseHeader {
    /// Reads the first bytes of a file; those after the header don't matter.
    pub(super) fn read(start: &[u8]) -> Result<Self, HeaderError> {
        let Some(header) = start.get(..HEADER_BYTES).filter(|header| header.starts_with(MAGIC)) else {
            return Err(HeaderError::NotADatabase);
        };
        let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65536,
            bytes if bytes >= 512 && bytes.is_power_of_two() => u64::from(bytes),
            _ => return Err(HeaderError::NotADatabase),
        };
        let (changes, pages, valid_for) = (number(24), number(28), number(92));
        if pages == 0 || changes != valid_for {
            return Err(HeaderError::NoLength);
        }
        Ok(Self { bytes: page_bytes * u64::from(pages) })
    }

    /// Bytes of the whole file.
    pub(super) const fn bytes(self) -> u64 {
        self.bytes
    }

    /// Refuses a file that has more than the header says, as soon as it has.
    pub(super) const fn check_so_far(self, found: u64) -> Result<(), HeaderError> {
        if found > self.bytes { Err(HeaderError::Longer { found, said: self.bytes }) } else { Ok(()) }
    }

    pub(super) const fn check_end(self, found: u64) -> Result<(), HeaderError> {
        if found < self.bytes { Err(HeaderError::Shorter { found, said: self.bytes }) } else { self.check_so_far(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(page: u16, pages: u32) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend(page.to_be_bytes());
        header.resize(HEADER_BYTES, 0);
        header[24..28].copy_from_slice(&7_u32.to_be_bytes());
        header[28..32].copy_from_slice(&pages.to_be_bytes());
        header[92..96].copy_from_slice(&7_u32.to_be_bytes());
        header
    }

    #[test]
    fn the_header_says_how_long_the_file_is() {
        let bytes = |header: &[u8]| DatabaseHeader::read(header).map(DatabaseHeader::bytes);
        assert_eq!(bytes(&header(4096, 40)), Ok(163_840));
        assert_eq!(bytes(&header(1, 2)), Ok(131_072));
        assert_eq!(bytes(&header(32768, u32::MAX)), Ok(32768 * u64::from(u32::MAX)));
        assert_eq!(bytes(&header(4096, 0)), Err(HeaderError::NoLength));
        let mut stale = header(4096, 40);
        stale[27] = 8;
        assert_eq!(bytes(&stale), Err(HeaderError::NoLength));
        for wrong in [0, 256, 1000, 4095] {
            assert_eq!(bytes(&header(wrong, 1)), Err(HeaderError::NotADatabase), "{wrong}");
        }
        assert_eq!(bytes(&header(4096, 1)[..99]), Err(HeaderError::NotADatabase));
        assert_eq!(bytes(&[b'x'; 200]), Err(HeaderError::NotADatabase));
    }

    #[test]
    fn a_file_has_the_bytes_of_its_header_and_no_others() {
        let of = DatabaseHeader::read(&header(512, 2)).unwrap();
        assert_eq!((of.check_so_far(100), of.check_so_far(1024), of.check_end(1024)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(of.check_so_far(1025), Err(HeaderError::Longer { found: 1025, said: 1024 }));
        assert_eq!(of.check_end(1023), Err(HeaderError::Shorter { found: 1023, said: 1024 }));
        assert_eq!(of.check_end(1025), Err(HeaderError::Longer { found: 1025, said: 1024 }));
    }
}
