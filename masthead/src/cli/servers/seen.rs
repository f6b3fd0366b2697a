//! Since when a server is as it is, in words and as JSON: as far as former looks at it have told.

use serde_json::{Value, json};
use stack::{Registry, Server, Sighting, Sightings, Survey};

use crate::clock;

/// Writes down what a look at servers came to, and gives what is known of each with that.
pub(super) fn look(registry: &Registry, servers: &[&Server], surveys: &[Survey]) -> Vec<Sighting> {
    let mut sightings = Sightings::of(registry.path());
    let now_ms = clock::now_ms();
    let each = servers.iter().zip(surveys);
    let seen = each
        .map(|(server, survey)| sightings.look(server, survey.connected_ms.is_some(), now_ms))
        .collect();
    sightings.save(registry.servers());
    seen
}

/// What stands behind `OUT OF REACH` or `reached`.
pub(super) fn text(sighting: &Sighting) -> String {
    let since = local(sighting.since_ms);
    match (sighting.reached, sighting.reached_ms) {
        (true, _) => format!("since {since}"),
        (false, Some(reached_ms)) => format!("since {since}, last reached {}", local(reached_ms)),
        (false, None) => format!("since {since}, never reached before"),
    }
}

/// `reached`, `since` and `last_reached`, in UTC.
pub(super) fn fields(sighting: &Sighting) -> Value {
    json!({
        "reached": sighting.reached,
        "since": utc(sighting.since_ms),
        "last_reached": sighting.reached_ms.map(utc),
    })
}

fn local(ms: i64) -> String {
    let zone = jiff::tz::TimeZone::system();
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| String::new(),
        |time| time.to_zoned(zone).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

fn utc(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| String::new(), |time| time.to_string())
}
