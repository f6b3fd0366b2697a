//! A block's `meta.json`: what is read of it, and what is written.

use serde_json::{Value, json};
use tsdb::prometheus::{SourceMeta, WrittenBlock};

/// What a block of Prometheus' says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockMeta {
    /// Its folder.
    pub(super) name: String,
    /// Time from which on it has samples.
    pub(super) min_ms: i64,
    /// All samples are before.
    pub(super) max_ms: i64,
    /// Made from the head in order of time, so that the log's samples before `max_ms` are in it.
    in_order: bool,
}

impl BlockMeta {
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|e| format!("this is not JSON: {e}"))?;
        let number = |key: &str| {
            let value = json.get(key).and_then(Value::as_i64);
            value.ok_or_else(|| format!("`{key}` is missing or not a number"))
        };
        match number("version")? {
            1 => {}
            version => return Err(format!("a block of version {version}, of which 1 is known")),
        }
        // Blocks of samples out of order, and of series that ended, carry a hint: the head goes on beside them.
        let hints = json.pointer("/compaction/hints").and_then(Value::as_array);
        Ok(Self {
            name: name.to_owned(),
            min_ms: number("minTime")?,
            max_ms: number("maxTime")?,
            in_order: hints.is_none_or(Vec::is_empty),
        })
    }

    /// What the reader of blocks needs.
    pub(super) fn source(&self) -> SourceMeta {
        SourceMeta {
            name: self.name.clone(),
            max_ms: self.max_ms,
            in_order: self.in_order,
        }
    }
}

/// The file for a block that we wrote.
pub(super) fn render(block: &WrittenBlock) -> Vec<u8> {
    let json = json!({
        "ulid": block.name,
        "minTime": block.min_ms,
        "maxTime": block.max_ms.saturating_add(1),
        "stats": {
            "numSamples": block.samples,
            "numFloatSamples": block.samples,
            "numSeries": block.series,
            "numChunks": block.chunks,
        },
        "compaction": { "level": 1, "sources": [block.name] },
        "version": 1,
    });
    format!("{json:#}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prometheus_writes_is_read() {
        let text = r#"{"ulid": "01ARYZ6S410000000000000000", "minTime": -5, "maxTime": 7200000, "stats": {"numSamples": 3},
            "compaction": {"level": 1, "sources": ["01ARYZ6S410000000000000000"], "hints": ["from-out-of-order"]}, "version": 1}"#;
        let meta = BlockMeta::parse("a", text).unwrap();
        assert_eq!((meta.min_ms, meta.max_ms, meta.in_order), (-5, 7_200_000, false));
        let plain = text.replace(r#", "hints": ["from-out-of-order"]"#, "");
        assert!(BlockMeta::parse("a", &plain).unwrap().in_order);
        for (from, to, want) in [
            ("\"version\": 1", "\"version\": 2", "version 2"),
            ("\"maxTime\": 7200000, ", "", "`maxTime` is missing"),
            ("{\"ulid\"", "\"ulid\"", "not JSON"),
        ] {
            let error = BlockMeta::parse("a", &text.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let block = WrittenBlock {
            name: "b".to_owned(),
            min_ms: 10,
            max_ms: 20,
            series: 1,
            samples: 2,
            chunks: 1,
            bytes: 100,
        };
        let meta = BlockMeta::parse("b", &String::from_utf8(render(&block)).unwrap()).unwrap();
        assert_eq!((meta.min_ms, meta.max_ms, meta.in_order), (10, 21, true));
    }
}
