//! From what is there and what is wanted to the steps between, without touching anything.

use super::Places;
use super::observe::{Binary, Observed};
use super::unit::Found;

/// One step. The order of a plan is such that a run that was broken off is gone on with by the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Somebody else's program is renamed.
    KeepBinary,
    /// This program is copied.
    InstallBinary,
    /// A unit that is not as we wrote it is renamed.
    KeepUnit,
    /// The unit is written.
    WriteUnit,
    /// systemd reads its units again.
    Reload,
    /// It starts at boot.
    Enable,
    /// It starts now.
    Start,
    /// It starts anew now.
    Restart,
    /// Its address answers.
    WaitReady,
    /// It ends.
    Stop,
    /// It does not start at boot.
    Disable,
    /// The program is removed.
    RemoveBinary,
    /// All samples and marks are removed.
    PurgeData,
    /// The unit is removed.
    RemoveUnit,
}

impl Step {
    /// Its name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KeepBinary => "keep-binary",
            Self::InstallBinary => "install-binary",
            Self::KeepUnit => "keep-unit",
            Self::WriteUnit => "write-unit",
            Self::Reload => "daemon-reload",
            Self::Enable => "enable",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::WaitReady => "wait-ready",
            Self::Stop => "stop",
            Self::Disable => "disable",
            Self::RemoveBinary => "remove-binary",
            Self::PurgeData => "purge-data",
            Self::RemoveUnit => "remove-unit",
        }
    }

    /// What it does, for people.
    #[must_use]
    pub fn text(self, places: &Places) -> String {
        let (binary, unit) = (places.binary.display(), places.unit.display());
        match self {
            Self::KeepBinary => format!("rename {binary}, which is no Masthead, to {binary}.replaced"),
            Self::InstallBinary => format!("copy this program to {binary}"),
            Self::KeepUnit => format!("rename {unit}, which is not as Masthead wrote it, to {unit}.replaced"),
            Self::WriteUnit => format!("write {unit}"),
            Self::Reload => "systemctl daemon-reload".to_owned(),
            Self::Enable => "systemctl enable masthead".to_owned(),
            Self::Start => "systemctl start masthead".to_owned(),
            Self::Restart => "systemctl restart masthead".to_owned(),
            Self::WaitReady => "wait until it is ready".to_owned(),
            Self::Stop => "systemctl stop masthead".to_owned(),
            Self::Disable => "systemctl disable masthead".to_owned(),
            Self::RemoveBinary => format!("remove {binary}"),
            Self::PurgeData => format!("remove all data in {}", places.data_dir.display()),
            Self::RemoveUnit => format!("remove {unit}"),
        }
    }
}

/// The steps to this unit.
///
/// # Errors
/// When something that is not ours is in the way and `adopt` does not allow to replace it.
pub fn install(observed: &Observed, wanted: &str, adopt: bool, places: &Places) -> anyhow::Result<Vec<Step>> {
    if !adopt {
        check_ours(observed, places)?;
    }
    let systemd = &observed.systemd;
    let new_binary = observed.binary != Binary::Same;
    let new_unit = !matches!(&observed.unit, Found::Ours { text, .. } if text == wanted);
    let mut steps = Vec::new();
    if observed.binary == Binary::Foreign {
        steps.push(Step::KeepBinary);
    }
    if new_binary {
        steps.push(Step::InstallBinary);
    }
    if matches!(observed.unit, Found::Foreign | Found::Edited) {
        steps.push(Step::KeepUnit);
    }
    if new_unit {
        steps.push(Step::WriteUnit);
    }
    if new_unit || systemd.needs_reload {
        steps.push(Step::Reload);
    }
    if !systemd.enabled {
        steps.push(Step::Enable);
    }
    let is_up = systemd.active == "active";
    let is_stale = new_binary || new_unit || systemd.needs_reload || systemd.runs_old_binary;
    if is_up && is_stale {
        steps.push(Step::Restart);
    } else if !is_up {
        // One that fails again and again is ended by this and started with what is new.
        steps.push(if systemd.active == "activating" {
            Step::Restart
        } else {
            Step::Start
        });
    }
    if matches!(steps.last(), Some(Step::Start | Step::Restart)) {
        steps.push(Step::WaitReady);
    }
    Ok(steps)
}

fn check_ours(observed: &Observed, places: &Places) -> anyhow::Result<()> {
    let unit = places.unit.display();
    match observed.unit {
        Found::Foreign => anyhow::bail!(
            "installing the service: there is a {unit} that Masthead did not make, and it is left as it is; with --adopt it is kept \
             as {unit}.replaced and Masthead's is put in its place"
        ),
        Found::Edited => anyhow::bail!(
            "installing the service: {unit} was changed by hand, and is left as it is; move the changes into `systemctl edit masthead`, \
             which is kept, then run this again with --adopt (the changed file is kept as {unit}.replaced)"
        ),
        Found::Absent | Found::Ours { .. } => {}
    }
    let fragment = &observed.systemd.fragment;
    anyhow::ensure!(
        observed.unit != Found::Absent
            || fragment.is_empty()
            || fragment == &places.unit.display().to_string(),
        "installing the service: a unit of that name comes from {fragment}, which Masthead did not make; remove its package, or say \
         --adopt to put Masthead's in front of it"
    );
    anyhow::ensure!(
        observed.binary != Binary::Foreign,
        "installing the service: {0} is a program, but not Masthead, and is left as it is; with --adopt it is kept as {0}.replaced",
        places.binary.display()
    );
    Ok(())
}

