//! What happened to containers, kept as marks for charts and as counters.

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// When, in milliseconds since the epoch.
    pub t_ms: i64,
    /// The application.
    pub app: String,
    /// Its project, or empty.
    pub project: String,
    /// The container's name.
    pub container: String,
    /// The container.
    pub id: String,
    /// `deploy`, `start`, `stop`, `exit`, `oom_kill`, `unhealthy`, `healthy`, `pause`, `unpause`, `rename`.
    pub event: &'static str,
    /// The image, for a deploy.
    pub image: String,
    /// For `stop` and `exit`.
    pub exit_code: Option<i64>,
}

/// The marks that are kept.
#[derive(Debug, Default)]
pub struct Marks {}
