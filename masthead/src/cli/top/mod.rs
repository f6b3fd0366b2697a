//! `masthead top`: a live view of the apps in the terminal, fed by the live API.
//!
//! ```text
//!   feed (task) --readings, how it fares--\
//!   keys (thread) ------------------------+--> model --> view --> terminal
//!   SIGTERM, SIGHUP ----------------------/
//! ```

mod feed;
mod model;
mod view;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::widgets::TableState;
use tokio::sync::mpsc;

use crate::cli::out;
use feed::{Feed, FeedError, Server};
use model::{Connection, Model, Reading};
use view::Look;

/// Between two tries to reach a server that went away.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How soon the thread that waits for keys sees that nobody wants them any more.
const KEY_WAIT: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead top
  masthead top --url https://ann:secret@10.0.0.5:9090 --ca-file ca.pem
  masthead top --once | head                         one table, for a script

Keys: c m n i a sort by CPU, memory, network, I/O, name (again: turn round); / filters; tab shows
containers instead of apps; q quits. NO_COLOR turns the colours off.")]
pub(super) struct TopArgs {
    /// The Masthead to ask
    #[arg(
        long,
        default_value = "http://127.0.0.1:9090",
        env = "MASTHEAD_URL",
        hide_env_values = true
    )]
    url: String,
    /// Trust the certificates in this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print one table and end; the same when standard output is no terminal
    #[arg(long)]
    once: bool,
}

pub(super) fn run(args: &TopArgs) -> anyhow::Result<()> {
    crate::install_tls_provider();
    let server = Server::new(&client::full_url(&args.url), args.ca_file.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the async runtime")?;
    let outcome = runtime.block_on(async {
        let shown = server.shown.clone();
        // A server that is not there at the start is most often a wrong address: said at once, and not on a full screen.
        let feed = server
            .open()
            .await
            .map_err(|e| anyhow::anyhow!("asking {shown} for live readings: {e}. Is `masthead up` running there? --url names another address"))?;
        if args.once || !std::io::stdout().is_terminal() {
            once(feed).await
        } else {
            full_screen(server, feed).await
        }
    });
    runtime.shutdown_background();
    outcome
}

/// Rates need two readings.
async fn once(mut feed: Feed) -> anyhow::Result<()> {
    let mut model = Model::default();
    for _ in 0..2 {
        model.take(feed.next().await?);
    }
    out::line(&view::plain(&model))
}

/// What the loop is told.
#[derive(Debug)]
enum News {
    Reading(Box<Reading>),
    Lost(String),
    Refused(String),
    Terminal(Event),
    End,
}

async fn full_screen(server: Server, feed: Feed) -> anyhow::Result<()> {
    let (send, mut news) = mpsc::channel(64);
    let shown = server.shown.clone();
    tokio::spawn(read_feed(server, feed, send.clone()));
    tokio::spawn(wait_for_signals(send.clone()));
    // Raw mode and the other screen, and a hook that gives both back when something panics.
    let mut terminal =
        ratatui::try_init().context("taking over the terminal; --once prints a table without it")?;
    let restore = Restore;
    read_keys(send)?;
    let look = Look {
        colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    let mut model = Model::default();
    let mut state = TableState::default();
    let mut refused = None;
    while !model.quit {
        terminal
            .draw(|frame| view::draw(frame, &model, &shown, look, &mut state))
            .context("drawing")?;
        match news.recv().await {
            Some(News::Reading(reading)) => model.take(*reading),
            Some(News::Lost(why)) => model.connection = Connection::Lost(why),
            Some(News::Refused(why)) => {
                refused = Some(why);
                break;
            }
            Some(News::Terminal(Event::Key(key))) if key.kind != KeyEventKind::Release => model.key(key),
            // Most often a new size: it is drawn anew in any case.
            Some(News::Terminal(_)) => {}
            Some(News::End) | None => break,
        }
    }
    drop(restore);
    refused.map_or(Ok(()), |why| {
        Err(anyhow::anyhow!("asking {shown} for live readings: {why}"))
    })
}

/// Gives the terminal back, whichever way the function ends.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = ratatui::try_restore();
    }
}

/// Readings as they come; after the end of a stream the next one is asked for, until it is refused.
async fn read_feed(server: Server, feed: Feed, news: mpsc::Sender<News>) {
    let mut open = Some(feed);
    loop {
        let next = match &mut open {
            Some(feed) => feed.next().await,
            None => match server.open().await {
                Ok(feed) => {
                    open = Some(feed);
                    continue;
                }
                Err(e) => Err(e),
            },
        };
        let told = match next {
            Ok(reading) => News::Reading(Box::new(reading)),
            Err(FeedError::Away(why)) => {
                open = None;
                News::Lost(why)
            }
            Err(FeedError::Refused(why)) => News::Refused(why),
        };
        let wait = matches!(told, News::Lost(_));
        if news.send(told).await.is_err() {
            return;
        }
        if wait {
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }
}

/// Keys and sizes, on a thread since the terminal is read by waiting.
fn read_keys(news: mpsc::Sender<News>) -> anyhow::Result<()> {
    std::thread::Builder::new()
        .name("keys".to_owned())
        .spawn(move || {
            while !news.is_closed() {
                let told = match event::poll(KEY_WAIT) {
                    Ok(false) => continue,
                    Ok(true) => event::read().map_or(News::End, News::Terminal),
                    // The terminal is gone.
                    Err(_) => News::End,
                };
                let last = matches!(told, News::End);
                if news.blocking_send(told).is_err() || last {
                    return;
                }
            }
        })
        .context("starting the thread that reads keys")?;
    Ok(())
}

async fn wait_for_signals(news: mpsc::Sender<News>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut hang_up), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
        _ = interrupt.recv() => {}
    }
    // The loop may have ended by itself.
    let _ = news.send(News::End).await;
}
