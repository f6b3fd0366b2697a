//! The headers of a tar: one block of 512 bytes before each entry, as POSIX' ustar has it.
//!
//! ```text
//! name 100 | mode 8 | uid 8 | gid 8 | size 12 | mtime 12 | checksum 8 | type 1 | linkname 100 | magic 6 | version 2 |
//! uname 32 | gname 32 | devmajor 8 | devminor 8 | prefix 155 | 12 unused
//! ```
//!
//! Numbers are octal. What of it is optional elsewhere (long names, sparse files, links, extended headers) is not read here.

use std::io::{self, Read};

use super::ArchiveError;

/// Size of a header, and what contents are padded to.
pub(super) const BLOCK: usize = 512;
const NAME: usize = 100;
const PREFIX: usize = 155;
/// Eleven octal digits.
const MAX_SIZE: u64 = (1 << 33) - 1;
/// Seven octal digits.
const MAX_ID: u64 = (1 << 21) - 1;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    File,
    Folder,
    /// A link, a device, a long name: by its letter.
    Other(u8),
}

/// One header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) path: String,
    pub(crate) kind: Type,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
}

/// Bytes after a content of this size, up to the next header.
pub(super) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

impl Block {
    /// As bytes; what does not fit is an error that says what.
    pub(super) fn encode(&self) -> Result<[u8; BLOCK], ArchiveError> {
        let unfit = |why| ArchiveError::Unfit {
            path: self.path.clone(),
            why,
        };
        let (prefix, name) = split(&self.path).ok_or_else(|| unfit("its path is too long"))?;
        if self.size > MAX_SIZE {
            return Err(unfit("it is larger than 8 GiB"));
        }
        if u64::from(self.uid.max(self.gid)) > MAX_ID {
            return Err(unfit("the number of its owner is too large"));
        }
        let mut block = [0; BLOCK];
        put(&mut block, 0, name.as_bytes());
        put(&mut block, 100, format!("{:07o}\0", self.mode & 0o777).as_bytes());
        put(&mut block, 108, format!("{:07o}\0", self.uid).as_bytes());
        put(&mut block, 116, format!("{:07o}\0", self.gid).as_bytes());
        put(&mut block, 124, format!("{:011o}\0", self.size).as_bytes());
        put(&mut block, 136, b"00000000000\0");
        put(
            &mut block,
            156,
            match self.kind {
                Type::Folder => b"5",
                Type::File | Type::Other(_) => b"0",
            },
        );
        put(&mut block, 257, b"ustar\x0000");
        put(&mut block, 345, prefix.as_bytes());
        let sum = checksum(&block);
        put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
        Ok(block)
    }

    /// Reads one; `None` for a block of zeros, which ends a tar. The error says what is wrong with it.
    pub(super) fn decode(block: &[u8; BLOCK]) -> Result<Option<Self>, &'static str> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // `ustar\0` of POSIX and `ustar  ` of GNU, whose fields are the same for plain files.
        if block.get(257..262) != Some(b"ustar") {
            return Err("there is no header of a tar where one should be");
        }
        if number(block, 148, 8) != Some(u64::from(checksum(block))) {
            return Err("the checksum of a header is wrong");
        }
        let field = |at, len| number(block, at, len).ok_or("a number in a header is none");
        let small =
            |at| field(at, 8).and_then(|n| u32::try_from(n).map_err(|_| "a number in a header is none"));
        let is_posix = block.get(262) == Some(&0);
        let name = text(block, 0, NAME).ok_or("a name is no text")?;
        let prefix = if is_posix {
            text(block, 345, PREFIX)
        } else {
            Some("")
        };
        let path = match prefix.ok_or("a name is no text")? {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        };
        Ok(Some(Self {
            path,
            kind: match block.get(156) {
                Some(b'0' | 0) => Type::File,
                Some(b'5') => Type::Folder,
                Some(letter) => Type::Other(*letter),
                None => Type::Other(b'?'),
            },
            mode: small(100)? & 0o777,
            uid: small(108)?,
            gid: small(116)?,
            size: field(124, 12)?,
        }))
    }
}

/// The path in the two fields, the second as long as can be.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME {
        return Some(("", path));
    }
    path.match_indices('/')
        .map(|(at, _)| (&path[..at], &path[at + 1..]))
        .find(|(prefix, name)| name.len() <= NAME && !name.is_empty() && prefix.len() <= PREFIX)
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    for (to, from) in block.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// The sum of all bytes, with the field of the sum as blanks.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let bytes = block.iter().enumerate();
    bytes
        .map(|(at, byte)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        })
        .sum()
}

/// Octal digits, with blanks or zero bytes around them.
fn number(block: &[u8; BLOCK], at: usize, len: usize) -> Option<u64> {
    let field = std::str::from_utf8(block.get(at..at + len)?).ok()?;
    let digits = field.trim_matches([' ', '\0']);
    match digits {
        "" => Some(0),
        digits if digits.bytes().all(|digit| digit.is_ascii_digit()) => u64::from_str_radix(digits, 8).ok(),
        _ => None,
    }
}

/// Text up to the first zero byte.
fn text(block: &[u8; BLOCK], at: usize, len: usize) -> Option<&str> {
    let field = block.get(at..at + len)?;
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(len);
    std::str::from_utf8(field.get(..end)?).ok()
}

/// The entries of a tar as they come in.
#[derive(Debug)]
pub(crate) struct Incoming<R> {
    source: R,
    /// Bytes of the entry at hand that nobody has read, and its padding.
    left: u64,
    padding: usize,
}

impl<R: Read> Incoming<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            left: 0,
            padding: 0,
        }
    }

    /// The next header, after what is left of the entry before; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Block>, ArchiveError> {
        io::copy(&mut (&mut *self), &mut io::sink())?;
        let mut block = [0; BLOCK];
        let unused = block.get_mut(..self.padding).unwrap_or_default();
        self.source.read_exact(unused).map_err(cut_off)?;
        self.padding = 0;
        self.source.read_exact(&mut block).map_err(cut_off)?;
        let Some(header) = Block::decode(&block).map_err(|why| ArchiveError::Damaged(why.to_owned()))? else {
            return Ok(None);
        };
        // Folders and what is none of ours may name a size of something else.
        if header.kind == Type::File {
            self.left = header.size;
            self.padding = padding(header.size);
        }
        Ok(Some(header))
    }

    /// What comes after the end.
    pub(crate) fn into_inner(self) -> R {
        self.source
    }
}

impl<R: Read> Read for Incoming<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.source.read(buf.get_mut(..most).unwrap_or_default())?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// A tar that ends before its end.
pub(super) fn cut_off(error: io::Error) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::Damaged("it ends in the middle".to_owned()),
        // What the decompressor says of bytes that it cannot have written.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            ArchiveError::Damaged(format!("it cannot be decompressed ({error})"))
        }
        _ => ArchiveError::Io(error),
    }
}
