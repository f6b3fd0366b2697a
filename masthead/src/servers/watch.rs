//! The watch of one server: connects, finds what answers there, opens the way for its scrape loops, and begins anew when a round fails.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Url;
use serde::Deserialize;
use stack::{HostKeys, Link, Server};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Common;
use super::reach::{Reached, reach};
use super::state::{Kind, State};
use crate::config::{Auth, Scheme, Secret, SecretSource};
use crate::scrape::{Beside, Round, ScrapeLoop, Source, Tunnel, Way};

/// Between two attempts, at first.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// And at most.
const MOST_PAUSE: Duration = Duration::from_secs(60);
/// Connecting and looking takes no longer.
const STEP_LIMIT: Duration = Duration::from_secs(60);
/// `ssh` here says at once whether its connection is there.
const ALIVE_LIMIT: Duration = Duration::from_secs(5);
/// What a Masthead may say of its targets.
const MOST_TARGETS_BYTES: usize = 8 << 20;
/// Jobs that are taken from a server, and the paths where a Masthead has them.
const JOBS: [(&str, &str); 2] = [
    ("node-exporter", "/metrics/node"),
    ("cadvisor", "/metrics/containers"),
];
/// What is taken from a Prometheus.
const MATCHES: &str = "{job=~\"node-exporter|cadvisor|prometheus\"}";
/// The job of what a Prometheus hands on, as its documentation calls it.
const FEDERATE: &str = "federate";

pub(super) struct Watch {
    server: Server,
    name: String,
    common: Common,
}

