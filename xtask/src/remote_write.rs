//! Making remote write v1 requests by hand: protobuf in snappy's block format.
//!
//! ```text
//! WriteRequest { 1: repeated TimeSeries }
//! TimeSeries   { 1: repeated Label, 2: repeated Sample }
//! Label        { 1: name, 2: value }        Sample { 1: double value, 2: int64 timestamp in ms }
//! ```

use anyhow::{Result, bail};

use crate::http::{Connection, clip};

/// The value whose bits mark a series as ended; it differs from every other NaN.
pub(crate) const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// A series: its labels, sorted by name, and samples as (milliseconds, value).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// Sorted by name; `__name__` among them.
    pub(crate) labels: Vec<(String, String)>,
    /// In order of time.
    pub(crate) samples: Vec<(i64, f64)>,
}

impl Series {
    /// A series of a metric with labels in any order.
    pub(crate) fn new(metric: &str, labels: &[(&str, &str)]) -> Self {
        let mut all: Vec<(String, String)> = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        all.push(("__name__".into(), metric.into()));
        all.sort();
        Self {
            labels: all,
            samples: Vec::new(),
        }
    }
}

/// The protobuf message of some series.
pub(crate) fn encode<'a>(series: impl IntoIterator<Item = &'a Series>) -> Vec<u8> {
    let mut message = Vec::new();
    for one in series {
        field(&mut message, 1, &time_series(&labels(&one.labels), &one.samples));
    }
    message
}

/// The encoded labels of a series: fixed for its life, so that a load generator makes them once.
pub(crate) fn labels(labels: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        let mut label = Vec::new();
        field(&mut label, 1, name.as_bytes());
        field(&mut label, 2, value.as_bytes());
        field(&mut out, 1, &label);
    }
    out
}

/// The body of a `TimeSeries` message from its encoded labels and its samples.
pub(crate) fn time_series(labels: &[u8], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = labels.to_vec();
    for (timestamp_ms, value) in samples {
        let mut sample = vec![1 << 3 | 1];
        sample.extend_from_slice(&value.to_le_bytes());
        sample.push(2 << 3);
        // Protobuf writes a negative int64 as the ten bytes of its two's complement.
        varint(&mut sample, timestamp_ms.cast_unsigned());
        field(&mut out, 2, &sample);
    }
    out
}

/// Appends a length-delimited field.
pub(crate) fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

/// Appends a field that is a number.
pub(crate) fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    varint(out, value);
}

/// Appends a number in groups of seven bits.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Compresses a message.
pub(crate) fn compress(message: &[u8]) -> Result<Vec<u8>> {
    Ok(snap::raw::Encoder::new().compress_vec(message)?)
}

/// The headers of a remote write request.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("Content-Type", "application/x-protobuf"),
    ("Content-Encoding", "snappy"),
    ("X-Prometheus-Remote-Write-Version", "0.1.0"),
];

/// Sends a compressed message; anything but 2xx is an error with the server's words.
pub(crate) fn post(connection: &mut Connection, path: &str, body: &[u8]) -> Result<()> {
    let response = connection.send("POST", path, HEADERS, body)?;
    if response.status / 100 != 2 {
        bail!(
            "remote write was answered {}: {}",
            response.status,
            clip(&response.text())
        );
    }
    Ok(())
}

/// Sends series to a server.
pub(crate) fn write(address: &str, path: &str, series: &[Series]) -> Result<()> {
    let mut connection = Connection::open(address)?;
    post(&mut connection, path, &compress(&encode(series))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_bytes_that_the_protocol_draws() {
        let mut series = Series::new("up", &[("a", "b")]);
        series.samples.push((300, 1.0));
        let want = [
            10, 38, // WriteRequest.timeseries, 38 bytes
            10, 14, 10, 8, b'_', b'_', b'n', b'a', b'm', b'e', b'_', b'_', 18, 2, b'u',
            b'p', // __name__="up"
            10, 6, 10, 1, b'a', 18, 1, b'b', // a="b"
            18, 12, 9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 16, 0xac, 2, // 1 at 300 ms
        ];
        assert_eq!(encode(&[series]), want);
    }

    #[test]
    fn a_compressed_message_comes_back() {
        let message = vec![7; 5000];
        let bytes = compress(&message).expect("snappy");
        assert!(bytes.len() < 1000);
        assert_eq!(
            snap::raw::Decoder::new().decompress_vec(&bytes).expect("snappy"),
            message
        );
    }
}
