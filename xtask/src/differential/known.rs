//! Where Prometheus changed between the oracle's version (3.5) and the one that we follow (3.14): reviewed by hand, each
//! construct with the line of upstream's changelog.

use super::queries::Query;

/// A construct whose answers may differ.
struct Known {
    /// A query with this text in it is excused.
    text: &'static str,
    /// Upstream's changelog: version and line.
    changelog: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        text: "topk(scalar(count(alive",
        changelog: "3.6.0: [BUGFIX] PromQL: Fail when `NaN` is passed as parameter to `topk()`, `bottomk()`, `limitk()` and \
                    `limit_ratio()`. #16725",
    },
    Known {
        text: "histogram_fraction(0, 0.2,",
        changelog: "3.8.0: [BUGFIX] PromQL: Fix `histogram_fraction` for classic histograms and NHCB if lower bound is in the \
                    first bucket. #17424",
    },
];

/// Why the answers to a query may differ, if they may.
pub(crate) fn reason(query: &Query) -> Option<&'static str> {
    KNOWN
        .iter()
        .find(|known| query.text.contains(known.text))
        .map(|known| known.changelog)
}

/// What Masthead's engine lacks today and says so: such a query is reported as skipped, by name. An entry goes when the
/// function comes; until then the answer must be the clear error.
const LACKING: &[&str] = &[];

/// Does the engine lack what the query asks for?
pub(crate) fn is_lacking(query: &Query) -> bool {
    LACKING.iter().any(|text| query.text.contains(text))
}
