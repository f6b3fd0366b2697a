//! A walk over a `prometheus.WriteRequest` (remote write 1.0) in place: nothing is copied, every offset is checked.
//!
//! ```text
//!   WriteRequest  1: TimeSeries*    3: MetricMetadata*
//!   TimeSeries    1: Label*         2: Sample*    3: Exemplar*    4: Histogram*
//!   Label         1: name           2: value
//!   Sample        1: value (fixed64, a double)    2: timestamp (varint, milliseconds)
//!
//!   0a len { 0a len {name value}  0a len {name value} ... 12 len {09 value 10 t}  12 len {...} }
//!            '---------- label bytes: the series' key ---'
//! ```
//!
//! Senders write the labels of a series one after the other, so their bytes, tags and lengths included, name the series:
//! [`Series::key`]. Fields that this version of the format does not know are skipped, as protobuf asks.

/// Where a body stops making sense, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the protobuf message is broken at byte {offset}: {what}")]
pub struct WalkError {
    /// Byte of the uncompressed body.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// A stretch of the body with a place in it; offsets are those of the whole body.
#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, what: &'static str) -> WalkError {
        WalkError {
            offset: self.at,
            what,
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WalkError> {
        // Tags and most lengths are one byte.
        match self.body[self.at..self.end].first() {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WalkError> {
        let mut value = 0u64;
        for (i, byte) in self.body[self.at..self.end].iter().take(10).enumerate() {
            if i == 9 && *byte > 1 {
                return Err(self.error("a number has more than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.error("a number is cut short"))
    }

    /// The next field's number and wire type, `None` at the end.
    #[inline]
    fn tag(&mut self) -> Result<Option<(u64, u8)>, WalkError> {
        if self.at == self.end {
            return Ok(None);
        }
        let tag = self.varint()?;
        if tag >> 3 == 0 {
            return Err(self.error("a field has the number 0"));
        }
        let [wire, ..] = (tag & 7).to_le_bytes();
        Ok(Some((tag >> 3, wire)))
    }

    /// A field with a length before it.
    #[inline]
    fn bytes(&mut self) -> Result<Self, WalkError> {
        let len = self.varint()?;
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        match end.filter(|end| *end <= self.end) {
            Some(end) => {
                let inner = Self {
                    body: self.body,
                    at: self.at,
                    end,
                };
                self.at = end;
                Ok(inner)
            }
            None => Err(self.error("a field is longer than its message")),
        }
    }

    #[inline]
    fn fixed64(&mut self) -> Result<u64, WalkError> {
        match self.body[self.at..self.end].first_chunk::<8>() {
            Some(bytes) => {
                self.at += 8;
                Ok(u64::from_le_bytes(*bytes))
            }
            None => Err(self.error("a number is cut short")),
        }
    }

    fn skip(&mut self, wire: u8) -> Result<(), WalkError> {
        match wire {
            VARINT => self.varint().map(|_| ()),
            FIXED64 => self.fixed64().map(|_| ()),
            BYTES => self.bytes().map(|_| ()),
            FIXED32 if self.end - self.at >= 4 => {
                self.at += 4;
                Ok(())
            }
            FIXED32 => Err(self.error("a number is cut short")),
            _ => Err(self.error("an unknown wire type")),
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.body[self.at..self.end]
    }
}

/// The fields of one number inside a message: one run of bytes when they stand together, as they mostly do.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    end: usize,
    together: bool,
}

impl Run {
    const NONE: Self = Self {
        start: 0,
        end: 0,
        together: true,
    };

    #[inline]
    fn add(&mut self, start: usize, end: usize) {
        if self.end == 0 {
            self.start = start;
        } else if self.end != start {
            self.together = false;
        }
        self.end = end;
    }
}

/// One part of a request.
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// A series with its samples.
    Series(Series<'a>),
    /// A family's type and help, which remote write sends now and then.
    Metadata,
}

/// The parts of a request, in order; after an error it ends.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    reader: Reader<'a>,
}

/// Starts a walk over an uncompressed body.
#[must_use]
pub fn items(body: &[u8]) -> Items<'_> {
    Items {
        reader: Reader {
            body,
            at: 0,
            end: body.len(),
        },
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, WalkError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step();
        if item.is_err() {
            self.reader.at = self.reader.end;
        }
        item.transpose()
    }
}

impl<'a> Items<'a> {
    #[inline]
    fn step(&mut self) -> Result<Option<Item<'a>>, WalkError> {
        loop {
            match self.reader.tag()? {
                None => return Ok(None),
                Some((1, BYTES)) => return Ok(Some(Item::Series(Series::read(self.reader.bytes()?)?))),
                Some((3, BYTES)) => {
                    self.reader.bytes()?;
                    return Ok(Some(Item::Metadata));
                }
                Some((1 | 3, _)) => {
                    return Err(self.reader.error("a series or metadata with a wrong wire type"));
                }
                Some((_, wire)) => self.reader.skip(wire)?,
            }
        }
    }
}

/// A series of the request, borrowed from the body.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    message: Reader<'a>,
    labels: Run,
    samples: Run,
    /// Number of exemplars.
    pub exemplars: usize,
    /// Number of native histograms.
    pub histograms: usize,
}

impl<'a> Series<'a> {
    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, WalkError> {
        let mut series = Self {
            message,
            labels: Run::NONE,
            samples: Run::NONE,
            exemplars: 0,
            histograms: 0,
        };
        let mut reader = message;
        loop {
            let start = reader.at;
            match reader.tag()? {
                None => return Ok(series),
                Some((1, BYTES)) => {
                    reader.bytes()?;
                    series.labels.add(start, reader.at);
                }
                Some((2, BYTES)) => {
                    reader.bytes()?;
                    series.samples.add(start, reader.at);
                }
                Some((3, BYTES)) => {
                    reader.bytes()?;
                    series.exemplars += 1;
                }
                Some((4, BYTES)) => {
                    reader.bytes()?;
                    series.histograms += 1;
                }
                Some((1..=4, _)) => return Err(reader.error("a part of a series has a wrong wire type")),
                Some((_, wire)) => reader.skip(wire)?,
            }
        }
    }

    /// The label messages as they stand in the body: equal bytes are equal labels. `None` when they do not stand
    /// together, which no known sender does.
    #[inline]
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.labels
            .together
            .then(|| &self.message.body[self.labels.start..self.labels.end])
    }

    /// Where [`Series::key`] stands in the body; empty when there is none.
    #[inline]
    #[must_use]
    pub fn key_range(&self) -> std::ops::Range<usize> {
        if self.labels.together {
            self.labels.start..self.labels.end
        } else {
            0..0
        }
    }

    /// The labels in the sender's order.
    #[must_use]
    pub fn labels(&self) -> LabelPairs<'a> {
        LabelPairs {
            reader: self.run(self.labels),
        }
    }

    /// The float samples: time in milliseconds, value.
    #[inline]
    #[must_use]
    pub fn samples(&self) -> SampleList<'a> {
        SampleList {
            reader: self.run(self.samples),
        }
    }

