//! Does the steps of one vector, on a runtime of its own whose time stands still.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tower_partner_auth::{ClientCredentials, PartnerAuthLayer, Scope};

use super::caller::{Report, perform};
use super::check;
use super::format::{Call, Finish, Prewarm, SetCredentials, Step, Vector};
use super::layer;
use super::world::World;

/// Longer than any call may take: a call that hangs for good is told from one that waits.
const WATCHDOG: Duration = Duration::from_secs(60 * 60);

/// More rounds than any chain of tasks that wake each other without time passing.
const ROUNDS: usize = 200;

/// Runs a vector. An error names the step and what was wrong.
pub(crate) fn run(vector: &Vector) -> Result<(), String> {
    check::counts_are_complete(&vector.expect)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut stage = Stage::set(vector)?;
        for (index, json) in vector.steps.iter().enumerate() {
            let failure = |what: String| {
                let json = json.get().split_whitespace().collect::<Vec<_>>().join(" ");
                format!("step {}, {json:.160}\n    {what}", index + 1)
            };
            let step = serde_json::from_str(json.get());
            let step = step.map_err(|error| failure(error.to_string()))?;
            stage.perform(step).await.map_err(failure)?;
            stage.check_invariants().map_err(failure)?;
        }
        stage.end(vector).map_err(|what| format!("at the end\n    {what}"))
    })
}

/// What the steps act on.
struct Stage {
    start: Instant,
    world: World,
    layer: Option<PartnerAuthLayer>,
    /// Calls in the background, by their names.
    started: BTreeMap<String, JoinSet<Report>>,
}

impl Stage {
    fn set(vector: &Vector) -> Result<Self, String> {
        let world = World::new(&vector.given)?;
        let layer = layer::build(&vector.given.layer, &world)?;
        Ok(Self { start: Instant::now(), world, layer: Some(layer), started: BTreeMap::new() })
    }

    async fn perform(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Call(call) => self.call(call).await?,
            Step::Start(call) => self.start(call)?,
            Step::Finish(finish) => self.finish(finish).await?,
            Step::Drop(name) => drop(self.take(&name)?),
            Step::Advance(span) => tokio::time::sleep(span.0).await,
            Step::Until(span) => {
                let then = self.start + span.0;
                if then < Instant::now() {
                    return Err(format!("it is {:?} already", self.start.elapsed()));
                }
                tokio::time::sleep_until(then).await;
            }
            Step::Revoke(what) => self.world.state().tokens.revoke(&what)?,
            Step::TokenServer(setup) => self.world.state().token_server.change(&setup)?,
            Step::Api(setup) => self.world.state().api.change(&setup)?,
            Step::Counts(counts) => self.world.check(&counts)?,
            Step::Prewarm(prewarm) => self.prewarm(prewarm).await?,
            Step::Status(wanted) => {
                check::status(&wanted.scope, &wanted.expect, &self.layer()?.status())?;
            }
            Step::Invalidate(scope) => self.layer()?.invalidate(&parse(&scope)?),
            Step::InvalidateAll => self.layer()?.invalidate_all(),
            Step::SetCredentials(credentials) => self.set_credentials(&credentials)?,
            Step::DropLayer => drop(self.layer.take()),
        }
        settle().await;
        Ok(())
    }

    async fn call(&self, call: Call) -> Result<(), String> {
        let Some(expected) = call.expect.clone() else {
            return Err("a call has to say what it expects".to_owned());
        };
        check::outcome_is_complete(&expected)?;
        let reports = answers(self.spawn(call)?).await?;
        reports.iter().try_for_each(|report| check::call(&expected, report))
    }

    fn start(&mut self, call: Call) -> Result<(), String> {
        let (Some(name), None) = (call.name.clone(), &call.expect) else {
            return Err("a started call has a name; what it expects is said where it is finished"
                .to_owned());
        };
        let calls = self.spawn(call)?;
        match self.started.insert(name.clone(), calls) {
            None => Ok(()),
            Some(_) => Err(format!("there is a call {name:?} already")),
        }
    }

    async fn finish(&mut self, finish: Finish) -> Result<(), String> {
        check::outcome_is_complete(&finish.expect)?;
        let reports = answers(self.take(&finish.name)?).await?;
        reports.iter().try_for_each(|report| check::call(&finish.expect, report))
    }

    async fn prewarm(&self, prewarm: Prewarm) -> Result<(), String> {
        let start = Instant::now();
        let layer = self.layer()?;
        let prewarmed = match &prewarm.scopes {
            None => layer.prewarm().await,
            Some(scopes) => {
                let scopes: Result<Vec<Scope>, String> = scopes.iter().map(|s| parse(s)).collect();
                layer.prewarm_scopes(scopes?).await
            }
        };
        if prewarm.took.is_some_and(|took| took.0 != start.elapsed()) {
            return Err(format!("took: expected {:?}, got {:?}", prewarm.took, start.elapsed()));
        }
        check::prewarmed(&prewarm, &prewarmed)
    }

    fn set_credentials(&self, new: &SetCredentials) -> Result<(), String> {
        let credentials = ClientCredentials::new(&*new.client_id, &*new.client_secret);
        let refused = self.layer()?.set_credentials(credentials).is_err();
        if refused == new.refused.unwrap_or(false) {
            Ok(())
        } else {
            Err(format!("refused: got {refused}"))
        }
    }

    fn spawn(&self, call: Call) -> Result<JoinSet<Report>, String> {
        let call = Arc::new(call);
        let mut calls = JoinSet::new();
        for _ in 0..call.times {
            calls.spawn(perform(self.layer()?, &self.world, Arc::clone(&call)));
        }
        Ok(calls)
    }

    fn take(&mut self, name: &str) -> Result<JoinSet<Report>, String> {
        self.started.remove(name).ok_or_else(|| format!("no call {name:?} is under way"))
    }

    fn layer(&self) -> Result<&PartnerAuthLayer, String> {
        self.layer.as_ref().ok_or_else(|| "the layer is dropped".to_owned())
    }

    fn check_invariants(&self) -> Result<(), String> {
        let violations = self.world.violations();
        if violations.is_empty() { Ok(()) } else { Err(violations.join("\n    ")) }
    }

    fn end(&self, vector: &Vector) -> Result<(), String> {
        if let Some(name) = self.started.keys().next() {
            return Err(format!("the call {name:?} was neither finished nor dropped"));
        }
        let unused = {
            let state = self.world.state();
            (state.token_server.unused_answers(), state.api.unused_answers())
        };
        if unused != (0, 0) {
            return Err(format!(
                "scripted answers were left over, (token server, API): {unused:?}"
            ));
        }
        self.world.check(&vector.expect)
    }
}

async fn answers(mut calls: JoinSet<Report>) -> Result<Vec<Report>, String> {
    let mut reports = Vec::with_capacity(calls.len());
    while !calls.is_empty() {
        match tokio::time::timeout(WATCHDOG, calls.join_next()).await {
            Ok(Some(Ok(report))) => reports.push(report),
            Ok(Some(Err(error))) => return Err(format!("the call panicked: {error}")),
            Ok(None) => break,
            Err(_) => return Err(format!("no answer in {WATCHDOG:?}")),
        }
    }
    Ok(reports)
}

/// Lets all tasks run that can without time passing: a paused clock only moves when none can.
async fn settle() {
    for _ in 0..ROUNDS {
        tokio::task::yield_now().await;
    }
}

fn parse(scope: &str) -> Result<Scope, String> {
    scope.parse().map_err(|error| format!("the scope {scope:?}: {error}"))
}
