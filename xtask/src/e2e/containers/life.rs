//! What happens to containers: ends, crash loops, pauses, renames, kills by the kernel.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{LIMIT, Outcome, Rig, TICK, with_rig};
use crate::docker::IMAGE;

fn check(holds: bool, what: impl Fn() -> String) -> Result<()> {
    if holds { Ok(()) } else { bail!("{}", what()) }
}

fn has(marks: &[(String, Option<i64>)], event: &str, code: Option<i64>) -> bool {
    marks.iter().any(|(name, with)| name == event && *with == code)
}

/// A process of a container is killed for its memory limit: metric, mark and counter. The container lives on.
pub(in super::super) fn oom_kill() -> Result<Outcome> {
    with_rig(&[], |rig| {
        // With swap the limit is twice as high, which does not help either.
        let limits = ["--memory=48m", "--network=none"];
        let words = ["sh", "-c", "burn wait=2 memory=200m; sleep 1000"];
        rig.docker.run("hog", &limits, IMAGE, &words)?;
        rig.wait_for("container_oom_events_total{name=\"hog\"} == 0")?;
        rig.wait_for("container_oom_events_total{name=\"hog\"} == 1")?;
        rig.wait_mark("hog", "oom_kill")?;
        rig.wait_for("masthead_container_events_total{app=\"hog\",event=\"oom_kill\"} == 1")?;
        // This one is read in each fourth round only.
        rig.wait_for("container_memory_failcnt{name=\"hog\"} > 0")?;
        // The next: its first process is killed, and the container with it, over and over.
        let mut flags = limits.to_vec();
        flags.push("--restart=always");
        rig.docker.burn("doomed", &flags, &["wait=1", "memory=200m"])?;
        rig.wait_for("container_oom_events_total{name=\"doomed\"} >= 1")?;
        rig.wait_mark("doomed", "oom_kill")?;
        let marks = rig.wait_mark("doomed", "exit")?;
        check(has(&marks, "exit", Some(137)), || {
            format!("no exit with 137: {marks:?}")
        })
    })
}

/// A container that ends by itself, again and again.
pub(in super::super) fn crash_loop() -> Result<Outcome> {
    with_rig(&[], |rig| {
        let flags = ["--restart=always", "--network=none"];
        rig.docker.burn("crash", &flags, &["wait=0.2", "exit=3"])?;
        rig.wait_for("masthead_container_restarts_total{name=\"crash\"} >= 2")?;
        rig.wait_for("masthead_container_exit_code{name=\"crash\"} == 3")?;
        let marks = rig.marks("crash")?;
        check(
            has(&marks, "exit", Some(3)) && !marks.iter().any(|(name, _)| name == "stop"),
            || format!("exits with 3 and no stop are wanted: {marks:?}"),
        )?;
        check(
            marks.iter().filter(|(name, _)| name == "deploy").count() == 1,
            || format!("one deploy is wanted: {marks:?}"),
        )?;
        rig.wait_for("masthead_container_events_total{app=\"crash\",event=\"exit\"} >= 2")?;
        rig.wait_for("masthead_container_state{name=\"crash\",state=\"restarting\"} == 1")?;
        Ok(())
    })
}

/// Paused, its metrics stay and its state says so.
pub(in super::super) fn pause() -> Result<Outcome> {
    with_rig(&[], |rig| {
        rig.docker.burn("nap", &["--network=none"], &["share=0.2"])?;
        rig.wait_for("container_cpu_usage_seconds_total{name=\"nap\"} > 0")?;
        rig.docker.cli(&["pause", "nap"])?;
        rig.wait_for("masthead_container_state{name=\"nap\",state=\"paused\"} == 1")?;
        rig.settle()?;
        let before = rig.value("sum(container_cpu_usage_seconds_total{name=\"nap\"})")?;
        std::thread::sleep(2 * TICK);
        rig.settle()?;
        let after = rig.value("sum(container_cpu_usage_seconds_total{name=\"nap\"})")?;
        check((after - before).abs() < 0.01, || {
            format!("a paused container used {before} to {after} s")
        })?;
        let states = rig.query("masthead_container_state{name=\"nap\"}")?;
        check(states.len() == 1, || {
            format!("one state at a time is wanted: {states:?}")
        })?;
        rig.docker.cli(&["unpause", "nap"])?;
        rig.wait_for("masthead_container_state{name=\"nap\",state=\"running\"} == 1")?;
        rig.wait_mark("nap", "pause")?;
        rig.wait_mark("nap", "unpause")?;
        Ok(())
    })
}

