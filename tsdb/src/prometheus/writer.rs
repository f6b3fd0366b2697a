//! Writing a block of Prometheus': chunks of 120 samples, an index, no tombstones.
//!
//! Under `ULID.tmp-for-creation` until it is complete and synced; Prometheus removes such folders at its start.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Labels, Samples};

use crate::block::bytes::put_len;
use crate::dir::Dir;
use crate::error::{Error, io_error};

use super::chunks;
use super::index::ChunkMeta;
use super::index_writer::IndexWriter;
use super::output::Output;
use super::xor::XorChunk;

/// Samples in a chunk, as Prometheus' head has it.
const CHUNK_SAMPLES: usize = 120;
/// A file of chunks that has grown to this size is followed by the next.
const MOST_FILE_BYTES: u64 = 512 << 20;
/// A file of tombstones that holds none.
const NO_TOMBSTONES: [u8; 9] = [0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0];
/// The encoding of floats.
const XOR: u8 = 1;

/// A block that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenBlock {
    /// Its folder, a ULID.
    pub name: String,
    /// Time of the first sample.
    pub min_ms: i64,
    /// Time of the last sample, inclusive.
    pub max_ms: i64,
    /// Number of series.
    pub series: u64,
    /// Number of samples.
    pub samples: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Bytes of index and chunks.
    pub bytes: u64,
}

/// The files of chunks.
#[derive(Debug)]
struct ChunkWriter {
    folder: String,
    output: Option<Output>,
    files: u64,
    bytes: u64,
    chunk: XorChunk,
    body: Vec<u8>,
}

impl ChunkWriter {
    fn write(&mut self, dir: &dyn Dir, times: &[i64], values: &[f64]) -> Result<u64, Error> {
        self.chunk.clear();
        for (t_ms, value) in times.iter().zip(values) {
            self.chunk.push(*t_ms, *value);
        }
        let data = self.chunk.finish();
        let mut head = Vec::with_capacity(8);
        put_len(&mut head, data.len());
        self.body.clear();
        self.body.push(XOR);
        self.body.extend_from_slice(data);
        let len = (head.len() + self.body.len() + 4) as u64;
        let mut output = match self.output.take() {
            Some(output) if output.offset() + len <= MOST_FILE_BYTES => output,
            full => {
                self.bytes += full.map_or(Ok(0), Output::finish)?;
                self.files += 1;
                let mut output = Output::create(dir, &format!("{}/{:06}", self.folder, self.files))?;
                output.write(&chunks::HEADER)?;
                output
            }
        };
        let place = (self.files - 1) << 32 | output.offset();
        output.write(&head)?;
        output.write_checked(&self.body)?;
        self.output = Some(output);
        Ok(place)
    }

    fn finish(self) -> Result<u64, Error> {
        Ok(self.bytes + self.output.map_or(Ok(0), Output::finish)?)
    }
}

/// Removes what was written when it goes out of scope before it was finished.
#[derive(Debug)]
struct Unfinished {
    dir: Arc<dyn Dir>,
    folder: Option<String>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            // Nothing can be done about a failure here; Prometheus removes the folder at its start.
            let _ = self.dir.remove_folder(&folder);
        }
    }
}

/// Writes one block; see the module's text.
#[derive(Debug)]
pub(crate) struct PromBlockWriter {
    dir: Arc<dyn Dir>,
    folder: String,
    index: IndexWriter,
    chunks: ChunkWriter,
    metas: Vec<ChunkMeta>,
    done: WrittenBlock,
    unfinished: Unfinished,
}

impl PromBlockWriter {
    /// Starts the block `name` (a ULID) with all label names and values that its series will have.
    pub(crate) fn create(dir: Arc<dyn Dir>, name: &str, texts: BTreeSet<Arc<str>>) -> Result<Self, Error> {
        let folder = format!("{name}.tmp-for-creation");
        let chunk_folder = format!("{folder}/chunks");
        let unfinished = Unfinished {
            dir: Arc::clone(&dir),
            folder: Some(folder.clone()),
        };
        dir.create_dir(&chunk_folder)
            .map_err(io_error("making the folder", dir.display(&chunk_folder)))?;
        let index = IndexWriter::create(dir.as_ref(), &format!("{folder}/index"), texts)?;
        Ok(Self {
            dir,
            folder,
            index,
            chunks: ChunkWriter {
                folder: chunk_folder,
                output: None,
                files: 0,
                bytes: 0,
                chunk: XorChunk::default(),
                body: Vec::new(),
            },
            metas: Vec::new(),
            done: WrittenBlock {
                name: name.to_owned(),
                min_ms: i64::MAX,
                max_ms: i64::MIN,
                series: 0,
                samples: 0,
                chunks: 0,
                bytes: 0,
            },
            unfinished,
        })
    }

    /// Adds a series with its samples (staleness markers kept bit for bit), labels rising from call to call, times rising.
    pub(crate) fn add(&mut self, labels: &Labels, samples: &Samples) -> Result<(), Error> {
        self.metas.clear();
        let parts = samples
            .t_ms
            .chunks(CHUNK_SAMPLES)
            .zip(samples.values.chunks(CHUNK_SAMPLES));
        for (times, values) in parts {
            if let (Some(&min_ms), Some(&max_ms)) = (times.first(), times.last()) {
                let place = self.chunks.write(self.dir.as_ref(), times, values)?;
                self.metas.push(ChunkMeta {
                    min_ms,
                    max_ms,
                    place,
                });
                self.done.min_ms = self.done.min_ms.min(min_ms);
                self.done.max_ms = self.done.max_ms.max(max_ms);
            }
        }
        self.index.add(labels, &self.metas)?;
        self.done.series += 1;
        self.done.samples += samples.len() as u64;
        self.done.chunks += self.metas.len() as u64;
        Ok(())
    }

    /// Writes what is left, syncs all, and gives the folder its name. `meta` makes the bytes of `meta.json`. `None`, and nothing is
    /// left, when there is no series.
    pub(crate) fn finish(
        self,
        meta: &dyn Fn(&WrittenBlock) -> Vec<u8>,
    ) -> Result<Option<WrittenBlock>, Error> {
        let Self {
            dir,
            folder,
            index,
            chunks,
            mut done,
            mut unfinished,
            ..
        } = self;
        if done.series == 0 {
            return Ok(None);
        }
        let chunk_folder = chunks.folder.clone();
        done.bytes = index.finish()? + chunks.finish()?;
        for (name, bytes) in [("tombstones", NO_TOMBSTONES.to_vec()), ("meta.json", meta(&done))] {
            let mut output = Output::create(dir.as_ref(), &format!("{folder}/{name}"))?;
            output.write(&bytes)?;
            output.finish()?;
        }
        for folder in [&chunk_folder, &folder] {
            dir.sync_dir(folder)
                .map_err(io_error("syncing the folder", dir.display(folder)))?;
        }
        dir.rename(&folder, &done.name)
            .map_err(io_error("renaming", dir.display(&folder)))?;
        unfinished.folder = None;
        dir.sync_dir("")
            .map_err(io_error("syncing the folder", dir.display("")))?;
        Ok(Some(done))
    }
}
