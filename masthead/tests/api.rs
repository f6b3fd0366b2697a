//! The router as a client sees it: codes, error types and shapes of every route, over a store with two series.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop here"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use masthead::api::runner::{Limits, Runner};
use masthead::api::{About, Access, Api, router};
use masthead::app::metrics::Metrics;
use masthead::docker::Containers;
use masthead::docker::inventory::{Engine, Known};
use masthead::docker::known::AllowList;
use masthead::docker::marks::{Mark, Marks};
use masthead::ingest::Sink;
use masthead::live::Live;
use masthead::remote_write::Receiver;
use masthead::scrape::{TargetHandle, Targets};
use model::{Batch, Family, Labels, Querier};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// A server over a store of its own.
struct Server {
    router: Router,
    _folder: tempfile::TempDir,
    _target: TargetHandle,
}

fn limits() -> Limits {
    masthead::app::limits(2, 10_000, 100_000, 300_000)
}

fn store(folder: &std::path::Path) -> Arc<tsdb::Db> {
    let dir = tsdb::dir::RealDir::new(folder.to_owned()).unwrap();
    let (db, warnings) = tsdb::Db::open(Arc::new(dir), tsdb::Options::default(), 1_000_000).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let mut batch = Batch::new();
    for (job, value) in [("a", 1.0), ("b", 2.0)] {
        batch.series(&Labels::from_pairs([("__name__", "up"), ("job", job)]));
        for t_ms in [1_000_000, 1_015_000, 1_030_000] {
            batch.push(t_ms, value);
        }
    }
    assert_eq!(db.commit(&batch).unwrap().appended, 6);
    Arc::new(db)
}

