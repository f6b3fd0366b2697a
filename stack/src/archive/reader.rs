//! Reads a backup from end to end, and hands out its files.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read};

use flate2::bufread::GzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::ustar::{BLOCK, Block, Incoming, Type, cut_off};
use super::{
    ArchiveError, Checked, Entry, FORMAT, HEADER, Header, MANIFEST, MAX_ENTRIES, MAX_HEADER_BYTES,
    MAX_MANIFEST_BYTES, VERSION, hex, path_fault,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    entries: Vec<Entry>,
}

/// What tells our files from others, whatever their version.
#[derive(Deserialize)]
struct Mark {
    format: String,
    version: u32,
}

type Source<R> = Incoming<GzDecoder<BufReader<R>>>;

/// Reads all of it: every checksum, every path, the end. `progress` hears the bytes of files that were read.
///
/// # Errors
/// It is no backup, of a newer format, damaged, cut off, or holds what must not be in one.
pub fn verify(source: impl Read, progress: &mut dyn FnMut(u64)) -> Result<Checked, ArchiveError> {
    let mut found: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    let (header, listed) = walk(source, &mut |block, content| {
        if found.len() >= MAX_ENTRIES {
            return Err(ArchiveError::Damaged(format!(
                "it holds more than {MAX_ENTRIES} entries"
            )));
        }
        let sum = sum_of(&block, content, &mut |read| {
            bytes += read;
            progress(bytes);
        })?;
        found.push(Entry {
            path: block.path,
            mode: block.mode,
            uid: block.uid,
            gid: block.gid,
            size: block.size,
            sha256: sum,
        });
        Ok(())
    })?;
    if let Some((found, listed)) = found.iter().zip(&listed).find(|(found, listed)| found != listed) {
        let what = match found.path == listed.path {
            true => format!("{} is not what the list at its end says", found.path),
            false => format!(
                "{} stands where the list at its end has {}",
                found.path, listed.path
            ),
        };
        return Err(ArchiveError::Damaged(what));
    }
    if found.len() != listed.len() {
        return Err(ArchiveError::Damaged(format!(
            "it holds {} entries, and the list at its end has {}",
            found.len(),
            listed.len()
        )));
    }
    no_clashes(&found)?;
    Ok(Checked {
        header,
        entries: found,
    })
}

/// Reads a verified backup again and gives each entry with its content, as far as it is read, to `each`.
///
/// # Errors
/// What `each` gives; the file is no longer what was verified.
pub fn extract(
    source: impl Read,
    checked: &Checked,
    each: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let changed = |path: &str| ArchiveError::Damaged(format!("{path} changed since it was verified"));
    let mut wanted = checked.entries.iter();
    let (header, _) = walk(source, &mut |block, content| {
        let entry = wanted.next().ok_or_else(|| changed(&block.path))?;
        if (entry.path.as_str(), entry.size) != (block.path.as_str(), block.size) {
            return Err(changed(&block.path));
        }
        let mut content = Summing {
            content,
            sum: Sha256::new(),
        };
        each(entry, &mut content)?;
        io::copy(&mut content, &mut io::sink()).map_err(cut_off)?;
        match entry.is_folder() || hex(&content.sum.finalize()) == entry.sha256 {
            true => Ok(()),
            false => Err(changed(&entry.path)),
        }
    })?;
    match header == checked.header && wanted.next().is_none() {
        true => Ok(()),
        false => Err(changed("its list")),
    }
}

