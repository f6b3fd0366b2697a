//! Prometheus' PromQL test scripts: `load`, `eval`, `expect`.