/// Two containers, one of them ended, and what happened to them.
fn containers() -> Containers {
    let marks = Marks::default();
    for (t_ms, event, exit_code) in [
        (5_000, "deploy", None),
        (6_500, "exit", Some(3)),
        (7_000, "start", None),
    ] {
        marks.add(Mark {
            t_ms,
            app: "shop-web".to_owned(),
            project: "shop".to_owned(),
            container: "shop-web-1".to_owned(),
            id: "1f".to_owned(),
            event,
            image: if event == "deploy" { "nginx:1" } else { "" }.to_owned(),
            exit_code,
        });
    }
    let containers = Containers::new(&collect::ContainerOptions::default(), AllowList::default(), marks);
    let known = Known {
        id: "1f".to_owned(),
        name: "shop-web-1".to_owned(),
        image: "nginx:1".to_owned(),
        app: "shop-web".to_owned(),
        project: "shop".to_owned(),
        state: "exited".to_owned(),
        exit_code: Some(3),
        restarts: 2,
        created_ms: 4_500,
        finished_ms: 6_500,
        labels: vec![
            ("com.docker.compose.project".to_owned(), "shop".to_owned()),
            ("password".to_owned(), "hunter2".to_owned()),
        ],
        ..Known::default()
    };
    let away = Engine::Away {
        why: "no socket; start it".to_owned(),
    };
    containers.inventory.set(away, vec![known]);
    containers
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = store(folder.path());
        let targets = Arc::new(Targets::default());
        let target =
            targets.register_local("node-exporter", "web1:9100", "http://x", Duration::from_secs(15));
        target.metadata().set_families(&[
            Family::gauge("node_load1", "1m load average.", 1.0),
            Family::gauge("node_load5", "5m load average.", 1.0),
        ]);
        let api = Api {
            runner: Runner::new(Arc::clone(&db) as Arc<dyn Querier>, limits()),
            receiver: Arc::new(Receiver::new(Arc::clone(&db) as Arc<dyn Sink>)),
            db,
            targets,
            metrics: Arc::new(Metrics::new(0)),
            host: Mutex::new(collect::HostCollector::new(&collect::Options::default())),
            live: Arc::new(Live::new(
                collect::Paths::default(),
                None,
                CancellationToken::new(),
            )),
            containers: Some(Arc::new(containers())),
            servers: Arc::default(),
            about: About {
                start_ms: 0,
                hostname: "web1".to_owned(),
                config_yaml: "global: {}\n".to_owned(),
                flags: vec![("listen".to_owned(), "127.0.0.1:9090".to_owned())],
                retention: "15d or 1.0GiB".to_owned(),
                cwd: "/".to_owned(),
                interval_ms: 15_000,
                damaged_files: 0,
            },
        };
        Self {
            router: router(Arc::new(api), Access::new(None, false, "web1", &[])),
            _folder: folder,
            _target: target,
        }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let what = format!("{} {}", request.method(), request.uri());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let code = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&body)
            .unwrap_or_else(|e| panic!("{what}: {e}: {}", String::from_utf8_lossy(&body)));
        (code, value)
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let uri = format!("/api/v1/{path}");
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, kind: &str, body: &str) -> (StatusCode, Value) {
        let request = Request::post(format!("/api/v1/{path}"))
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body.to_owned()))
            .unwrap();
        self.send(request).await
    }

    async fn good(&self, path: &str, want: Value) {
        let (code, value) = self.get(path).await;
        assert_eq!(code, StatusCode::OK, "{path}: {value}");
        assert_eq!(value["status"], "success", "{path}");
        assert_eq!(value["data"], want, "{path}");
    }

    async fn bad(&self, path: &str, code: u16, kind: &str, words: &str) {
        let (got, value) = self.get(path).await;
        assert_eq!(got.as_u16(), code, "{path}: {value}");
        assert_eq!(value["status"], "error", "{path}");
        assert_eq!(value["errorType"], kind, "{path}: {value}");
        assert!(
            value["error"].as_str().unwrap().contains(words),
            "{path}: {value}"
        );
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_have_upstreams_shapes() {
    let server = Server::start();
    let up = |job| json!({ "__name__": "up", "job": job });
    let vector = json!({ "resultType": "vector", "result": [
        { "metric": up("a"), "value": [1030, "1"] }, { "metric": up("b"), "value": [1030, "2"] },
    ]});
    server.good("query?query=up&time=1030", vector).await;
    let scalar = json!({ "resultType": "scalar", "result": [5.5, "3"] });
    server.good("query?query=1%2B2&time=5.5", scalar).await;
    let string = json!({ "resultType": "string", "result": [5, "x"] });
    server.good("query?query=%22x%22&time=5", string).await;
    let samples = json!([[1000, "1"], [1015, "1"], [1030, "1"]]);
    let matrix = json!({ "resultType": "matrix", "result": [{ "metric": up("a"), "values": samples }] });
    server
        .good(
            "query?query=up%7Bjob=%22a%22%7D%5B1m%5D&time=1030",
            matrix.clone(),
        )
        .await;
    server
        .good(
            "query_range?query=up%7Bjob=%22a%22%7D&start=1000&end=1030&step=15s",
            matrix,
        )
        .await;
    server.good("query_exemplars?query=up", json!([])).await;
    server
        .good("format_query?query=sum(up)by(job)", json!("sum by (job) (up)"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_queries_have_upstreams_codes() {
    let server = Server::start();
    for (path, code, kind, words) in [
        ("query", 400, "bad_data", "invalid parameter \"query\""),
        ("query?query=sum(", 400, "bad_data", "parse error"),
        (
            "query?query=up&time=soon",
            400,
            "bad_data",
            "invalid parameter \"time\"",
        ),
        (
            "query?query=up&timeout=x",
            400,
            "bad_data",
            "invalid parameter \"timeout\"",
        ),
        ("query?query=up&timeout=0", 503, "timeout", "timed out"),
        ("query?query=up&timeout=-5", 503, "timeout", "timed out"),
        ("query?query=up&limit=-1", 400, "bad_data", "limit"),
        ("query?query=up&lookback_delta=0", 400, "bad_data", "lookback"),
        ("query?query=topk(NaN,up)&time=1030", 422, "execution", "NaN"),
        (
            "query?query=max_over_time(vector(1)%5B10y:1s%5D)",
            422,
            "execution",
            "too many samples",
        ),
    ] {
        server.bad(path, code, kind, words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_ranges_have_upstreams_codes() {
    let server = Server::start();
    for (path, code, kind, words) in [
        (
            "query_range?query=up",
            400,
            "bad_data",
            "invalid parameter \"start\"",
        ),
        (
            "query_range?query=up&start=1&step=1",
            400,
            "bad_data",
            "invalid parameter \"end\"",
        ),
        (
            "query_range?query=up&start=1&end=2",
            400,
            "bad_data",
            "invalid parameter \"step\"",
        ),
        (
            "query_range?query=up&start=2&end=1&step=1",
            400,
            "bad_data",
            "must not be before",
        ),
        (
            "query_range?query=up&start=0&end=20000&step=1",
            400,
            "bad_data",
            "11,000 points",
        ),
        (
            "query_range?query=up&start=1&end=2&step=0",
            400,
            "bad_data",
            "zero or negative",
        ),
        (
            "query_range?query=up%5B5m%5D&start=1&end=2&step=1",
            400,
            "bad_data",
            "range vector",
        ),
        (
            "query_exemplars?query=up&start=2&end=1",
            400,
            "bad_data",
            "before start timestamp",
        ),
        ("format_query?query=(", 400, "bad_data", "parse error"),
        ("nope", 404, "not_found", "/api/v1/nope"),
    ] {
        server.bad(path, code, kind, words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_posted_form_is_read_like_a_query_string() {
    let server = Server::start();
    let (code, value) = server.post("query?query=2&time=5", FORM, "query=1").await;
    assert_eq!(
        (code, &value["data"]["result"]),
        (StatusCode::OK, &json!([5, "1"]))
    );
    let kind = format!("{FORM}; charset=UTF-8");
    let (code, value) = server.post("labels", &kind, "match%5B%5D=up").await;
    assert_eq!(
        (code, &value["data"]),
        (StatusCode::OK, &json!(["__name__", "job"]))
    );
    let (code, value) = server
        .post("query", "application/json", r#"{"query":"up"}"#)
        .await;
    assert_eq!(code, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(value["error"].as_str().unwrap().contains(FORM), "{value}");
    let (code, _) = server.post("query?query=1", "application/json", "").await;
    assert_eq!(code, StatusCode::OK);
    let large = format!("query={}", "a".repeat(2 << 20));
    let (code, value) = server.post("query", FORM, &large).await;
    assert_eq!(code, StatusCode::PAYLOAD_TOO_LARGE, "{value}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_can_be_asked() {
    let server = Server::start();
    let up = |job| json!({ "__name__": "up", "job": job });
    server
        .good("series?match%5B%5D=up", json!([up("a"), up("b")]))
        .await;
    server.good("labels", json!(["__name__", "job"])).await;
    server.good("label/job/values", json!(["a", "b"])).await;
    server.good("label/U__job/values", json!(["a", "b"])).await;
    server
        .good("label/job/values?match%5B%5D=up%7Bjob=%22b%22%7D", json!(["b"]))
        .await;
    server
        .good("label/job/values?start=2000&end=3000", json!([]))
        .await;
    let always = "start=-292273086-05-16T16:47:06Z&end=%2B292277025-08-18T07:12:54.999999999Z";
    server
        .good(&format!("label/job/values?{always}"), json!(["a", "b"]))
        .await;
    for (path, want) in [
        ("series?match%5B%5D=up&limit=1", json!([up("a")])),
        ("labels?limit=1", json!(["__name__"])),
        ("label/job/values?limit=1", json!(["a"])),
    ] {
        let (_, value) = server.get(path).await;
        assert_eq!(value["data"], want, "{path}");
        assert_eq!(
            value["warnings"],
            json!(["results truncated due to limit"]),
            "{path}"
        );
    }
    for path in ["series?match%5B%5D=up&limit=2", "labels?limit=0"] {
        let (_, value) = server.get(path).await;
        assert_eq!(value["warnings"], Value::Null, "{path}");
    }
    for (path, words) in [
        ("series", "no match[] parameter provided"),
        ("series?match%5B%5D=%7B%7D", "non-empty matcher"),
        ("series?match%5B%5D=rate(up%5B5m%5D)", "series selector"),
        ("labels?start=2&end=1", "before start time"),
        ("label/%FF/values", "label name"),
    ] {
        server.bad(path, 400, "bad_data", words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_takes_its_limits_at_their_word() {
    let server = Server::start();
    let entry = |help: &str| json!([{ "type": "gauge", "help": help, "unit": "" }]);
    let one = json!({ "node_load1": entry("1m load average.") });
    let both = json!({ "node_load1": entry("1m load average."), "node_load5": entry("5m load average.") });
    server.good("metadata", both.clone()).await;
    server.good("metadata?limit=-1", both).await;
    server.good("metadata?limit=0", json!({})).await;
    server.good("metadata?limit=1", one.clone()).await;
    server.good("metadata?metric=node_load1", one).await;
    server
        .bad("metadata?limit=x", 400, "bad_data", "must be a number")
        .await;
    let target = json!({ "instance": "web1:9100", "job": "node-exporter" });
    let row = json!([{ "target": target, "type": "gauge", "help": "1m load average.", "unit": "" }]);
    server
        .good(
            "targets/metadata?metric=node_load1&match_target=%7Bjob=%22node-exporter%22%7D",
            row,
        )
        .await;
    server
        .bad(
            "targets/metadata?match_target=%7Bjob=%22x%22%7D",
            404,
            "not_found",
            "not found",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_status_page_answers() {
    let server = Server::start();
    for path in [
        "targets",
        "targets?state=dropped",
        "rules",
        "rules?type=alert",
        "alerts",
        "alertmanagers",
        "notifications",
        "status/buildinfo",
        "status/runtimeinfo",
        "status/flags",
        "status/config",
        "status/tsdb",
        "status/walreplay",
    ] {
        let (code, value) = server.get(path).await;
        assert_eq!(code, StatusCode::OK, "{path}: {value}");
        assert_eq!(value["status"], "success", "{path}");
    }
    server.bad("rules?type=x", 400, "bad_data", "not supported").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_and_their_events_can_be_asked() {
    let server = Server::start();
    let ask = async |path: &str| {
        let request = Request::get(format!("/api/masthead/v1/{path}"));
        server.send(request.body(Body::empty()).unwrap()).await
    };
    let (_, value) = ask("containers").await;
    assert_eq!(
        value["data"],
        json!({
            "engine": { "state": "away", "message": "no socket; start it" },
            // A label that is not on the allow-list may be a secret.
            "containers": [{ "id": "1f", "name": "shop-web-1", "image": "nginx:1", "app": "shop-web", "project": "shop",
                "state": "exited", "health": "", "exitCode": 3, "restarts": 2, "oomKills": 0, "createdAt": 4.5,
                "startedAt": null, "finishedAt": 6.5, "labels": { "com.docker.compose.project": "shop" } }],
        })
    );
    let base = json!({ "app": "shop-web", "project": "shop", "container": "shop-web-1", "id": "1f" });
    let event = |more: Value| {
        let mut row = base.clone();
        row.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        row
    };
    let deploy = event(json!({ "time": 5.0, "event": "deploy", "image": "nginx:1" }));
    let exit = event(json!({ "time": 6.5, "event": "exit", "exitCode": 3 }));
    let start = event(json!({ "time": 7.0, "event": "start" }));
    for (query, rows, truncated) in [
        ("start=0&end=10", vec![&deploy, &exit, &start], false),
        ("start=5&end=6.5", vec![&deploy, &exit], false),
        ("start=0&end=10&limit=1", vec![&start], true),
        (
            "start=0&end=10&app=shop-web&limit=3",
            vec![&deploy, &exit, &start],
            false,
        ),
        ("start=0&end=10&app=other", vec![], false),
        ("", vec![], false),
    ] {
        let (_, value) = ask(&format!("events?{query}")).await;
        assert_eq!(
            value["data"],
            json!({ "events": rows, "truncated": truncated }),
            "{query}"
        );
    }
    for (query, words) in [
        ("start=2&end=1", "before start"),
        ("start=x", "start"),
        ("limit=-1", "limit"),
    ] {
        let (code, value) = ask(&format!("events?{query}")).await;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{query}");
        assert!(
            value["error"].as_str().unwrap().contains(words),
            "{query}: {value}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn container_metrics_are_text() {
    let server = Server::start();
    let request = Request::get("/metrics/containers").body(Body::empty()).unwrap();
    let response = server.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    for line in [
        "masthead_container_state{app=\"shop-web\",id=\"1f\",image=\"nginx:1\",name=\"shop-web-1\",project=\"shop\",state=\"exited\"} 1\n",
        "masthead_container_events_total{app=\"shop-web\",event=\"exit\"} 1\n",
        "# TYPE masthead_container_restarts_total counter\n",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_and_paths_are_told_apart() {
    let server = Server::start();
    for (method, path, want) in [
        (Method::HEAD, "/api/v1/query?query=1", 200),
        (Method::HEAD, "/metrics", 200),
        (Method::HEAD, "/-/healthy", 200),
        (Method::HEAD, "/", 200),
        (Method::PUT, "/api/v1/query", 405),
        (Method::POST, "/api/v1/targets", 405),
        (Method::GET, "/api/v1/write", 405),
        (Method::POST, "/", 405),
        (Method::GET, "/explore", 200),
        (Method::GET, "/nope.js", 404),
        // A program must not take the page for an answer.
        (Method::GET, "/api", 404),
        (Method::DELETE, "/api/v1/nope", 404),
        (Method::GET, "/metrics/nope", 404),
        (Method::GET, "/-/nope", 404),
        (Method::POST, "/-/reload", 404),
        (Method::GET, "/federate", 404),
    ] {
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let response = server.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), want, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_sites_page_cannot_write() {
    let server = Server::start();
    let request = Request::post("/api/v1/write")
        .header(header::HOST, "127.0.0.1:9090")
        .header(header::ORIGIN, "http://evil.example")
        .body(Body::empty())
        .unwrap();
    let (code, value) = server.send(request).await;
    assert_eq!(
        (code, &value["errorType"]),
        (StatusCode::FORBIDDEN, &json!("forbidden"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_sites_name_is_not_answered_to() {
    let server = Server::start();
    for (host, want) in [
        ("127.0.0.1:9090", StatusCode::OK),
        ("localhost:19090", StatusCode::OK),
        ("web1:9090", StatusCode::OK),
        ("evil.example:9090", StatusCode::FORBIDDEN),
    ] {
        let request = Request::get("/api/v1/query?query=1")
            .header(header::HOST, host)
            .body(Body::empty())
            .unwrap();
        let (code, value) = server.send(request).await;
        assert_eq!(code, want, "{host}: {value}");
        if want == StatusCode::FORBIDDEN {
            let words = value["error"].as_str().unwrap();
            assert!(words.contains("--allow-host"), "{words}");
        }
    }
}