/// Calls `each` with every entry between the header and the list; gives both of them.
fn walk<R: Read>(
    source: R,
    each: &mut dyn FnMut(Block, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<(Header, Vec<Entry>), ArchiveError> {
    let mut tar: Source<R> = Incoming::new(GzDecoder::new(BufReader::new(source)));
    let header = header(&mut tar)?;
    let listed = loop {
        let Some(block) = tar.next()? else {
            return Err(ArchiveError::Damaged(
                "the list of its files is missing".to_owned(),
            ));
        };
        if block.path == MANIFEST && block.kind == Type::File {
            let json = small(&mut tar, &block, MAX_MANIFEST_BYTES)
                .ok_or_else(|| ArchiveError::Damaged("the list of its files is too long".to_owned()))??;
            let manifest: Manifest = serde_json::from_slice(&json).map_err(|error| {
                ArchiveError::Damaged(format!("the list of its files cannot be read ({error})"))
            })?;
            break manifest.entries;
        }
        let block = plain(block, header.kind)?;
        each(block, &mut tar)?;
    };
    the_end(tar)?;
    Ok((header, listed))
}

fn header<R: Read>(tar: &mut Source<R>) -> Result<Header, ArchiveError> {
    let foreign = |why: String| ArchiveError::Foreign(why);
    let block = match tar.next() {
        Ok(Some(block)) => block,
        Ok(None) => return Err(foreign("an empty tar".to_owned())),
        Err(ArchiveError::Io(error)) => return Err(ArchiveError::Io(error)),
        Err(_) => return Err(foreign("no gzip over a tar".to_owned())),
    };
    if block.path != HEADER || block.kind != Type::File {
        return Err(foreign(format!(
            "it begins with {:?}, not with {HEADER:?}",
            block.path
        )));
    }
    let json =
        small(tar, &block, MAX_HEADER_BYTES).ok_or_else(|| foreign(format!("{HEADER} is too long")))??;
    let mark: Mark = serde_json::from_slice(&json)
        .map_err(|error| foreign(format!("{HEADER} cannot be read: {error}")))?;
    if mark.format != FORMAT {
        return Err(foreign(format!("its format is {:?}", mark.format)));
    }
    if mark.version != VERSION {
        return Err(ArchiveError::Newer { found: mark.version });
    }
    serde_json::from_slice(&json).map_err(|error| ArchiveError::Damaged(format!("{HEADER}: {error}")))
}

/// The content of an entry that is read whole; `None` when it is too long for that.
fn small<R: Read>(tar: &mut Source<R>, block: &Block, most: u64) -> Option<Result<Vec<u8>, ArchiveError>> {
    if block.size > most {
        return None;
    }
    let mut bytes = Vec::new();
    Some(tar.read_to_end(&mut bytes).map_err(cut_off).map(|_| bytes))
}

/// A block of something that may be in a backup. A folder's path may end with a slash, as `tar` writes it.
fn plain(mut block: Block, kind: super::Kind) -> Result<Block, ArchiveError> {
    let fault = match block.kind {
        Type::File => path_fault(&block.path, kind),
        Type::Folder if block.size != 0 => Some("is a folder with a size"),
        Type::Folder => {
            block.path = block.path.strip_suffix('/').unwrap_or(&block.path).to_owned();
            path_fault(&block.path, kind)
        }
        Type::Other(b'1' | b'2') => Some("is a link"),
        Type::Other(_) => Some("is neither a file nor a folder"),
    };
    match fault {
        None => Ok(block),
        Some(why) => Err(ArchiveError::Unsafe {
            path: block.path,
            why,
        }),
    }
}

fn sum_of(
    block: &Block,
    content: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
) -> Result<String, ArchiveError> {
    if block.kind == Type::Folder {
        return Ok(String::new());
    }
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = content.read(&mut buffer).map_err(cut_off)?;
        if read == 0 {
            return Ok(hex(&sum.finalize()));
        }
        sum.update(buffer.get(..read).unwrap_or_default());
        progress(read as u64);
    }
}

/// Nothing may stand twice, and nothing below a file.
fn no_clashes(entries: &[Entry]) -> Result<(), ArchiveError> {
    let mut paths = BTreeMap::new();
    for entry in entries {
        if paths.insert(entry.path.as_str(), entry.is_folder()).is_some() {
            return Err(ArchiveError::Unsafe {
                path: entry.path.clone(),
                why: "stands in it twice",
            });
        }
    }
    let mut above: BTreeSet<&str> = BTreeSet::new();
    for path in paths.keys() {
        above.extend(path.match_indices('/').filter_map(|(at, _)| path.get(..at)));
    }
    match above.into_iter().find(|path| paths.get(path) == Some(&false)) {
        None => Ok(()),
        Some(path) => Err(ArchiveError::Unsafe {
            path: path.to_owned(),
            why: "is a file with something below it",
        }),
    }
}

/// The second block of zeros, and nothing after it; the decompressor finds its own checksum there.
fn the_end<R: Read>(tar: Source<R>) -> Result<(), ArchiveError> {
    let mut tar = tar;
    if tar.next()?.is_some() {
        return Err(ArchiveError::Damaged(
            "something follows the list of its files".to_owned(),
        ));
    }
    let mut gzip = tar.into_inner();
    let mut rest = Vec::new();
    (&mut gzip)
        .take(2 * BLOCK as u64)
        .read_to_end(&mut rest)
        .map_err(cut_off)?;
    let mut behind = [0; 1];
    let more = gzip.into_inner().read(&mut behind)?;
    match rest.len() == BLOCK && rest.iter().all(|byte| *byte == 0) && more == 0 {
        true => Ok(()),
        false => Err(ArchiveError::Damaged(
            "it does not end where it should".to_owned(),
        )),
    }
}

/// Passes bytes on and adds them to a sum.
struct Summing<'a> {
    content: &'a mut dyn Read,
    sum: Sha256,
}

impl Read for Summing<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buf)?;
        self.sum.update(buf.get(..read).unwrap_or_default());
        Ok(read)
    }
}
