//! End-to-end tests: the release binary as a user has it, on a real disk, treated badly.
//!
//! [`CASES`] is the table; a case is a name and a function. A case that lacks something (root, a peer) says so and is
//! skipped by name; in CI it fails.

mod backup;
mod blocks;
pub(crate) mod containers;
mod disk;
mod dist;
mod grafana;
mod host;
pub(crate) mod kill;
mod queries;
mod refused;
mod stack;
mod survives;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::http;
use crate::remote_write::{self, Series};
use crate::server::Server;
use crate::test::Tally;
use crate::{shell, test};

/// How many of [`SIDE_BY_SIDE`] run at once.
const AT_ONCE: usize = 2;

/// How a case ended without an error.
pub(crate) enum Outcome {
    /// What it wanted held.
    Passed,
    /// Something it needs is missing.
    Missing(anyhow::Error),
}

/// One case.
struct Case {
    name: &'static str,
    run: fn() -> Result<Outcome>,
}

/// A case that needs nothing but the binary.
macro_rules! case {
    ($name:literal, $function:path) => {
        Case {
            name: $name,
            run: || $function().map(|()| Outcome::Passed),
        }
    };
}

/// All cases.
const CASES: &[Case] = &[
    case!(
        "the first samples are there soon after the start",
        survives::first_samples
    ),
    case!(
        "a backup is made while samples come in, and restored",
        backup::while_it_runs
    ),
    case!(
        "Ctrl-C stops it within 2 s with everything on disk",
        survives::interrupt
    ),
    case!(
        "30 times kill -9 under load lose no acknowledged sample",
        kill::rounds
    ),
    Case {
        name: "a full disk is survived, and writes go on when there is room",
        run: disk::full,
    },
    case!(
        "a damaged log does not stop the start, and is named",
        survives::damaged_log
    ),
    case!(
        "a damaged block does not stop the start, and is named",
        survives::damaged_block
    ),
    case!(
        "slow and half-open clients do not hang the others",
        survives::slow_clients
    ),
    case!("a port in use is named", refused::port_in_use),
    case!("an unwritable data folder is named", refused::unwritable_folder),
    case!(
        "a second instance on one data folder is refused",
        refused::second_instance
    ),
    case!("a wrong flag is named with the right one", refused::wrong_flag),
    case!(
        "a wrong key is named with line, column and the keys that fit",
        refused::wrong_key
    ),
    case!(
        "a listener beyond loopback is refused without a password",
        refused::beyond_loopback
    ),
    case!("a password is asked for when there is one", refused::password),
    case!("a body over the limit is refused with 413", refused::large_body),
    case!(
        "a body that claims to unpack to gigabytes is refused",
        refused::snappy_bomb
    ),
    case!(
        "garbage by remote write is refused with 400",
        refused::garbage_body
    ),
    case!(
        "a request from another site that changes something is refused",
        refused::cross_site
    ),
    Case {
        name: "a Prometheus' data is imported and answers alike, and so does a Prometheus on its export",
        run: blocks::both_ways,
    },
    case!(
        "damage is found by tsdb verify with file and offset",
        blocks::damage
    ),
    Case {
        name: "a release unpacks to a program with completions, manual pages and a unit",
        run: dist::tarball,
    },
    Case {
        name: "the image runs as documented and sees the host",
        run: dist::image,
    },
    Case {
        name: "host metrics equal node_exporter's",
        run: host::beside_node_exporter,
    },
    Case {
        name: "what Grafana asks is answered as by Prometheus",
        run: grafana::same_as_prometheus,
    },
    Case {
        name: "query and metrics tell the same of the real Prometheus and of Masthead",
        run: queries::both,
    },
    Case {
        name: "known amounts of CPU, memory, network and disk come out of PromQL",
        run: containers::figures::amounts,
    },
    Case {
        name: "an OOM kill is a metric, a mark and a counter",
        run: containers::life::oom_kill,
    },
    Case {
        name: "a crash loop shows restarts and exits with their code",
        run: containers::life::crash_loop,
    },
    Case {
        name: "a paused container keeps its metrics",
        run: containers::life::pause,
    },
    Case {
        name: "a renamed container goes on under its new name alone",
        run: containers::life::rename,
    },
    Case {
        name: "a stopped container's series end within two ticks",
        run: containers::life::stop_and_start,
    },
    Case {
        name: "an unhealthy container is one in state, metric and mark",
        run: containers::life::unhealthy,
    },
    Case {
        name: "a redeployed service keeps its app",
        run: containers::apps::redeploy,
    },
    Case {
        name: "a swarm service is one app, and its replicas sum",
        run: containers::apps::swarm,
    },
    Case {
        name: "a compose project is apps of one project",
        run: containers::apps::compose,
    },
    Case {
        name: "a killed engine stops nothing but itself",
        run: containers::engine::restart,
    },
    Case {
        name: "without permission for Docker there is one warning and the host",
        run: containers::engine::no_permission,
    },
    Case {
        name: "64 open files are enough for twelve containers",
        run: containers::engine::few_files,
    },
    Case {
        name: "masthead agent serves host and containers",
        run: containers::engine::agent,
    },
    Case {
        name: "100 containers come and go within two ticks",
        run: containers::crowd::hundred,
    },
    Case {
        name: "cAdvisor's dashboards fill",
        run: containers::dashboards::fill,
    },
];

