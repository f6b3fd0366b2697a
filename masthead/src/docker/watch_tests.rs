//! The watching task against an engine that fails as a real one cannot be made to: answers that come late, torn, wrong or not at all.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

use super::*;
use crate::docker::known::AllowList;
use crate::docker::marks::Marks;

/// What the scripted engine says.
#[derive(Default)]
struct Script {
    /// Ids and states.
    containers: BTreeMap<String, &'static str>,
    /// For each connection to `/events` in turn: what is sent, and whether the stream ends then.
    streams: VecDeque<(String, bool)>,
    /// Events are forbidden, as some proxies do.
    forbids_events: bool,
    /// Requests so far.
    asked: Vec<String>,
    /// A stream that ends does so when this is told.
    end: Arc<Notify>,
}

/// A scripted engine and a task that watches it.
struct Scene {
    script: Arc<Mutex<Script>>,
    containers: Arc<Containers>,
    stop: CancellationToken,
    server: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
        self.server.abort();
    }
}

impl Scene {
    fn start(script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Arc::new(Mutex::new(script));
        let server = serve(&folder.path().join("engine.sock"), &script);
        let containers = Arc::new(Containers::new(
            &collect::ContainerOptions::default(),
            AllowList::default(),
            Marks::default(),
        ));
        let stop = CancellationToken::new();
        containers.watch(Some(folder.path().join("engine.sock")), stop.clone());
        Self {
            script,
            containers,
            stop,
            server,
            folder,
        }
    }

    /// Waits until the list satisfies `what`; the time is an upper bound, not a measure.
    async fn until(&self, words: &str, what: impl Fn(&Engine, &[Known]) -> bool) {
        for _ in 0..400 {
            let (engine, known) = self.containers.inventory.get();
            if what(&engine, &known) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never: {words}; now {:?}", self.containers.inventory.get());
    }

    fn marks(&self) -> Vec<String> {
        let kept = self.containers.marks.select(i64::MIN, i64::MAX, None, usize::MAX);
        kept.marks
            .iter()
            .map(|m| format!("{} {}", m.event, m.container))
            .collect()
    }
}

fn serve(path: &Path, script: &Arc<Mutex<Script>>) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    let script = Arc::clone(script);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&script)));
        }
    })
}

async fn answer(mut stream: UnixStream, script: Arc<Mutex<Script>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    script.lock().unwrap().asked.push(path.clone());
    let forbidden = path.contains("/events") && script.lock().unwrap().forbids_events;
    if path.contains("/events") && !forbidden {
        let next = script.lock().unwrap().streams.pop_front();
        let (text, ends) = next.unwrap_or_default();
        let begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = stream.write_all(begin).await;
        // In pieces, so that lines are torn at every place.
        for piece in text.as_bytes().chunks(7) {
            let _ = stream
                .write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                .await;
            let _ = stream.write_all(piece).await;
            let _ = stream.write_all(b"\r\n").await;
        }
        if ends {
            let end = Arc::clone(&script.lock().unwrap().end);
            end.notified().await;
            let _ = stream.write_all(b"0\r\n\r\n").await;
        } else {
            // Open until the other side goes.
            let _ = stream.read_u8().await;
        }
        return;
    }
    let (code, body) = if forbidden {
        (403, "Forbidden by the proxy".to_owned())
    } else {
        body(&path, &script.lock().unwrap().containers)
    };
    let text = format!(
        "HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(text.as_bytes()).await;
}

fn body(path: &str, containers: &BTreeMap<String, &'static str>) -> (u16, String) {
    if path == "/version" {
        return (200, r#"{"Version":"99.1","ApiVersion":"1.41"}"#.to_owned());
    }
    if path == "/v1.41/containers/json?all=true" {
        let rows: Vec<String> = containers
            .keys()
            .map(|id| format!(r#"{{"Id":"{id}"}}"#))
            .collect();
        return (200, format!("[{}]", rows.join(",")));
    }
    let id = path
        .trim_start_matches("/v1.41/containers/")
        .trim_end_matches("/json");
    match containers.get(id) {
        None => (404, r#"{"message":"No such container"}"#.to_owned()),
        Some(&"broken") => (200, "{\"Id\":".to_owned()),
        Some(state) => (
            200,
            format!(
                r#"{{"Id":"{id}","Name":"/{id}","State":{{"Status":"{state}","Pid":{}}}}}"#,
                u8::from(*state == "running")
            ),
        ),
    }
}

fn line(t_ms: i64, action: &str, id: &str) -> String {
    format!(
        r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{"name":"{id}","exitCode":"3"}}}},"timeNano":{}}}{}"#,
        t_ms * 1_000_000,
        "\n"
    )
}