/// The loops of a server, for the sources that they read.
#[derive(Default)]
struct Loops {
    sources: Vec<Source>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Loops {
    async fn end(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Has loops for these sources and no others. The first one speaks for the server.
    async fn read(
        &mut self,
        sources: Vec<Source>,
        way: &watch::Receiver<Way>,
        rounds: &mpsc::Sender<Round>,
        common: &Common,
    ) -> anyhow::Result<()> {
        if self.sources == sources {
            return Ok(());
        }
        self.end().await;
        *self = Self::default();
        let beside = Beside {
            sink: &common.sink,
            targets: &common.targets,
        };
        for (at, source) in sources.iter().enumerate() {
            let tunnel = Tunnel {
                way: way.clone(),
                rounds: (at == 0).then(|| rounds.clone()),
                has_metadata: source.matches.is_none(),
                over: Arc::default(),
            };
            let made = ScrapeLoop::tunnelled(source, tunnel, beside).map_err(anyhow::Error::msg)?;
            self.tasks.spawn(made.run(self.stop.clone()));
        }
        self.sources = sources;
        Ok(())
    }
}

impl Watch {
    pub(super) fn new(server: Server, common: Common) -> Self {
        let name = server.name.to_string();
        common.states.add(&name, &server.address.to_string());
        Self { server, name, common }
    }

    pub(super) async fn run(self, stop: CancellationToken) {
        let (way, ways) = watch::channel(Way::Shut("the connection is being made".into()));
        let (to_rounds, mut rounds) = mpsc::channel(4);
        let mut loops = Loops::default();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.watch(&way, &ways, &to_rounds, &mut rounds, &mut loops) => {}
        }
        way.send_replace(Way::Shut("this Masthead is stopping".into()));
        loops.end().await;
    }

    /// Goes on until it is dropped.
    async fn watch(
        &self,
        way: &watch::Sender<Way>,
        ways: &watch::Receiver<Way>,
        to_rounds: &mpsc::Sender<Round>,
        rounds: &mut mpsc::Receiver<Round>,
        loops: &mut Loops,
    ) {
        let mut link = None;
        let mut pause = FIRST_PAUSE;
        let mut opening = 0;
        loop {
            let opened = async {
                let (reached, sources) = self.look(&mut link).await?;
                loops.read(sources, ways, to_rounds, &self.common).await?;
                anyhow::Ok(reached)
            };
            let opened = tokio::time::timeout(STEP_LIMIT, opened)
                .await
                .unwrap_or_else(|_| {
                    Err(anyhow::anyhow!(
                        "no answer from server {} within {} s",
                        self.name,
                        STEP_LIMIT.as_secs()
                    ))
                });
            match opened {
                Ok(reached) => {
                    self.common.states.is_kind(&self.name, reached.kind);
                    opening += 1;
                    way.send_replace(open(&reached, opening));
                    let reason = self.hear(rounds, opening, &mut pause).await;
                    // The tunnel's end may be anybody's once the connection is gone, and the loops show a password there.
                    if !is_alive(link.as_ref()).await {
                        way.send_replace(Way::Shut(reason.into()));
                    }
                }
                Err(error) => {
                    let reason = one_line(&format!("{error:#}"));
                    self.common.states.set(&self.name, State::Down(reason.clone()));
                    way.send_replace(Way::Shut(reason.into()));
                    if loops.sources.is_empty() {
                        // Not known yet what answers there; its absence is a target that is down.
                        let guess = vec![self.federation()];
                        if let Err(error) = loops.read(guess, ways, to_rounds, &self.common).await {
                            tracing::error!(server = %self.name, %error, "cannot set up a server's target");
                        }
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MOST_PAUSE);
        }
    }

    /// Until a round over this opening of the way fails; why it did.
    async fn hear(&self, rounds: &mut mpsc::Receiver<Round>, opening: u64, pause: &mut Duration) -> String {
        while let Some(round) = rounds.recv().await {
            if round.opening != opening {
                continue;
            }
            match round.outcome {
                Ok(()) => {
                    *pause = FIRST_PAUSE;
                    self.common.states.set(&self.name, State::Up);
                }
                Err(reason) => {
                    self.common.states.set(&self.name, State::Down(reason.clone()));
                    return reason;
                }
            }
        }
        "nothing is scraped any more".to_owned()
    }

    /// Connects where there is no connection, and looks what answers there.
    async fn look(&self, link: &mut Option<Link>) -> anyhow::Result<(Reached, Vec<Source>)> {
        // Out of its place: what hangs or breaks on the way is not used again.
        let now = match link.take() {
            Some(known) if known.is_alive().await => known,
            _ => Link::connect(&self.server, HostKeys::Known).await?,
        };
        let reached = reach(&now, None).await;
        if now.is_alive().await {
            *link = Some(now);
        }
        let reached = reached?;
        let sources = match reached.kind {
            Kind::Upstream => vec![self.federation()],
            Kind::Embedded => self.of_masthead(&reached).await?,
        };
        Ok((reached, sources))
    }

    fn federation(&self) -> Source {
        Source {
            server: self.name.clone(),
            job: FEDERATE.to_owned(),
            instance: self.name.clone(),
            path: "/federate",
            matches: Some(MATCHES),
            interval: self.common.interval,
            timeout: self.common.timeout(),
        }
    }

    /// The host and the containers of a Masthead, with the `instance` that they have there.
    async fn of_masthead(&self, reached: &Reached) -> anyhow::Result<Vec<Source>> {
        let said = targets(reached, self.common.timeout())
            .await
            .with_context(|| format!("asking the Masthead on server {} for its targets", self.name))?;
        let source = |(job, path): (&str, &'static str)| {
            let target = said.iter().find(|target| target.scrape_pool == job)?;
            Some(Source {
                server: self.name.clone(),
                job: job.to_owned(),
                instance: target.labels.instance.clone(),
                path,
                matches: None,
                interval: self.common.interval,
                timeout: self.common.timeout(),
            })
        };
        let sources: Vec<Source> = JOBS.into_iter().filter_map(source).collect();
        anyhow::ensure!(
            !sources.is_empty(),
            "the Masthead on server {} collects neither its host nor containers: its masthead.yml turns them off",
            self.name
        );
        Ok(sources)
    }
}

/// Is there a connection that answers?
async fn is_alive(link: Option<&Link>) -> bool {
    match link {
        Some(link) => tokio::time::timeout(ALIVE_LIMIT, link.is_alive())
            .await
            .unwrap_or(false),
        None => false,
    }
}

fn open(reached: &Reached, opening: u64) -> Way {
    Way::Open {
        opening,
        scheme: if reached.is_https {
            Scheme::Https
        } else {
            Scheme::Http
        },
        address: reached.address,
        auth: reached.login.as_ref().map(|(user, password)| Auth::Basic {
            username: user.clone(),
            password: SecretSource::Inline(Secret::new(password.clone())),
        }),
    }
}

/// For the page and for `lastError`, which have one line.
fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
}

#[derive(Deserialize)]
struct Said {
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    active_targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    scrape_pool: String,
    labels: TargetLabels,
}

#[derive(Deserialize)]
struct TargetLabels {
    instance: String,
}

/// The targets of a Masthead.
async fn targets(reached: &Reached, timeout: Duration) -> anyhow::Result<Vec<Target>> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(timeout)
        // The connection underneath has proven who is there.
        .tls_danger_accept_invalid_certs(true)
        .build()?;
    let url = Url::parse(&format!("{}/api/v1/targets?state=active", reached.url()))?;
    let mut response = client.get(url).send().await?;
    match response.status().as_u16() {
        200 => {}
        401 => anyhow::bail!(
            "it wants a user and a password (--web-config), which are not known here; have it listen on loopback without users"
        ),
        code => anyhow::bail!("it answers with HTTP status {code}"),
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        anyhow::ensure!(
            body.len() + chunk.len() <= MOST_TARGETS_BYTES,
            "its answer has no end"
        );
        body.extend_from_slice(&chunk);
    }
    let said: Said = serde_json::from_slice(&body)?;
    Ok(said.data.active_targets)
}
