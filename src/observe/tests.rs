//! The document and the tables of this room say the same.

use std::collections::BTreeSet;

use super::label;
use super::metric::{self, Kind, Unit};
use crate::error::TokenErrorKind;

#[path = "../../tests/common/document.rs"]
mod document;

use document::{names, table};

const DOCUMENT: &str = include_str!("../../OBSERVABILITY.md");

#[test]
fn the_document_lists_every_metric_with_its_unit_and_labels_and_no_other() {
    let counters = table(DOCUMENT, "Counters").into_iter().map(|row| {
        let [name, labels] = [0, 1].map(|column| row[column].clone());
        (name, "counter", "count".to_owned(), labels)
    });
    let others = [("Gauges", "gauge"), ("Histogram", "histogram")].into_iter();
    let others = others.flat_map(|(heading, kind)| {
        table(DOCUMENT, heading).into_iter().map(move |row| {
            let [name, unit, labels] = [0, 1, 2].map(|column| row[column].clone());
            (name, kind, unit, labels)
        })
    });
    let listed: BTreeSet<_> = counters.chain(others).collect();

    let known = metric::ALL.iter().map(|metric| {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let unit = match metric.unit {
            Unit::Count => "count",
            Unit::Seconds => "seconds",
        };
        (metric.name.to_owned(), kind, unit.to_owned(), metric.labels.join(", "))
    });
    assert_eq!(listed, known.collect());
}

#[test]
fn names_of_metrics_say_their_kind_and_unit() {
    for metric in metric::ALL {
        assert_eq!(
            metric.name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{}",
            metric.name
        );
        let seconds = metric.name.contains("_seconds");
        assert_eq!(seconds, metric.unit == Unit::Seconds, "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
    }
}

#[test]
fn the_document_lists_every_value_of_a_closed_set_and_no_other() {
    for (heading, values) in [
        ("cause", label::CAUSES),
        ("role", label::ROLES),
        ("outcome of a token request", label::ANSWERED),
        ("outcome of a fetch", label::ENDED),
        ("verdict", label::VERDICTS),
        ("reason of a rejection that came through", label::REJECTIONS),
        ("reason of cooling", label::COOLINGS),
        ("operation of the shared store", label::STORE_OPERATIONS),
        ("answer of the shared store", label::STORE_ANSWERS),
        ("result of the shared store", label::STORE_RESULTS),
        ("Kinds of token errors", label::ERROR_KINDS),
    ] {
        let listed: Vec<_> =
            table(DOCUMENT, heading).into_iter().map(|row| row[0].clone()).collect();
        assert_eq!(listed, values, "{heading}");
    }
}

#[test]
fn the_document_explains_every_field_of_a_span_or_an_event_and_no_other() {
    let of = |heading, column: usize| {
        let rows = table(DOCUMENT, heading).into_iter();
        rows.flat_map(|row| names(&row[column]).into_iter().map(str::to_owned).collect::<Vec<_>>())
            .collect::<BTreeSet<_>>()
    };
    let used = &of("Spans", 2) | &of("Events", 2);
    assert_eq!(of("Fields", 0), used);
}

#[test]
fn an_error_kind_is_called_the_same_in_a_label_as_in_a_status() {
    use super::label::Label;
    for kind in [TokenErrorKind::Transport, TokenErrorKind::NarrowScope, TokenErrorKind::NoRuntime]
    {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.label());
    }
}
