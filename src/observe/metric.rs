//! The table of metrics, in Prometheus' style: base units, in the name; few labels, of few values.

#[cfg(feature = "metrics")]
use metrics::{Counter, Gauge, Histogram, Label, SharedString};

/// One metric: a series for each set of its labels' values.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    Seconds,
}

/// The table, its metrics by the names under which this room knows them, and all of them.
macro_rules! metrics {
    ($($metric:ident: $kind:ident $name:literal [$($label:literal),+] in $unit:ident, $help:literal;)+) => {
        $(
            pub(super) const $metric: &Metric = &Metric {
                name: concat!("tower_partner_auth_", $name),
                kind: Kind::$kind,
                unit: Unit::$unit,
                help: $help,
                labels: &[$($label),+],
            };
        )+

        pub(super) const ALL: &[&Metric] = &[$($metric),+];
    };
}

metrics! {
    TOKEN_REQUESTS: Counter "token_requests_total" ["scope", "outcome"] in Count,
        "Token requests that were sent, and how they ended.";
    FETCHES: Counter "fetches_total" ["scope", "cause", "outcome"] in Count,
        "Fetches, of one or more token requests each, that have ended.";
    FETCH_DURATION: Histogram "fetch_duration_seconds" ["scope", "outcome"] in Seconds,
        "From the launch of a fetch to its end.";
    FETCHES_UNDER_WAY: Gauge "fetches_under_way" ["scope"] in Count,
        "Fetches that have not ended yet.";
    WAITS: Counter "waits_total" ["scope", "cause", "role"] in Count,
        "Waits of callers for a fetch, and whether it was launched for them.";
    WAITING_CALLERS: Gauge "waiting_callers" ["scope"] in Count,
        "Callers that wait for a fetch.";
    FAILED_CALLS: Counter "failed_calls_total" ["scope", "reason"] in Count,
        "Calls that were not sent for want of a token.";
    REJECTIONS: Counter "rejections_total" ["scope", "verdict"] in Count,
        "Answers of the API that rejected the token.";
    REPLAYS: Counter "replays_total" ["scope"] in Count,
        "Requests that were sent a second time, with a newer token.";
    REJECTIONS_RETURNED: Counter "rejections_returned_total" ["scope", "reason"] in Count,
        "Rejections that came through to the caller, and why.";
    EVICTIONS: Counter "evictions_total" ["scope"] in Count,
        "Tokens that the API rejected before their time, accepting the next.";
    STORE_ANSWERS: Counter "store_answers_total" ["operation", "answer"] in Count,
        "Times that the shared store was asked, and what came of it.";
    STORE_RESULTS: Counter "store_results_total" ["scope", "result"] in Count,
        "What the shared store was to fetches.";
    TOKEN_REMAINING: Gauge "token_remaining_seconds" ["scope"] in Seconds,
        "How long the token can be used yet.";
    TOKEN_GENERATION: Gauge "token_generation" ["scope"] in Count,
        "How many tokens there have been.";
    CONSECUTIVE_FAILURES: Gauge "consecutive_failures" ["scope"] in Count,
        "Fetches that have failed since the last good one.";
    COOLING: Gauge "cooling_seconds" ["scope", "reason"] in Seconds,
        "How long the token server is left alone yet.";
}

#[cfg(feature = "metrics")]
impl Metric {
    pub(super) fn describe(&self) {
        let unit = match self.unit {
            Unit::Count => metrics::Unit::Count,
            Unit::Seconds => metrics::Unit::Seconds,
        };
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, unit, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, unit, self.help),
            Kind::Histogram => metrics::describe_histogram!(self.name, unit, self.help),
        }
    }

    /// One more.
    pub(super) fn count(&self, values: &[&str]) {
        self.counter(values).increment(1);
    }

    pub(super) fn gauge(&self, values: &[&str]) -> Gauge {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        metrics::gauge!(self.name, self.series(values))
    }

    pub(super) fn histogram(&self, values: &[&str]) -> Histogram {
        debug_assert_eq!(self.kind, Kind::Histogram, "{}", self.name);
        metrics::histogram!(self.name, self.series(values))
    }

    fn counter(&self, values: &[&str]) -> Counter {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        metrics::counter!(self.name, self.series(values))
    }

    fn series(&self, values: &[&str]) -> Vec<Label> {
        debug_assert_eq!(self.labels.len(), values.len(), "{}", self.name);
        let pairs = self.labels.iter().zip(values);
        pairs
            .map(|(label, value)| Label::new(*label, SharedString::from((*value).to_owned())))
            .collect()
    }
}