    /// Where to look for the fields of a run: only there, or, when other fields stand between, in the whole message.
    #[inline]
    fn run(&self, run: Run) -> Reader<'a> {
        if run.together {
            Reader {
                body: self.message.body,
                at: run.start,
                end: run.end,
            }
        } else {
            self.message
        }
    }
}

/// The labels of a [`Series`].
#[derive(Debug, Clone)]
pub struct LabelPairs<'a> {
    reader: Reader<'a>,
}

impl<'a> LabelPairs<'a> {
    fn step(&mut self) -> Result<Option<(&'a str, &'a str)>, LabelFault> {
        loop {
            match self.reader.tag()? {
                None => return Ok(None),
                Some((1, BYTES)) => {
                    let mut label = self.reader.bytes()?;
                    let (mut name, mut value) = (&b""[..], &b""[..]);
                    while let Some((field, wire)) = label.tag()? {
                        match (field, wire) {
                            (1, BYTES) => name = label.bytes()?.rest(),
                            (2, BYTES) => value = label.bytes()?.rest(),
                            (1 | 2, _) => return Err(label.error("a label has a wrong wire type").into()),
                            (_, wire) => label.skip(wire)?,
                        }
                    }
                    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| LabelFault::InvalidUtf8);
                    return Ok(Some((text(name)?, text(value)?)));
                }
                Some((_, wire)) => self.reader.skip(wire)?,
            }
        }
    }
}

/// Why a label cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelFault {
    /// The message is broken.
    #[error(transparent)]
    Broken(#[from] WalkError),
    /// A name or value is not text.
    #[error("a label is not valid UTF-8")]
    InvalidUtf8,
}

impl<'a> Iterator for LabelPairs<'a> {
    type Item = Result<(&'a str, &'a str), LabelFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step();
        if item.is_err() {
            self.reader.at = self.reader.end;
        }
        item.transpose()
    }
}

/// The samples of a [`Series`].
#[derive(Debug, Clone)]
pub struct SampleList<'a> {
    reader: Reader<'a>,
}

impl SampleList<'_> {
    #[inline]
    fn step(&mut self) -> Result<Option<(i64, f64)>, WalkError> {
        loop {
            match self.reader.tag()? {
                None => return Ok(None),
                Some((2, BYTES)) => {
                    let mut sample = self.reader.bytes()?;
                    let (mut t_ms, mut bits) = (0i64, 0u64);
                    while let Some((field, wire)) = sample.tag()? {
                        match (field, wire) {
                            (1, FIXED64) => bits = sample.fixed64()?,
                            (2, VARINT) => t_ms = sample.varint()?.cast_signed(),
                            (1 | 2, _) => return Err(sample.error("a sample has a wrong wire type")),
                            (_, wire) => sample.skip(wire)?,
                        }
                    }
                    return Ok(Some((t_ms, f64::from_bits(bits))));
                }
                Some((_, wire)) => self.reader.skip(wire)?,
            }
        }
    }
}

impl Iterator for SampleList<'_> {
    type Item = Result<(i64, f64), WalkError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step();
        if item.is_err() {
            self.reader.at = self.reader.end;
        }
        item.transpose()
    }
}
