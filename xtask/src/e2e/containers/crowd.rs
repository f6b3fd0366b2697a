//! A hundred containers at once: all there within two ticks, and gone as soon when they stop.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Outcome, Rig, TICK, with_rig};

const COUNT: usize = 100;
/// Two ticks; one more second, because a tick may just have begun, and a machine that starts a hundred containers is busy.
const LIMIT: Duration = Duration::from_secs(TICK.as_secs() * 2 + 1);

/// The case.
pub(in super::super) fn hundred() -> Result<Outcome> {
    with_rig(&[], |rig| {
        let names: Vec<String> = (0..COUNT).map(|n| format!("crowd-{n}")).collect();
        let began = Instant::now();
        on_all(rig, &names, |name| {
            rig.docker.burn(name, &["--network=none"], &[]).map(|_| ())
        })?;
        println!(
            "     {COUNT} containers started in {:.1} s",
            began.elapsed().as_secs_f64()
        );
        let promql = "container_last_seen{name=~\"crowd-.+\"}";
        let began = Instant::now();
        rig.wait_until(promql, LIMIT, |points| points.len() == COUNT)
            .context("not all are there within two ticks")?;
        println!("     all there after {:.2} s", began.elapsed().as_secs_f64());
        complete(rig)?;
        let mut args = vec!["kill"];
        args.extend(names.iter().map(String::as_str));
        rig.docker.cli(&args)?;
        let began = Instant::now();
        rig.wait_until(
            "{__name__=~\"container_.+\",name=~\"crowd-.+\"}",
            LIMIT,
            <[super::Point]>::is_empty,
        )
        .context("they are not gone within two ticks")?;
        println!("     all gone after {:.2} s", began.elapsed().as_secs_f64());
        // The kernel ends a cgroup before the engine says so of its container: the list has the same two ticks.
        let mut exited = 0;
        while exited != COUNT && began.elapsed() < LIMIT {
            exited = listed_as_exited(rig)?;
            std::thread::sleep(Duration::from_millis(50));
        }
        if exited != COUNT {
            bail!("{exited} of {COUNT} are listed as exited after two ticks");
        }
        println!(
            "     all listed as exited after {:.2} s",
            began.elapsed().as_secs_f64()
        );
        let text = rig.server.log_text();
        match text
            .lines()
            .find(|line| line.contains("WARN") || line.contains("ERROR"))
        {
            Some(line) => bail!("it warned: {line}"),
            None => Ok(()),
        }
    })
}

/// How many containers the list has as exited.
fn listed_as_exited(rig: &Rig) -> Result<usize> {
    let data = rig.own("containers")?;
    let listed = data["containers"].as_array().into_iter().flatten();
    Ok(listed.filter(|one| one["state"] == "exited").count())
}

/// Has each container each of the metrics that every container has?
fn complete(rig: &Rig) -> Result<()> {
    rig.settle()?;
    for metric in [
        "container_cpu_usage_seconds_total",
        "container_memory_usage_bytes",
        "container_processes",
        "container_spec_memory_limit_bytes",
        "masthead_container_state",
    ] {
        let count = rig.value(&format!(
            "count(count by (name) ({metric}{{name=~\"crowd-.+\"}}))"
        ))?;
        if count != 100.0 {
            bail!("{count} of {COUNT} have {metric}");
        }
    }
    Ok(())
}

/// Does something to all of them, four at a time.
fn on_all(rig: &Rig, names: &[String], work: impl Fn(&str) -> Result<()> + Sync) -> Result<()> {
    let _ = rig;
    let share = names.len().div_ceil(4);
    std::thread::scope(|scope| {
        let workers: Vec<_> = names
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().try_for_each(|name| work(name))))
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(done) => done?,
                Err(_) => bail!("a thread broke down"),
            }
        }
        Ok(())
    })
}