/// Cases with engines and networks of their own that wait more than they work: some of them run at once. The longest come first.
const SIDE_BY_SIDE: &[Case] = &[
    Case {
        name: "a swarm's nodes are covered, those that join later too, and those that fail are named",
        run: stack::swarm::story,
    },
    Case {
        name: "a stack is set up, asked, changed, mended, removed and set up again",
        run: stack::life::story,
    },
    Case {
        name: "what stands in a stack's way is said with its cure, and stays as it is",
        run: stack::refused::one_by_one,
    },
    Case {
        name: "a stack's setup that is broken off is finished by the next",
        run: stack::broken_off::story,
    },
    Case {
        name: "a stack is backed up while it runs, and restored",
        run: stack::backup::story,
    },
    Case {
        name: "a stack of older versions is upgraded, or goes back",
        run: stack::upgrade::story,
    },
    Case {
        name: "a stack is migrated to masthead up and back, with the same answers",
        run: stack::migrate::story,
    },
    Case {
        name: "a stack of a server is backed up, restored and upgraded over SSH",
        run: stack::over_ssh::story,
    },
    Case {
        name: "a stack lives on a remote host as it does here",
        run: stack::remote::life,
    },
    Case {
        name: "remote hosts that fail, lie or are out of reach",
        run: stack::remote::faults,
    },
    Case {
        name: "registered servers in one view, one of them cut off and back",
        run: stack::in_one_view::story,
    },
    Case {
        name: "a stack's optional components do their work, go, and come back with their data",
        run: stack::parts::story,
    },
    Case {
        name: "nobody reaches a stack without its password",
        run: stack::reach::everywhere,
    },
];

/// The chore: `e2e [--debug] [TEXT]` builds the binary and runs the cases whose name has TEXT in it; `--debug` takes the debug
/// build, for those who write cases.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (flags, words): (Vec<&String>, Vec<&String>) = args.iter().partition(|word| word.starts_with("--"));
    match flags.as_slice() {
        [] => shell::run(shell::cargo().args(["build", "--release", "--locked", "-p", "masthead"]))?,
        [flag] if *flag == "--debug" => {
            shell::use_debug_binary();
            shell::run(shell::cargo().args(["build", "--locked", "-p", "masthead"]))?;
        }
        _ => bail!("usage: cargo xtask e2e [--debug] [TEXT]"),
    }
    let tally = run_cases(words.first().map_or("", |word| word.as_str()));
    println!("{tally}");
    if tally.is_failure() {
        bail!("not everything held");
    }
    Ok(())
}

/// Runs the cases whose name has the filter in it.
pub(crate) fn run_cases(filter: &str) -> Tally {
    let mut tally = Tally::default();
    for case in CASES.iter().filter(|case| case.name.contains(filter)) {
        tally.add(run_case(case));
    }
    let left = Mutex::new(SIDE_BY_SIDE.iter().filter(|case| case.name.contains(filter)));
    let next = || left.lock().ok().and_then(|mut left| left.next());
    let total = Mutex::new(tally);
    let again = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = next() {
                    let one = run_case(case);
                    if one.is_failure() {
                        if let Ok(mut again) = again.lock() {
                            again.push(case);
                        }
                    } else if let Ok(mut total) = total.lock() {
                        total.add(one);
                    }
                }
            });
        }
    });
    match (total.into_inner(), again.into_inner()) {
        // Beside another one a case may wait longer than it has patience for. Alone it has to hold.
        (Ok(mut tally), Ok(again)) => {
            for case in again {
                println!("AGAIN, alone: {}", case.name);
                tally.add(run_case(case));
            }
            tally
        }
        // A case that panicked while it was counted counts as failed, and so do all.
        _ => Tally::failure("e2e: a case that panicked"),
    }
}

fn run_case(case: &Case) -> Tally {
    let began = Instant::now();
    let ended = (case.run)();
    let took = began.elapsed().as_secs_f64();
    match ended {
        Ok(Outcome::Passed) => {
            println!("ok   {} ({took:.0} s)", case.name);
            Tally::pass()
        }
        Ok(Outcome::Missing(why)) => test::missing(&format!("e2e: {}", case.name), &why),
        Err(error) => {
            println!("FAIL {} ({took:.0} s): {error:#}", case.name);
            Tally::failure(&format!("e2e: {}", case.name))
        }
    }
}

/// Sends series to a server by remote write.
fn write(server: &Server, series: &[Series]) -> Result<()> {
    remote_write::write(&server.address, "/api/v1/write", series)
}

/// All samples of a metric within the six hours before a time, by series: the value of `label`, then (ms, value).
fn stored(
    server: &Server,
    metric: &str,
    label: &str,
    at_ms: i64,
) -> Result<BTreeMap<String, Vec<(i64, f64)>>> {
    let query = format!("{metric}[6h]");
    let time = format!("{}.{:03}", at_ms / 1000, at_ms % 1000);
    let form = [("query", query.as_str()), ("time", time.as_str())];
    let response = http::post_form(&server.address, "/api/v1/query", &form)?;
    let json = response.json()?;
    let Some(list) = json["data"]["result"].as_array() else {
        bail!("no result: {}", http::clip(&response.text()))
    };
    let mut all = BTreeMap::new();
    for one in list {
        let name = one["metric"][label].as_str().unwrap_or_default().to_string();
        let mut samples = Vec::new();
        for pair in one["values"].as_array().into_iter().flatten() {
            let seconds = pair[0].as_f64().context("a sample without a time")?;
            let value = pair[1]
                .as_str()
                .and_then(|text| text.parse().ok())
                .context("a sample without a value")?;
            // Exact: milliseconds of this century have few enough digits for a float.
            samples.push((format!("{:.0}", seconds * 1000.0).parse()?, value));
        }
        all.insert(name, samples);
    }
    Ok(all)
}

/// The present in milliseconds.
fn now_ms() -> Result<i64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_millis())?)
}
