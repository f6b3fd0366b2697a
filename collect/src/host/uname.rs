//! `uname`: what the kernel says about itself.

use model::{Family, MetricType};

use super::Collector;
use crate::error::CollectError;
use crate::input::Input;
use crate::output::{Output, label};

/// The collector. The name of a host can change while we run, so the kernel is asked every time.
#[derive(Debug)]
pub(super) struct Uname;

impl Collector for Uname {
    fn collect(&mut self, _now_ms: i64, _input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        let uname = rustix::system::uname();
        let mut family = Family::new(
            "node_uname_info",
            "Labeled system information as provided by the uname system call.",
            MetricType::Gauge,
        );
        family.push(
            [
                ("domainname", uname.domainname()),
                ("machine", uname.machine()),
                ("nodename", uname.nodename()),
                ("release", uname.release()),
                ("sysname", uname.sysname()),
                ("version", uname.version()),
            ]
            .into_iter()
            .map(|(name, value)| label(name, value.to_string_lossy().into_owned()))
            .collect(),
            1.0,
        );
        out.add(family);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_has_a_name() {
        let mut out = Output::default();
        Uname.collect(0, &mut Input::default(), &mut out).unwrap();
        let families = out.finish();
        let labels = &families[0].metrics[0].labels;
        assert_eq!(labels.len(), 6);
        assert_eq!(labels[4], label("sysname", "Linux"));
    }
}
