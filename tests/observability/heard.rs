//! All that is told through `tracing` and `metrics` on this thread, as it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, LocalRecorderGuard, Metadata as Origin,
    Recorder, SharedString, Unit,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber, subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// A span or an event: its name, level and fields.
pub(crate) type Shape = (String, String, BTreeSet<String>);

/// What is told as long as it lives.
pub(crate) struct Heard {
    told: Told,
    books: &'static Books,
    _recorder: LocalRecorderGuard<'static>,
    _subscriber: subscriber::DefaultGuard,
}

/// A series of a metric: its name and labels.
pub(crate) type Series = (String, BTreeMap<String, String>);

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Said>>>);

/// One event, or the beginning of a span.
#[derive(Clone)]
pub(crate) struct Said {
    pub(crate) shape: Shape,
    pub(crate) is_span: bool,
    pub(crate) values: BTreeMap<String, String>,
    /// The fields of the span around it.
    pub(crate) around: BTreeMap<String, String>,
}

impl Said {
    pub(crate) fn name(&self) -> &str {
        &self.shape.0
    }
}

impl Heard {
    pub(crate) fn all() -> Self {
        let told = Told::default();
        let subscriber = Registry::default().with(told.clone());
        let books: &'static Books = Box::leak(Box::default());
        Self {
            told,
            books,
            _recorder: metrics::set_default_local_recorder(books),
            _subscriber: subscriber::set_default(subscriber),
        }
    }

    pub(crate) fn said(&self) -> Vec<Said> {
        self.told.0.lock().unwrap().clone()
    }

    /// How the events of this name were.
    pub(crate) fn events(&self, name: &str) -> Vec<Said> {
        self.said().into_iter().filter(|said| said.name() == name && !said.is_span).collect()
    }

    pub(crate) fn shapes(&self, spans: bool) -> BTreeSet<Shape> {
        let said = self.said().into_iter().filter(|said| said.is_span == spans);
        said.map(|said| said.shape).collect()
    }

    /// All metrics: kind, name, unit and labels.
    pub(crate) fn metrics(&self) -> BTreeSet<(&'static str, String, &'static str, String)> {
        let described = self.books.described.lock().unwrap();
        let of = |(kind, key): &(Kind, Key)| {
            let unit = described.get(&(*kind, key.name().to_owned()));
            let unit = match unit.unwrap_or_else(|| panic!("{key} is described")) {
                Unit::Count => "count",
                Unit::Seconds => "seconds",
                unit => panic!("{key} is in {unit:?}"),
            };
            let labels: Vec<_> = key.labels().map(|label| label.key()).collect();
            (*kind, key.name().to_owned(), unit, labels.join(", "))
        };
        self.books.series.lock().unwrap().keys().map(of).collect()
    }

    /// The values of all series: counts, gauges, and how often a histogram was fed.
    pub(crate) fn series(&self) -> BTreeMap<Series, f64> {
        let series = self.books.series.lock().unwrap();
        let value = |((kind, key), value): (&(Kind, Key), &Arc<AtomicU64>)| {
            let pair = |label: &metrics::Label| (label.key().to_owned(), label.value().to_owned());
            let value = value.load(Ordering::SeqCst);
            let value = if *kind == "gauge" { f64::from_bits(value) } else { value as f64 };
            ((key.name().to_owned(), key.labels().map(pair).collect()), value)
        };
        series.iter().map(value).collect()
    }

    /// The value of one series; 0 if there is none. The name is without the common prefix.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let series = (format!("tower_partner_auth_{name}"), labels.collect());
        self.series().get(&series).copied().unwrap_or_default()
    }
}

/// A recorder that keeps everything.
#[derive(Default)]
struct Books {
    series: Mutex<BTreeMap<(Kind, Key), Arc<AtomicU64>>>,
    described: Mutex<BTreeMap<(Kind, String), Unit>>,
}

type Kind = &'static str;

struct Fed(Arc<AtomicU64>);

impl HistogramFn for Fed {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Books {
    fn series(&self, kind: Kind, key: &Key) -> Arc<AtomicU64> {
        let mut series = self.series.lock().unwrap();
        Arc::clone(series.entry((kind, key.clone())).or_default())
    }

    fn describe(&self, kind: Kind, name: &KeyName, unit: Option<Unit>, help: &SharedString) {
        assert!(!help.is_empty());
        let described = (kind, name.as_str().to_owned());
        self.described.lock().unwrap().insert(described, unit.expect("a unit"));
    }
}

impl Recorder for Books {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe("counter", &name, unit, &help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe("gauge", &name, unit, &help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe("histogram", &name, unit, &help);
    }

    fn register_counter(&self, key: &Key, _: &Origin<'_>) -> Counter {
        Counter::from_arc(self.series("counter", key))
    }

    fn register_gauge(&self, key: &Key, _: &Origin<'_>) -> Gauge {
        Gauge::from_arc(self.series("gauge", key))
    }

    fn register_histogram(&self, key: &Key, _: &Origin<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Fed(self.series("histogram", key))))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Told {
    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut values = Values::default();
        span.record(&mut values);
        context.span(id).unwrap().extensions_mut().insert(Values(values.0.clone()));
        self.say(span.metadata(), values, BTreeMap::new());
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        record.record(span.extensions_mut().get_mut::<Values>().unwrap());
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut values = Values::default();
        event.record(&mut values);
        let span = context.event_span(event);
        let around = span.and_then(|span| Some(span.extensions().get::<Values>()?.0.clone()));
        self.say(event.metadata(), values, around.unwrap_or_default());
    }
}

impl Told {
    fn say(&self, metadata: &Metadata<'_>, values: Values, around: BTreeMap<String, String>) {
        if !metadata.module_path().is_some_and(|path| path.starts_with("tower_partner_auth")) {
            return;
        }
        assert_eq!(metadata.target(), "tower_partner_auth");
        let fields = metadata.fields().iter().map(|field| field.name().to_owned());
        let fields = fields.filter(|field| field != "message").collect();
        let level = metadata.level().as_str().to_lowercase();
        let shape = (metadata.name().to_owned(), level, fields);
        let said = Said { shape, is_span: metadata.is_span(), values: values.0, around };
        self.0.lock().unwrap().push(said);
    }
}

#[derive(Default)]
struct Values(BTreeMap<String, String>);

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
