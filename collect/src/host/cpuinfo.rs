//! The static facts of `/proc/cpuinfo`, which the `cpu` collector shows when asked.

use model::{Family, MetricType};
use regex::Regex;

use crate::error::Fault;
use crate::options::CpuInfo;
use crate::output::{Output, label};

/// One processor's paragraph, as x86 kernels write it; other architectures leave fields empty.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Processor<'a> {
    number: &'a str,
    vendor: &'a str,
    family: &'a str,
    model: &'a str,
    model_name: &'a str,
    stepping: &'a str,
    microcode: &'a str,
    mhz: f64,
    cache_size: &'a str,
    package: &'a str,
    core: &'a str,
    flags: &'a str,
    bugs: &'a str,
}

/// All processors. A paragraph begins with `processor`.
pub(super) fn parse(text: &str) -> Result<Vec<Processor<'_>>, Fault> {
    let mut processors: Vec<Processor<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        if key == "processor" {
            processors.push(Processor {
                number: value,
                ..Processor::default()
            });
            continue;
        }
        let Some(processor) = processors.last_mut() else {
            continue;
        };
        match key {
            "vendor_id" => processor.vendor = value,
            "cpu family" => processor.family = value,
            "model" => processor.model = value,
            "model name" => processor.model_name = value,
            "stepping" => processor.stepping = value,
            "microcode" => processor.microcode = value,
            "cpu MHz" => {
                processor.mhz = value
                    .parse()
                    .map_err(|_| Fault::new(index, "a frequency in MHz", value))?
            }
            "cache size" => processor.cache_size = value,
            "physical id" => processor.package = value,
            "core id" => processor.core = value,
            "flags" => processor.flags = value,
            "bugs" => processor.bugs = value,
            _ => {}
        }
    }
    Ok(processors)
}

/// Adds the families; flags and bugs are those of the first processor.
pub(super) fn add(processors: &[Processor<'_>], wanted: &CpuInfo, out: &mut Output) {
    let mut info = Family::new(
        "node_cpu_info",
        "CPU information from /proc/cpuinfo.",
        MetricType::Gauge,
    );
    let mut hertz = Family::new(
        "node_cpu_frequency_hertz",
        "CPU frequency in hertz from /proc/cpuinfo.",
        MetricType::Gauge,
    );
    for p in processors {
        let core = label("core", p.core.to_owned());
        let cpu = label("cpu", p.number.to_owned());
        let package = label("package", p.package.to_owned());
        hertz.push(vec![core.clone(), cpu.clone(), package.clone()], p.mhz * 1e6);
        info.push(
            vec![
                label("cachesize", p.cache_size.to_owned()),
                core,
                cpu,
                label("family", p.family.to_owned()),
                label("microcode", p.microcode.to_owned()),
                label("model", p.model.to_owned()),
                label("model_name", p.model_name.to_owned()),
                package,
                label("stepping", p.stepping.to_owned()),
                label("vendor", p.vendor.to_owned()),
            ],
            1.0,
        );
    }
    out.add(info);
    out.add(hertz);
    let Some(first) = processors.first() else { return };
    let words =
        |name: &'static str, help: &'static str, key: &'static str, words: &str, filter: &Option<Regex>| {
            let mut family = Family::new(name, help, MetricType::Gauge);
            let filter = filter.as_ref();
            for word in words
                .split_ascii_whitespace()
                .filter(|word| filter.is_some_and(|f| f.is_match(word)))
            {
                family.push(vec![label(key, word.to_owned())], 1.0);
            }
            family
        };
    out.add(words(
        "node_cpu_flag_info",
        "The `flags` field of CPU information from /proc/cpuinfo taken from the first core.",
        "flag",
        first.flags,
        &wanted.flags,
    ));
    out.add(words(
        "node_cpu_bug_info",
        "The `bugs` field of CPU information from /proc/cpuinfo taken from the first core.",
        "bug",
        first.bugs,
        &wanted.bugs,
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_processors() {
        let text = "processor\t: 0\nmodel name\t: Some: thing\ncpu MHz\t\t: 799.998\nflags\t: fpu aes\n\nprocessor\t: 1\n";
        let got = parse(text).unwrap();
        assert_eq!(got.len(), 2);
        assert_eq!(
            (got[0].model_name, got[0].mhz, got[0].flags),
            ("Some: thing", 799.998, "fpu aes")
        );
        assert_eq!(
            got[1],
            Processor {
                number: "1",
                ..Processor::default()
            }
        );
        assert_eq!(parse("processor: 0\ncpu MHz: fast\n").unwrap_err().line, 2);
    }
}
