//! A disk that fails at the n-th operation, for every n: a block is there whole or not at all.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::{Cancel, Labels, Samples};
use tsdb::block::{Block, BlockError, BlockMeta, BlockWriter, compact, verify};
use tsdb::dir::{Dir, ReadFile, RealDir, WriteFile};

/// Fails each operation that changes something once `left` have succeeded; removing always works.
#[derive(Debug)]
struct FaultyDir {
    real: RealDir,
    left: Arc<AtomicI64>,
}

fn spend(left: &AtomicI64) -> io::Result<()> {
    if left.fetch_sub(1, Ordering::Relaxed) > 0 {
        Ok(())
    } else {
        Err(io::Error::other("the disk is full"))
    }
}

#[derive(Debug)]
struct FaultyFile {
    real: Box<dyn WriteFile>,
    left: Arc<AtomicI64>,
}

impl WriteFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(e) = spend(&self.left) {
            // Half of it arrived.
            self.real.append(&bytes[..bytes.len() / 2])?;
            return Err(e);
        }
        self.real.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        spend(&self.left)?;
        self.real.sync()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        spend(&self.left)?;
        self.real.truncate(len)
    }
}

impl Dir for FaultyDir {
    fn create(&self, name: &str) -> io::Result<Box<dyn WriteFile>> {
        spend(&self.left)?;
        Ok(Box::new(FaultyFile {
            real: self.real.create(name)?,
            left: Arc::clone(&self.left),
        }))
    }

    fn append(&self, name: &str) -> io::Result<Box<dyn WriteFile>> {
        spend(&self.left)?;
        self.real.append(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadFile>> {
        self.real.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        spend(&self.left)?;
        self.real.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.real.remove(name)
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        spend(&self.left)?;
        self.real.create_dir(name)
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.real.list(name)
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        self.real.remove_folder(name)
    }

    fn folders(&self, name: &str) -> io::Result<Vec<String>> {
        self.real.folders(name)
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        spend(&self.left)?;
        self.real.sync_dir(name)
    }

    fn display(&self, name: &str) -> String {
        self.real.display(name)
    }
}

/// Random bits, so that the file is larger than the writer's buffer and takes several appends.
fn write(dir: &Arc<dyn Dir>) -> Result<BlockMeta, BlockError> {
    let mut writer = BlockWriter::create(Arc::clone(dir), "", "b", 1)?;
    let mut bits = 1u64;
    let mut failed = None;
    for number in 0..40 {
        let mut samples = Samples::default();
        for row in 0..2000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            samples.push(row * 1000, f64::from_bits(bits));
        }
        // A caller that goes on after an error must not get a block either.
        if let Err(e) = writer.add(&Labels::from_pairs([("n", format!("{number:02}"))]), &samples) {
            failed = Some(e);
        }
    }
    let finished = writer.finish();
    assert!(
        failed.is_none() || finished.is_err(),
        "a block with a hole was finished"
    );
    failed.map_or(finished, Err)
}

/// Runs `work` with a disk that fails after 0, 1, 2, ... operations, until it succeeds; gives how many it took.
fn check(prepare: impl Fn(&RealDir), work: impl Fn(&Arc<dyn Dir>) -> Result<BlockMeta, BlockError>) -> i64 {
    for operations in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let real = RealDir::new(folder.path()).unwrap();
        prepare(&real);
        let before = real.list("").unwrap();
        let left = Arc::new(AtomicI64::new(operations));
        let dir: Arc<dyn Dir> = Arc::new(FaultyDir {
            real: real.clone(),
            left: Arc::clone(&left),
        });
        let result = work(&dir);
        let after: Vec<_> = real
            .list("")
            .unwrap()
            .into_iter()
            .filter(|n| !before.contains(n))
            .collect();
        match result {
            Ok(meta) => {
                assert_eq!(verify(&real, "", &meta.name).unwrap(), meta);
                return operations;
            }
            Err(BlockError::Io { action, .. }) => {
                // The last operation is the folder's sync, after the rename.
                if after.is_empty() {
                    continue;
                }
                assert_eq!(
                    (action, after.len()),
                    ("syncing", 1),
                    "{operations} operations: {after:?}"
                );
                verify(&real, "", &after[0]).unwrap();
            }
            Err(other) => unreachable!("{operations} operations: {other}"),
        }
    }
    unreachable!("every number of operations failed")
}

#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    let operations = check(|_| (), write);
    assert!(
        operations >= 6,
        "only {operations} operations: the file was meant to need several appends"
    );
}

#[test]
fn a_compaction_that_fails_leaves_its_inputs() {
    let prepare = |real: &RealDir| {
        let dir: Arc<dyn Dir> = Arc::new(real.clone());
        write(&dir).unwrap();
    };
    check(prepare, |dir| {
        let input = Block::open(dir.as_ref(), "", "b")?;
        let done = compact(dir, "", &[input], "out", &Cancel::new());
        verify(dir.as_ref(), "", "b").unwrap();
        done
    });
}
