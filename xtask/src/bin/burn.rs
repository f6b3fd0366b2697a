//! A program that uses known amounts of CPU, memory, network and disk: what runs in the containers of the tests.
//!
//! `burn WORD=VALUE ...` does one thing after the other, prints `done`, and then sleeps for ever:
//!
//! | word | what it does |
//! |---|---|
//! | `cpu=SECONDS` | uses so much CPU time |
//! | `memory=BYTES` | writes to so much memory and keeps it |
//! | `write=BYTES`, `read=BYTES` | past the page cache to a file and from it: the device sees each byte |
//! | `cache=BYTES` | a file through the page cache, synced: its pages stay in it |
//! | `send=HOST:PORT,BYTES` | over TCP; waits until the other end has taken all |
//! | `wait=SECONDS` | sleeps |
//! | `until=PATH` | waits for a file |
//! | `exit=CODE` | ends |
//! | `serve=PORT` | from now on: takes what is sent, and throws it away |
//! | `share=FRACTION` | from now on: uses this share of a core |
//! | `drip=HOST:PORT,BYTES` | from now on: sends so much each second |
//!
//! Bytes may end in `k` or `m` (1024-based).

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it speaks to the test through its container's log"
)]

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// The kernel's `O_DIRECT`, whose number depends on the processor.
#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
const O_DIRECT: i32 = 0o200_000;
#[cfg(not(any(target_arch = "aarch64", target_arch = "arm")))]
const O_DIRECT: i32 = 0o40_000;

/// Blocks of files; a multiple of every device's sector.
const BLOCK: usize = 1 << 20;
/// `O_DIRECT` wants memory that begins on such a boundary.
const ALIGNMENT: usize = 4096;
const FILE: &str = "/burned";

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut kept = Vec::new();
    for word in std::env::args().skip(1) {
        let (name, value) = word.split_once('=').unwrap_or((&word, ""));
        if name == "exit" {
            return ExitCode::from(value.parse::<u8>().unwrap_or(1));
        }
        if let Err(error) = burn(name, value, &mut kept) {
            eprintln!("{word}: {error}");
            return ExitCode::from(99);
        }
    }
    println!("done");
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn burn(name: &str, value: &str, kept: &mut Vec<Vec<u8>>) -> Outcome {
    match name {
        "cpu" => cpu(value.parse()?),
        "memory" => {
            kept.push(vec![1; bytes(value)?]);
            Ok(())
        }
        "write" => write(bytes(value)?, O_DIRECT),
        "cache" => write(bytes(value)?, 0),
        "read" => read(bytes(value)?),
        "send" => {
            let (address, amount) = value.split_once(',').ok_or("wants HOST:PORT,BYTES")?;
            send(address, bytes(amount)?)
        }
        "wait" => {
            thread::sleep(Duration::from_secs_f64(value.parse()?));
            Ok(())
        }
        "until" => {
            while fs::metadata(value).is_err() {
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        "serve" => serve(value),
        "share" => share(value.parse()?),
        "drip" => {
            let (address, amount) = value.split_once(',').ok_or("wants HOST:PORT,BYTES")?;
            let (address, amount) = (address.to_string(), bytes(amount)?);
            thread::spawn(move || drip(&address, amount));
            Ok(())
        }
        _ => Err("no such word".into()),
    }
}

fn bytes(text: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    Ok(digits.parse::<usize>()? * unit)
}

/// Works until the kernel says that this thread has run for so long; what went into the start counts too.
fn cpu(seconds: f64) -> Outcome {
    let mut value = 1_u64;
    loop {
        for _ in 0..100_000 {
            value = std::hint::black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
        let schedstat = fs::read_to_string("/proc/thread-self/schedstat")?;
        let ran_ns: f64 = schedstat
            .split_whitespace()
            .next()
            .ok_or("schedstat is empty")?
            .parse()?;
        if ran_ns / 1e9 >= seconds {
            return Ok(());
        }
    }
}

/// A block that begins on the boundary which `O_DIRECT` wants: where it begins within the memory given.
fn aligned(memory: &[u8]) -> usize {
    memory.as_ptr().align_offset(ALIGNMENT)
}

fn write(amount: usize, flags: i32) -> Outcome {
    let memory = vec![7; BLOCK + ALIGNMENT];
    let at = aligned(&memory);
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .custom_flags(flags)
        .open(FILE)?;
    for _ in 0..amount / BLOCK {
        file.write_all(memory.get(at..at + BLOCK).ok_or("no room")?)?;
    }
    file.sync_data()?;
    Ok(())
}

fn read(amount: usize) -> Outcome {
    let mut memory = vec![0; BLOCK + ALIGNMENT];
    let at = aligned(&memory);
    let mut file = OpenOptions::new().read(true).custom_flags(O_DIRECT).open(FILE)?;
    for _ in 0..amount / BLOCK {
        file.read_exact(memory.get_mut(at..at + BLOCK).ok_or("no room")?)?;
    }
    Ok(())
}

/// Connects, and tries for a while: the other end may not be there yet.
fn connect(address: &str) -> std::io::Result<TcpStream> {
    let began = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Err(_) if began.elapsed() < Duration::from_secs(20) => thread::sleep(Duration::from_millis(50)),
            other => return other,
        }
    }
}

fn send(address: &str, amount: usize) -> Outcome {
    let mut stream = connect(address)?;
    let block = vec![5; 64 << 10];
    let mut left = amount;
    while left > 0 {
        let part = left.min(block.len());
        stream.write_all(block.get(..part).ok_or("no room")?)?;
        left -= part;
    }
    stream.shutdown(Shutdown::Write)?;
    // The other end closes when it has read all.
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn serve(port: &str) -> Outcome {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut block = vec![0; 64 << 10];
                while stream.read(&mut block).is_ok_and(|n| n > 0) {}
            });
        }
    });
    Ok(())
}

fn share(fraction: f64) -> Outcome {
    let period = Duration::from_millis(50);
    let busy = period.mul_f64(fraction.clamp(0.0, 1.0));
    thread::spawn(move || {
        loop {
            let began = Instant::now();
            while began.elapsed() < busy {
                std::hint::black_box(began.elapsed());
            }
            thread::sleep(period.saturating_sub(began.elapsed()));
        }
    });
    Ok(())
}

fn drip(address: &str, amount: usize) {
    let block = vec![3; amount];
    loop {
        if let Ok(mut stream) = connect(address) {
            while stream.write_all(&block).is_ok() {
                thread::sleep(Duration::from_secs(1));
            }
        }
        thread::sleep(Duration::from_secs(1));
    }
}
