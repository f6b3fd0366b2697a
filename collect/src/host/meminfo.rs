//! `meminfo`: memory from `/proc/meminfo`.
//!
//! Upstream shows a fixed list of fields and not whatever the kernel writes; so do we, with the names at hand as
//! constants.

use model::{Family, MetricType};

use super::Collector;
use crate::error::{CollectError, Fault};
use crate::input::{Input, Source};
use crate::options::Options;
use crate::output::Output;

/// Rows of the table below: the kernel's key, the family's name and its help.
macro_rules! fields {
    ($($key:literal => $name:literal),* $(,)?) => {
        [$(($key, concat!("node_memory_", $name), concat!("Memory information field ", $name, "."))),*]
    };
}

/// The fields shown. Those with a unit are bytes, the counts of huge pages are bare numbers.
const FIELDS: [(&str, &str, &str); 51] = fields! {
    "MemTotal" => "MemTotal_bytes",
    "MemFree" => "MemFree_bytes",
    "MemAvailable" => "MemAvailable_bytes",
    "Buffers" => "Buffers_bytes",
    "Cached" => "Cached_bytes",
    "SwapCached" => "SwapCached_bytes",
    "Active" => "Active_bytes",
    "Inactive" => "Inactive_bytes",
    "Active(anon)" => "Active_anon_bytes",
    "Inactive(anon)" => "Inactive_anon_bytes",
    "Active(file)" => "Active_file_bytes",
    "Inactive(file)" => "Inactive_file_bytes",
    "Unevictable" => "Unevictable_bytes",
    "Mlocked" => "Mlocked_bytes",
    "SwapTotal" => "SwapTotal_bytes",
    "SwapFree" => "SwapFree_bytes",
    "Zswap" => "Zswap_bytes",
    "Zswapped" => "Zswapped_bytes",
    "Dirty" => "Dirty_bytes",
    "Writeback" => "Writeback_bytes",
    "AnonPages" => "AnonPages_bytes",
    "Mapped" => "Mapped_bytes",
    "Shmem" => "Shmem_bytes",
    "Slab" => "Slab_bytes",
    "SReclaimable" => "SReclaimable_bytes",
    "SUnreclaim" => "SUnreclaim_bytes",
    "KernelStack" => "KernelStack_bytes",
    "PageTables" => "PageTables_bytes",
    "NFS_Unstable" => "NFS_Unstable_bytes",
    "Bounce" => "Bounce_bytes",
    "WritebackTmp" => "WritebackTmp_bytes",
    "CommitLimit" => "CommitLimit_bytes",
    "Committed_AS" => "Committed_AS_bytes",
    "VmallocTotal" => "VmallocTotal_bytes",
    "VmallocUsed" => "VmallocUsed_bytes",
    "VmallocChunk" => "VmallocChunk_bytes",
    "Percpu" => "Percpu_bytes",
    "HardwareCorrupted" => "HardwareCorrupted_bytes",
    "AnonHugePages" => "AnonHugePages_bytes",
    "ShmemHugePages" => "ShmemHugePages_bytes",
    "ShmemPmdMapped" => "ShmemPmdMapped_bytes",
    "CmaTotal" => "CmaTotal_bytes",
    "CmaFree" => "CmaFree_bytes",
    "HugePages_Total" => "HugePages_Total",
    "HugePages_Free" => "HugePages_Free",
    "HugePages_Rsvd" => "HugePages_Rsvd",
    "HugePages_Surp" => "HugePages_Surp",
    "Hugepagesize" => "Hugepagesize_bytes",
    "DirectMap4k" => "DirectMap4k_bytes",
    "DirectMap2M" => "DirectMap2M_bytes",
    "DirectMap1G" => "DirectMap1G_bytes",
};

/// Calls `each(key, value)` for every line, values with the unit `kB` in bytes.
pub(super) fn parse(text: &str, mut each: impl FnMut(&str, f64)) -> Result<(), Fault> {
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace();
        let Some(key) = words.next() else { continue };
        let fault = || Fault::new(index, "a key, a number and perhaps kB", line);
        let key = key.strip_suffix(':').ok_or_else(fault)?;
        let value: u64 = words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or_else(fault)?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "samples are floats: upstream rounds the same way"
        )]
        let value = value as f64;
        match words.next() {
            None => each(key, value),
            Some("kB") => each(key, value * 1024.0),
            Some(_) => return Err(fault()),
        }
    }
    Ok(())
}

/// The collector.
#[derive(Debug)]
pub(super) struct MemInfo {
    file: Source,
}

impl MemInfo {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            file: Source::new(options.paths.procfs.join("meminfo")),
        }
    }
}

impl Collector for MemInfo {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        // Kernels write the fields in the table's order, so the search begins behind the last one found.
        let mut next = 0;
        parse(input.source(&mut self.file)?, |key, value| {
            let found = (next..FIELDS.len())
                .chain(0..next)
                .find(|at| FIELDS[*at].0 == key);
            if let Some(at) = found {
                let (_, name, help) = FIELDS[at];
                let mut family = Family::new(name, help, MetricType::Gauge);
                family.push(Vec::new(), value);
                out.add(family);
                next = at + 1;
            }
        })
        .map_err(|fault| fault.at(self.file.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_make_bytes() {
        let mut got = Vec::new();
        let text = "MemTotal:        3 kB\nHugePages_Total:       7\nActive(anon):    2020004 kB\n\n";
        parse(text, |key, value| got.push((key.to_owned(), value))).unwrap();
        let want = [
            ("MemTotal", 3072.0),
            ("HugePages_Total", 7.0),
            ("Active(anon)", 2_068_484_096.0),
        ];
        assert_eq!(got, want.map(|(key, value)| (key.to_owned(), value)));
        for bad in ["MemTotal 3 kB", "MemTotal:", "MemTotal: x kB", "MemTotal: 3 MB"] {
            assert!(parse(bad, |_, _| {}).is_err(), "{bad:?}");
        }
    }
}