/// A new name: the series of the old one end at once.
pub(in super::super) fn rename() -> Result<Outcome> {
    with_rig(&[], |rig| {
        rig.docker.burn("before", &["--network=none"], &[])?;
        rig.wait_for("container_memory_rss{name=\"before\"}")?;
        rig.docker.cli(&["rename", "before", "after"])?;
        rig.wait_for("container_memory_rss{name=\"after\",app=\"after\"}")?;
        rig.wait_gone("{__name__=~\"(container|masthead_container)_.+\",name=\"before\"}")?;
        rig.wait_mark("after", "rename")?;
        Ok(())
    })
}

/// Stopped, a container's series end within two ticks; its state and exit code stay. Started, they come back.
pub(in super::super) fn stop_and_start() -> Result<Outcome> {
    with_rig(&[], |rig| {
        rig.docker.burn("brief", &["--network=none"], &[])?;
        rig.wait_for("container_memory_rss{name=\"brief\"}")?;
        rig.docker.cli(&["stop", "brief"])?;
        gone_within_two_ticks(rig, "brief")?;
        rig.wait_for("masthead_container_state{name=\"brief\",state=\"exited\"} == 1")?;
        rig.wait_for("masthead_container_exit_code{name=\"brief\"} == 137")?;
        let marks = rig.wait_mark("brief", "stop")?;
        check(
            has(&marks, "stop", Some(137)) && !marks.iter().any(|(name, _)| name == "exit"),
            || format!("a stop with 137 and no exit is wanted: {marks:?}"),
        )?;
        rig.docker.cli(&["start", "brief"])?;
        rig.wait_for("container_memory_rss{name=\"brief\"}")?;
        let marks = rig.wait_mark("brief", "start")?;
        let names: Vec<&str> = marks.iter().map(|(name, _)| name.as_str()).collect();
        check(names == ["deploy", "stop", "start"], || {
            format!("deploy, stop, start are wanted: {names:?}")
        })?;
        rig.docker.cli(&["rm", "--force", "brief"])?;
        rig.wait_gone("{__name__=~\"(container|masthead_container)_.+\",name=\"brief\"}")
    })
}

/// The lookback of five minutes would keep them; only staleness markers end them so soon.
fn gone_within_two_ticks(rig: &Rig, name: &str) -> Result<()> {
    let promql = format!("{{__name__=~\"container_.+\",name=\"{name}\"}}");
    // A tick may just have begun when the container stopped, and a busy machine answers late.
    rig.wait_until(
        &promql,
        2 * TICK + Duration::from_secs(1),
        <[super::Point]>::is_empty,
    )
    .context("the series of a stopped container go on")
    .map(|_| ())
}

/// A health check that fails: state in the list, metric, mark.
pub(in super::super) fn unhealthy() -> Result<Outcome> {
    with_rig(&[], |rig| {
        let flags = [
            "--network=none",
            "--health-cmd=cat /tmp/well",
            "--health-interval=500ms",
            "--health-retries=1",
        ];
        rig.docker.burn("sick", &flags, &[])?;
        rig.wait_mark("sick", "unhealthy")?;
        rig.wait_for("container_health_state{name=\"sick\"} == 0")?;
        let health = |rig: &Rig| -> Result<String> {
            let data = rig.own("containers")?;
            let list = data["containers"].as_array().cloned().unwrap_or_default();
            let one = list.iter().find(|one| one["name"] == "sick");
            Ok(one
                .and_then(|one| one["health"].as_str())
                .unwrap_or_default()
                .to_string())
        };
        let got = health(rig)?;
        check(got == "unhealthy", || format!("its health is {got:?}"))?;
        rig.docker.cli(&["exec", "sick", "touch", "/tmp/well"])?;
        rig.wait_mark("sick", "healthy")?;
        rig.wait_until("container_health_state{name=\"sick\"}", LIMIT, |points| {
            points.first().is_some_and(|point| point.value == 1.0)
        })?;
        Ok(())
    })
}
