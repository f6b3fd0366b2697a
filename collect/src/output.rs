//! Where collectors put their families.

use std::borrow::Cow;

use model::{Family, MetricType, MetricValue};

/// One label pair.
pub(crate) type Label = (Cow<'static, str>, Cow<'static, str>);

/// A label with a name that is known when we compile.
pub(crate) fn label(name: &'static str, value: impl Into<Cow<'static, str>>) -> Label {
    (Cow::Borrowed(name), value.into())
}

/// The families of one round in the making.
#[derive(Debug, Default)]
pub(crate) struct Output {
    families: Vec<Family>,
}

impl Output {
    /// A gauge with one value and no labels.
    pub(crate) fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.families.push(Family::gauge(name, help, value));
    }

    /// A counter with one value and no labels.
    pub(crate) fn counter(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.families.push(Family::counter(name, help, value));
    }

    /// A value without labels whose name the kernel gives.
    pub(crate) fn named(&mut self, name: String, help: String, kind: MetricType, value: f64) {
        let mut family = Family::new(name, help, kind);
        family.push(Vec::new(), value);
        self.families.push(family);
    }

    /// A family with labels.
    pub(crate) fn add(&mut self, family: Family) {
        self.families.push(family);
    }

    /// Hands the families over, sorted as client_golang prints them: families by name, metrics by the values of their
    /// labels, where each metric's labels are in the order of their names already. A series that came twice is kept
    /// once, the first: a store takes one sample a series and time.
    pub(crate) fn finish(&mut self) -> Vec<Family> {
        let mut families = std::mem::take(&mut self.families);
        families.retain(|family| !family.metrics.is_empty());
        families.sort_by(|a, b| a.name.cmp(&b.name));
        for family in &mut families {
            debug_assert!(
                family
                    .metrics
                    .iter()
                    .all(|m| m.labels.is_sorted_by(|a, b| a.0 < b.0)),
                "{}",
                family.name
            );
            family.metrics.sort_by(|a, b| {
                a.labels.len().cmp(&b.labels.len()).then_with(|| {
                    a.labels
                        .iter()
                        .map(|(_, value)| value)
                        .cmp(b.labels.iter().map(|(_, value)| value))
                })
            });
            family.metrics.dedup_by(|b, a| a.labels == b.labels);
        }
        families.dedup_by(|b, a| a.name == b.name);
        // Rounds have about as many families as the last one.
        self.families.reserve(families.len());
        families
    }
}

/// Number of float samples in families; collectors make no others.
pub(crate) fn samples_len(families: &[Family]) -> usize {
    let floats = |family: &Family| {
        family
            .metrics
            .iter()
            .filter(|m| matches!(m.value, MetricValue::Float(_)))
            .count()
    };
    families.iter().map(floats).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_metrics_are_sorted_and_single() {
        let mut out = Output::default();
        let mut family = Family::new("b", "B.", MetricType::Gauge);
        for cpu in ["2", "10", "2"] {
            family.push(vec![label("cpu", cpu)], 1.0);
        }
        out.add(family);
        out.gauge("a", "A.", 1.0);
        out.add(Family::new("empty", "E.", MetricType::Gauge));
        let families = out.finish();
        assert_eq!(families.iter().map(|f| &*f.name).collect::<Vec<_>>(), ["a", "b"]);
        let cpus: Vec<_> = families[1].metrics.iter().map(|m| &*m.labels[0].1).collect();
        assert_eq!(cpus, ["10", "2"]);
        assert_eq!(samples_len(&families), 3);
    }
}
