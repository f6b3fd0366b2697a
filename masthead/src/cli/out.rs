//! Standard output. A reader that went away (`masthead query ... | head -1`) is not an error.

use std::io::{self, IsTerminal, Write};

/// Prints bytes as they are.
///
/// # Errors
/// What the operating system says, but for a closed pipe.
pub fn bytes(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("writing to standard output: {e}"))
        }
        _ => Ok(()),
    }
}

/// Prints a line.
///
/// # Errors
/// As [`bytes`].
pub fn line(text: &str) -> anyhow::Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Says something beside the result, on standard error.
pub fn note(text: &str) {
    // Nothing can be done when standard error is closed.
    let _ = writeln!(io::stderr(), "masthead: {text}");
}

/// Columns of the terminal, 80 where there is none.
#[must_use]
pub fn width() -> usize {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return 80;
    }
    rustix::termios::tcgetwinsize(&stdout).map_or(80, |size| usize::from(size.ws_col).max(40))
}