/// The steps to nothing; `has_data` says that there is a data folder.
///
/// # Errors
/// When the unit is somebody else's.
pub fn uninstall(
    observed: &Observed,
    purge: bool,
    has_data: bool,
    places: &Places,
) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    let is_there = match observed.unit {
        Found::Foreign => anyhow::bail!(
            "removing the service: {} was not made by Masthead; it is left as it is. Remove it by hand if it shall go",
            places.unit.display()
        ),
        Found::Absent => false,
        Found::Ours { .. } | Found::Edited => true,
    };
    if is_there {
        if !matches!(observed.systemd.active.as_str(), "inactive" | "failed") {
            steps.push(Step::Stop);
        }
        if observed.systemd.enabled {
            steps.push(Step::Disable);
        }
        if matches!(observed.binary, Binary::Same | Binary::Other(_)) {
            steps.push(Step::RemoveBinary);
        }
    }
    if purge && has_data {
        steps.push(Step::PurgeData);
    }
    if is_there {
        // Last, as it says that the rest is ours.
        steps.push(if observed.unit == Found::Edited {
            Step::KeepUnit
        } else {
            Step::RemoveUnit
        });
        steps.push(Step::Reload);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::super::observe::Systemd;
    use super::super::options::Options;
    use super::*;

    fn observed(unit: Found, binary: Binary, active: &str, enabled: bool) -> Observed {
        Observed {
            unit,
            binary,
            systemd: Systemd {
                active: active.to_owned(),
                enabled,
                ..Systemd::default()
            },
        }
    }

    fn ours(text: &str) -> Found {
        Found::Ours {
            text: text.to_owned(),
            options: Options::default(),
        }
    }

    fn names(steps: &[Step]) -> String {
        steps.iter().map(|step| step.name()).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check(observed: &Observed, adopt: bool, want: Result<&str, &str>) {
        let got = install(observed, "new", adopt, &Places::default());
        match (got, want) {
            (Ok(steps), Ok(want)) => assert_eq!(names(&steps), want),
            (Err(error), Err(want)) => {
                let error = error.to_string();
                assert!(error.contains(want) && error.contains("--adopt"), "{error}");
            }
            (got, want) => panic!("{got:?}, not {want:?}"),
        }
    }

    #[test]
    fn a_second_install_changes_nothing_and_an_option_the_unit_alone() {
        let is = |unit, binary| observed(unit, binary, "active", true);
        check(
            &observed(Found::Absent, Binary::Absent, "inactive", false),
            false,
            Ok("install-binary write-unit daemon-reload enable start wait-ready"),
        );
        check(&is(ours("new"), Binary::Same), false, Ok(""));
        check(
            &is(ours("old"), Binary::Same),
            false,
            Ok("write-unit daemon-reload restart wait-ready"),
        );
        check(
            &is(ours("new"), Binary::Other("0.0.1".to_owned())),
            false,
            Ok("install-binary restart wait-ready"),
        );
    }

    #[test]
    fn an_install_that_was_broken_off_is_gone_on_with() {
        let is = |active, enabled| observed(ours("new"), Binary::Same, active, enabled);
        check(&is("inactive", false), false, Ok("enable start wait-ready"));
        check(&is("failed", true), false, Ok("start wait-ready"));
        check(&is("activating", true), false, Ok("restart wait-ready"));
        let mut stale = is("active", true);
        stale.systemd.needs_reload = true;
        check(&stale, false, Ok("daemon-reload restart wait-ready"));
        stale.systemd.needs_reload = false;
        stale.systemd.runs_old_binary = true;
        check(&stale, false, Ok("restart wait-ready"));
    }

    #[test]
    fn what_is_not_ours_is_left_unless_it_may_be_replaced() {
        let is = |unit, binary| observed(unit, binary, "active", true);
        let foreign = is(Found::Foreign, Binary::Foreign);
        check(&foreign, false, Err("did not make"));
        check(
            &foreign,
            true,
            Ok("keep-binary install-binary keep-unit write-unit daemon-reload restart wait-ready"),
        );
        check(&is(Found::Edited, Binary::Same), false, Err("by hand"));
        check(&is(Found::Absent, Binary::Foreign), false, Err("not Masthead"));
        let mut packaged = is(Found::Absent, Binary::Same);
        packaged.systemd.fragment = "/usr/lib/systemd/system/masthead.service".to_owned();
        check(&packaged, false, Err("/usr/lib/systemd"));
    }

    #[test]
    fn uninstall_keeps_the_data_and_what_is_foreign() {
        let places = Places::default();
        let up = observed(ours("new"), Binary::Same, "active", true);
        for (purge, want) in [
            (false, "stop disable remove-binary remove-unit daemon-reload"),
            (
                true,
                "stop disable remove-binary purge-data remove-unit daemon-reload",
            ),
        ] {
            assert_eq!(names(&uninstall(&up, purge, true, &places).unwrap()), want);
        }
        let edited = observed(Found::Edited, Binary::Foreign, "failed", false);
        assert_eq!(
            names(&uninstall(&edited, false, true, &places).unwrap()),
            "keep-unit daemon-reload"
        );
        let gone = observed(Found::Absent, Binary::Same, "inactive", false);
        assert_eq!(names(&uninstall(&gone, false, true, &places).unwrap()), "");
        assert_eq!(
            names(&uninstall(&gone, true, true, &places).unwrap()),
            "purge-data"
        );
        assert_eq!(names(&uninstall(&gone, true, false, &places).unwrap()), "");
        let foreign = observed(Found::Foreign, Binary::Same, "active", true);
        assert!(uninstall(&foreign, true, true, &places).is_err());
    }
}
