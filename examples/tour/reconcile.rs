//! The layer's metrics, scraped as Prometheus would, beside what the servers have counted.

use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::{sleep, timeout};
use tower::BoxError;
use tower_partner_auth::Scope;
use tower_partner_auth::partner::USE_CASES;

use crate::client::calls_made;
use crate::faults::Faults;
use crate::stages::Stages;

/// More than a fetch at the sandbox takes.
const SETTLING: Duration = Duration::from_secs(5);

/// Scrapes the metrics of this process.
pub(crate) struct Scraper {
    prometheus: PrometheusHandle,
}

/// The text of one scrape.
struct Scrape(String);

impl Scraper {
    pub(crate) fn install() -> Result<Self, BoxError> {
        Ok(Self { prometheus: PrometheusBuilder::new().install_recorder()? })
    }

    /// Prints a table of what was counted on both sides; each difference is a fault.
    pub(crate) async fn reconcile(&self, stages: &Stages) -> Faults {
        let mut faults = Faults::default();
        let settled = timeout(SETTLING, self.settled()).await.is_ok();
        faults.check(settled, || "a fetch does not end".to_owned());
        let scrape = self.scrape();

        println!("\nA scrape of the metrics, and what the servers have counted");
        println!("\n  {:<54} {:>7} {:>8}", "", "metrics", "servers");
        let mut row = |what: &str, metrics: u64, servers: u64| {
            println!("  {what:<54} {metrics:>7} {servers:>8}");
            faults.expect(&format!("metrics: {what}"), metrics, servers);
        };

        let requests =
            |label: &str, value: &str| scrape.sum("token_requests_total", &[(label, value)]);
        let scopes: BTreeSet<Scope> =
            USE_CASES.iter().map(|row| row.scope.parse().expect("a valid scope")).collect();
        for scope in &scopes {
            let counted = stages.total(|server| server.token_requests_for(scope));
            row(&format!("token requests: {scope}"), requests("scope", scope.as_str()), counted);
        }
        let all = stages.total(|server| server.token_requests());
        let granted = stages.total(|server| server.token_answers(StatusCode::OK));
        row("token requests", scrape.sum("token_requests_total", &[]), all);
        row("  answered with a token", requests("outcome", "granted"), granted);

        let unauthorised = stages.total(|server| server.api_answers(StatusCode::UNAUTHORIZED));
        let second = stages.total(|server| server.api_requests()).saturating_sub(calls_made());
        row("401s of the API", scrape.sum("rejections_total", &[]), unauthorised);
        row("  requests sent a second time", scrape.sum("replays_total", &[]), second);
        let returned = scrape.sum("rejections_returned_total", &[]);
        row("  that were the caller's", returned, unauthorised.saturating_sub(second));
        faults
    }

    /// Returns when no fetch is under way: then all that the servers have seen is counted.
    async fn settled(&self) {
        while self.scrape().sum("fetches_under_way", &[]) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn scrape(&self) -> Scrape {
        Scrape(self.prometheus.render())
    }
}

impl Scrape {
    /// The sum of a metric's series that have these labels. The name is without the crate's prefix.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let series = self.0.lines().filter_map(|line| {
            let line = line.strip_prefix("tower_partner_auth_")?.strip_prefix(name)?;
            let (own, value) = line.strip_prefix('{')?.rsplit_once("} ")?;
            let has = |(label, value)| own.contains(&format!("{label}=\"{value}\""));
            labels.iter().copied().all(has).then(|| value.parse::<u64>().expect("a count"))
        });
        series.sum()
    }
}