fn connected(engine: &Engine) -> bool {
    matches!(engine, Engine::Connected { version } if version == "99.1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_answers_make_the_list_whatever_lies_between_them() {
    let events = [
        line(5_000, "create", "fresh"),
        "\n{\"Type\":7}\nnot json\n".to_owned(),
        line(6_000, "start", "fresh"),
        line(7_000, "die", "old"),
        line(8_000, "destroy", "old"),
        line(9_000, "exec_start: sh", "fresh"),
    ];
    let scene = Scene::start(Script {
        containers: [("a", "running"), ("bad", "broken"), ("fresh", "running")]
            .map(|(id, state)| (id.to_owned(), state))
            .into(),
        streams: [(events.concat(), false)].into(),
        ..Script::default()
    });
    scene
        .until("both are there", |engine, known| {
            let names: Vec<&str> = known.iter().map(|k| k.name.as_str()).collect();
            connected(engine) && names == ["a", "fresh"] && known.iter().all(|k| k.pid == 1)
        })
        .await;
    scene
        .until("all events are read", |_, _| scene.marks().len() == 2)
        .await;
    assert_eq!(scene.marks(), ["deploy fresh", "exit old"]);
    // One that the list names and whose answer is broken costs nobody else.
    let (engine, known) = scene.containers.inventory.get();
    assert_eq!(scene.containers.running(&engine, &known).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_is_away_until_the_engine_is_back() {
    let scene = Scene::start(Script {
        containers: [("a".to_owned(), "running")].into(),
        streams: [
            (line(5_000, "start", "a"), true),
            (line(5_000, "start", "a") + &line(6_000, "die", "a"), false),
        ]
        .into(),
        ..Script::default()
    });
    scene
        .until("all is there", |engine, known| {
            connected(engine) && known.len() == 1 && scene.marks().len() == 1
        })
        .await;
    scene.script.lock().unwrap().end.notify_one();
    scene
        .until("away, with the list", |engine, known| {
            matches!(engine, Engine::Away { why } if why.contains("restarts")) && known.len() == 1
        })
        .await;
    scene
        .until("connected again", |engine, _| connected(engine))
        .await;
    scene
        .until("the end is told", |_, _| scene.marks().len() == 2)
        .await;
    assert_eq!(
        scene.marks(),
        ["deploy a", "exit a"],
        "the start is told twice and kept once"
    );
    let asked = scene.script.lock().unwrap().asked.clone();
    let second = asked
        .iter()
        .filter(|path| path.contains("/events"))
        .nth(1)
        .unwrap();
    assert!(
        !second.ends_with("since=5.000000001"),
        "the clock is later: {second}"
    );
    assert!(second.contains("&since="), "{second}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_comes_later_or_anew_is_found() {
    let scene = Scene::start(Script {
        streams: [(String::new(), true)].into(),
        ..Script::default()
    });
    scene.until("connected", |engine, _| connected(engine)).await;
    scene.server.abort();
    let path = scene.folder.path().join("engine.sock");
    std::fs::remove_file(&path).unwrap();
    scene.script.lock().unwrap().end.notify_one();
    scene
        .until(
            "away, with the cure",
            |engine, _| matches!(engine, Engine::Away { why } if why.contains("systemctl start docker")),
        )
        .await;
    scene
        .script
        .lock()
        .unwrap()
        .containers
        .insert("late".to_owned(), "exited");
    let server = serve(&path, &scene.script);
    scene
        .until("connected to the new file", |engine, known| {
            connected(engine) && known.len() == 1
        })
        .await;
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_without_end_ends_the_session_and_not_the_memory() {
    let scene = Scene::start(Script {
        streams: [("x".repeat(3 << 20), false)].into(),
        ..Script::default()
    });
    scene
        .until(
            "away",
            |engine, _| matches!(engine, Engine::Away { why } if why.contains("longer than")),
        )
        .await;
    scene
        .until("connected again", |engine, _| connected(engine))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_forbids_events_is_not_asked_without_end() {
    let scene = Scene::start(Script {
        containers: [("a".to_owned(), "running")].into(),
        forbids_events: true,
        ..Script::default()
    });
    scene
        .until(
            "away, with the refusal",
            |engine, _| matches!(engine, Engine::Away { why } if why.contains("403: Forbidden by the proxy")),
        )
        .await;
    let asked = || {
        let asked = scene.script.lock().unwrap().asked.clone();
        asked.iter().filter(|path| path.contains("/events")).count()
    };
    tokio::time::sleep(Duration::from_secs(5)).await;
    // At 0, 1, 3, 7 s ...: the waits grow although each connection begins well.
    assert!((2..=4).contains(&asked()), "{} times", asked());
}
