//! Which C library a program wants: the newest version of a symbol of glibc that it refers to.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// The C library of Debian 11.
pub(crate) const OLDEST: (u32, u32) = (2, 31);

/// Fails when a program would not start on Debian 11; else says what it wants.
pub(super) fn check(binary: &Path) -> Result<String> {
    let symbols = shell::output(Command::new("objdump").arg("-T").arg(binary))
        .context("objdump is missing: apt-get install binutils")?;
    let (version, line) = newest(&symbols).with_context(|| {
        format!(
            "{} refers to no symbol of glibc, which cannot be",
            binary.display()
        )
    })?;
    if version > OLDEST {
        bail!(
            "{} would not start on Debian 11, whose glibc is {}.{}: {}",
            binary.display(),
            OLDEST.0,
            OLDEST.1,
            line.trim()
        );
    }
    Ok(format!(
        "the program wants glibc {}.{} (Debian 11 has {}.{})",
        version.0, version.1, OLDEST.0, OLDEST.1
    ))
}

/// The newest version of glibc in what `objdump -T` prints, and its line.
fn newest(symbols: &str) -> Option<((u32, u32), &str)> {
    symbols
        .lines()
        .filter_map(|line| {
            let (_, after) = line.split_once("GLIBC_")?;
            let word = after.split([')', ' ', '\t']).next()?;
            let mut numbers = word.split('.').map(str::parse);
            match (numbers.next(), numbers.next()) {
                (Some(Ok(major)), Some(Ok(minor))) => Some(((major, minor), line)),
                // `GLIBC_PRIVATE` is bound to one release, and is refused as the newest of all.
                _ => Some(((u32::MAX, 0), line)),
            }
        })
        .max_by_key(|(version, _)| *version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "0000000000000000      DF *UND*	0000000000000000 ";

    #[test]
    fn the_newest_symbol_counts() {
        let text = format!(
            "a:     file format elf64-x86-64\n\n{LINE}(GLIBC_2.2.5) read\n{LINE} GLIBC_2.30  gettid\n{LINE}(GLIBC_2.4) x\n{LINE}(GCC_4.2.0) y\n"
        );
        let (version, line) = newest(&text).expect("some");
        assert_eq!(version, (2, 30));
        assert!(line.contains("gettid"), "{line}");
        assert!(
            newest(&format!("{text}{LINE}(GLIBC_2.34) dlsym\n"))
                .expect("some")
                .0
                > OLDEST
        );
        assert!(
            newest(&format!("{text}{LINE}(GLIBC_PRIVATE) z\n"))
                .expect("some")
                .0
                > OLDEST
        );
        assert!(newest("nothing").is_none());
    }
}
