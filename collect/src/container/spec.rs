//! What a cgroup was given: limits and shares, which change rarely.
//!
//! Opening a file costs more than reading it. The limits that matter most stay open and are read every eighth round, the others do not
//! and are read every sixty-fourth.

use super::cgroup::{File, Files, push};
use super::families::Name;
use super::files::Reader;
use super::format::{self, float};
use super::hierarchy::{Controller, Place, Version};
use super::sheet::{Base, Sheet};

/// Limits; 0 where there is none, as upstream shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Spec {
    /// Microseconds.
    pub(super) cpu_period: Option<u64>,
    /// Microseconds a period.
    pub(super) cpu_quota: Option<u64>,
    pub(super) cpu_shares: Option<u64>,
    pub(super) memory_limit: Option<u64>,
    pub(super) memory_swap_limit: Option<u64>,
    pub(super) memory_reservation: Option<u64>,
    pub(super) threads_max: Option<u64>,
    /// Of the first process; -1 when unlimited.
    pub(super) open_files_max: Option<f64>,
}

/// v2's weights (1 to 10000) as v1's shares (2 to 262144), as upstream converts them.
fn shares_of_weight(weight: u64) -> Option<u64> {
    (1..=10_000)
        .contains(&weight)
        .then(|| 2 + (weight - 1) * 262_142 / 9_999)
}

/// Rounds between two looks at the limits of memory and of processor time.
const LIMITS_KEPT_ROUNDS: u64 = 8;
/// Rounds between two looks at everything else.
const REST_KEPT_ROUNDS: u64 = 64;

/// A file of a cgroup with one number or limit; the names are v1's and v2's.
fn limit(
    place: &Place,
    reader: &mut Reader,
    controller: Controller,
    v1: &'static str,
    v2: &'static str,
) -> Option<u64> {
    let (folder, version) = place.folder(controller)?;
    let name = match version {
        Version::V1 => v1,
        Version::V2 => v2,
    };
    reader.read_path(&folder.join(name)).and_then(format::limit)
}

impl Spec {
    /// Reads the files of a cgroup.
    pub(super) fn read(place: &Place, files: &mut Files, reader: &mut Reader) -> Self {
        let mut spec = Self::default();
        spec.read_limits(place, files, reader);
        spec.read_rest(place, reader);
        spec
    }

    /// Reads those whose turn it is; true when all were.
    pub(super) fn refresh(
        &mut self,
        place: &Place,
        files: &mut Files,
        reader: &mut Reader,
        turn: u64,
    ) -> bool {
        if turn.is_multiple_of(LIMITS_KEPT_ROUNDS) {
            self.read_limits(place, files, reader);
        }
        let rest = turn.is_multiple_of(REST_KEPT_ROUNDS);
        if rest {
            self.read_rest(place, reader);
        }
        rest
    }

    fn read_limits(&mut self, place: &Place, files: &mut Files, reader: &mut Reader) {
        self.memory_limit = files.read(reader, File::MemoryLimit).and_then(format::limit);
        let quota = files.read(reader, File::CpuQuota);
        match place.folder(Controller::Cpu) {
            Some((_, Version::V1)) => self.cpu_quota = quota.and_then(format::limit),
            Some((_, Version::V2)) => {
                let max = quota.and_then(format::cpu_max);
                self.cpu_quota = max.map(|(quota, _)| quota);
                self.cpu_period = max.map(|(_, period)| period);
            }
            None => {}
        }
    }

    fn read_rest(&mut self, place: &Place, reader: &mut Reader) {
        self.memory_swap_limit = limit(
            place,
            reader,
            Controller::Memory,
            "memory.memsw.limit_in_bytes",
            "memory.swap.max",
        );
        // `memory.low` is what docker's reservation becomes; upstream reads `memory.min`, which docker never sets.
        self.memory_reservation = limit(
            place,
            reader,
            Controller::Memory,
            "memory.soft_limit_in_bytes",
            "memory.low",
        );
        self.threads_max = limit(place, reader, Controller::Pids, "pids.max", "pids.max");
        match place.folder(Controller::Cpu) {
            Some((_, Version::V1)) => {
                self.cpu_period = limit(place, reader, Controller::Cpu, "cpu.cfs_period_us", "");
                self.cpu_shares = limit(place, reader, Controller::Cpu, "cpu.shares", "");
            }
            Some((_, Version::V2)) => {
                self.cpu_shares =
                    limit(place, reader, Controller::Cpu, "", "cpu.weight").and_then(shares_of_weight);
            }
            None => {}
        }
    }

    /// A quota of processor time is set.
    pub(super) fn has_quota(&self) -> bool {
        self.cpu_quota.is_some_and(|quota| quota > 0)
    }

    /// Adds the rows.
    pub(super) fn add(&self, sheet: &mut Sheet, base: &Base) {
        for (name, value) in [
            (Name::SpecCpuPeriod, self.cpu_period),
            (Name::SpecCpuQuota, self.cpu_quota.filter(|quota| *quota > 0)),
            (Name::SpecCpuShares, self.cpu_shares),
            (Name::SpecMemoryLimitBytes, self.memory_limit),
            (Name::SpecMemoryReservationLimitBytes, self.memory_reservation),
            (Name::SpecMemorySwapLimitBytes, self.memory_swap_limit),
            (Name::ThreadsMax, self.threads_max),
        ] {
            push(sheet, name, base, value.map(float));
        }
        if let Some(limit) = self.open_files_max {
            sheet.push_with(Name::UlimitsSoft, base, &[("ulimit", "max_open_files")], limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_become_shares_as_upstream_converts_them() {
        for (weight, want) in [
            (0, None),
            (1, Some(2)),
            (39, Some(998)),
            (100, Some(2597)),
            (10_000, Some(262_144)),
            (10_001, None),
        ] {
            assert_eq!(shares_of_weight(weight), want, "{weight}");
        }
    }
}
