//! The `masthead` program: parses the command line and prints what went wrong.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match masthead::cli::run(masthead::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (code, is_printed) = masthead::cli::exit_code(&error);
            if !is_printed {
                // Nothing can be done when standard error is closed.
                let _ = writeln!(
                    std::io::stderr(),
                    "masthead: {}",
                    masthead::cli::error_text(&error)
                );
            }
            ExitCode::from(code)
        }
    }
}
