//! The partner's own books: what the laws allow the layer to ask for, to send and to answer, judged
//! from outside, by what the token server and the API see.

mod calls;

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use tower_partner_auth::TokenErrorKind;

use calls::Attempt;
pub(crate) use calls::Call;

const SECOND: Duration = Duration::from_secs(1);

/// Everything that has happened, and every breach of a law.
pub(crate) struct Books {
    /// Whether time stands still while code runs, so that even moments can be compared.
    pub(crate) exact: bool,
    pub(crate) wait_limit: Duration,
    tick: u64,
    tokens: HashMap<String, Token>,
    accounts: HashMap<String, Account>,
    calls: HashMap<u64, Vec<Attempt>>,
    /// Changes to another client that have begun, and that are done.
    clients: Changes,
    /// Where and since when a renewal was in vain, and who was told of one, by when.
    in_vain: Vec<(Place, u64)>,
    told_of_it: Vec<(Place, u64)>,
    pub(crate) tally: Tally,
    breaches: Vec<String>,
}

/// A route, and the scope of the request.
pub(crate) type Place = (usize, String);

/// What came to pass: a storm that does not have it all is none.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) fetches: u64,
    pub(crate) good: u64,
    pub(crate) replayed: u64,
    pub(crate) rejected: u64,
    pub(crate) token_errors: u64,
    pub(crate) given_up: u64,
}

impl Tally {
    pub(crate) fn has_all(&self) -> bool {
        let Self { fetches, good, replayed, rejected, token_errors, given_up } = *self;
        [fetches, good, replayed, rejected, token_errors, given_up].iter().all(|count| *count > 0)
    }
}

/// How often something was changed from outside. What begins while a change is under way may see
/// either.
#[derive(Debug, Clone, Copy, Default)]
struct Changes {
    begun: u64,
    done: u64,
}

/// A token that the server has issued.
struct Token {
    scope: String,
    client: u64,
    /// How many invalidations had begun when it was asked for last.
    asked_after: u64,
    /// Once for each time that it was issued; `None`: good until it is rejected.
    lives: Vec<Option<Life>>,
    revoked: bool,
    /// Whether the API has said so to anybody.
    rejected: bool,
}

/// The edges of a token's life, as law T3 has them, without any jitter.
#[derive(Clone, Copy)]
struct Life {
    soft: Instant,
    hard: Instant,
    deadline: Instant,
}

/// All that is known of one scope.
#[derive(Default)]
struct Account {
    issued: u64,
    under_way: bool,
    invalidations: Changes,
    secrets: Changes,
    /// At the end of the token request before the last one. From then on there was a next flight to
    /// be outdated, though it may not have asked yet.
    known: Known,
    /// The same for the next one.
    known_next: Known,
    /// How many invalidations had begun by then.
    asked_after: u64,
    ends: Vec<(u64, End)>,
    deadlines: Vec<Instant>,
    newest: Option<String>,
}

/// How many changes were done at some time.
#[derive(Clone, Copy, Default)]
struct Known {
    invalidations: u64,
    secrets: u64,
    clients: u64,
}

/// How a token request ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Token(String),
    /// The newest token again.
    Same(String, Instant),
    Failure {
        kind: TokenErrorKind,
        transient: bool,
        wish: Duration,
        at: Instant,
    },
}

impl Books {
    pub(crate) fn new(exact: bool, wait_limit: Duration) -> Self {
        Self {
            exact,
            wait_limit,
            tick: 0,
            tokens: HashMap::new(),
            accounts: HashMap::new(),
            calls: HashMap::new(),
            clients: Changes::default(),
            in_vain: Vec::new(),
            told_of_it: Vec::new(),
            tally: Tally::default(),
            breaches: Vec::new(),
        }
    }

    /// All breaches of a law. Asked for in the end.
    pub(crate) fn breaches(&mut self) -> &[String] {
        for (place, ended) in &self.told_of_it {
            if !self.in_vain.iter().any(|(other, began)| other == place && began < ended) {
                self.breaches.push(format!("{place:?}: no renewal was in vain there before"));
            }
        }
        &self.breaches
    }

    fn breach(&mut self, breach: impl Into<String>) {
        self.breaches.push(breach.into());
    }

    fn account(&mut self, scope: &str) -> &mut Account {
        self.accounts.entry(scope.to_owned()).or_default()
    }

    fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }
}

// === the operator ===

impl Books {
    /// The operator does one thing at a time: this begins it, and [`end_change`](Self::end_change)
    /// ends it.
    pub(crate) fn begin_invalidation(&mut self, scope: &str) {
        self.account(scope).invalidations.begun += 1;
    }

    /// Gives the number of the new client.
    pub(crate) fn begin_client(&mut self) -> u64 {
        self.clients.begun += 1;
        self.clients.begun
    }

    /// Gives the number of the client whose secret it is.
    pub(crate) fn begin_secret(&mut self) -> u64 {
        self.accounts.values_mut().for_each(|account| account.secrets.begun += 1);
        self.clients.begun
    }

    pub(crate) fn end_change(&mut self) {
        self.clients.done = self.clients.begun;
        for account in self.accounts.values_mut() {
            account.invalidations.done = account.invalidations.begun;
            account.secrets.done = account.secrets.begun;
        }
    }

    pub(crate) fn revoke(&mut self, which: impl Fn(&str) -> bool) {
        let tokens = self.tokens.values_mut().filter(|token| which(&token.scope));
        tokens.for_each(|token| token.revoked = true);
    }
}

// === the token server ===

impl Books {
    /// A token request begins: there must be a reason for it, and no other under way.
    pub(crate) fn ask(&mut self, scope: &str, now: Instant) {
        self.tally.fetches += 1;
        self.tick();
        if self.account(scope).under_way {
            self.breach(format!("{scope}: a second flight"));
        }
        if let Err(why) = self.reason(scope, now) {
            self.breach(format!("{scope}: a token request without a reason: {why}"));
        }
        let account = self.account(scope);
        account.under_way = true;
        account.known = account.known_next;
        account.asked_after = account.invalidations.begun;
    }

    fn reason(&self, scope: &str, now: Instant) -> Result<(), String> {
        let Some(account) = self.accounts.get(scope) else { return Ok(()) };
        let Some((_, last)) = account.ends.last() else { return Ok(()) };
        let known = &account.known;
        let forgotten =
            account.invalidations.begun > known.invalidations || self.clients.begun > known.clients;
        let changed = forgotten || account.secrets.begun > known.secrets;
        let reason = match last {
            End::Token(name) => {
                let token = &self.tokens[name];
                forgotten || token.rejected || token.lives().any(|life| life.soft <= now)
            }
            End::Same(name, at) => {
                let token = &self.tokens[name];
                // Half way to the hard edge; from there on, not before the end.
                let rested = |life: &Life| {
                    let rest =
                        if *at < life.hard { *at + (life.hard - *at) / 2 } else { life.deadline };
                    life.soft.max(rest) <= now
                };
                // If it was forgotten meanwhile, it came as a new one.
                let new =
                    token.lives.last().copied().flatten().is_some_and(|life| life.soft <= now);
                changed || token.rejected || new || token.lives().any(|life| rested(&life))
            }
            End::Failure { transient: true, wish, at, .. } => *at + *wish <= now,
            End::Failure { at, .. } => changed || *at + 5 * SECOND <= now,
        };
        if reason { Ok(()) } else { Err(format!("{last:?}, now {now:?}")) }
    }

    /// The newest token of a scope and the rest of its life, if the server would give it again.
    pub(crate) fn newest(
        &self,
        scope: &str,
        client: u64,
        now: Instant,
    ) -> Option<(String, Option<Duration>)> {
        let name = self.accounts.get(scope)?.newest.clone()?;
        let token = &self.tokens[&name];
        let life = token.deadline().map(|deadline| deadline.saturating_duration_since(now));
        (token.client == client && life != Some(Duration::ZERO)).then_some((name, life))
    }

    /// The name of a new token.
    pub(crate) fn issue(&mut self, scope: &str, client: u64) -> String {
        let account = self.account(scope);
        account.issued += 1;
        let name = format!("{}-{}", scope.replace(' ', "+"), account.issued);
        account.newest = Some(name.clone());
        let scope = scope.to_owned();
        let token = Token {
            scope,
            client,
            asked_after: 0,
            lives: Vec::new(),
            revoked: false,
            rejected: false,
        };
        self.tokens.insert(name.clone(), token);
        name
    }

    /// The token request that began at `requested` ends with a token that lives `life` from then on.
    pub(crate) fn grant(
        &mut self,
        scope: &str,
        name: &str,
        requested: Instant,
        life: Option<Duration>,
        end: End,
    ) {
        // Rounded down to nothing, it has up to a second.
        let life = life.map(|life| Life::new(requested, life.max(SECOND)));
        let account = self.account(scope);
        account.deadlines.extend(life.map(|life| life.deadline));
        let asked_after = account.asked_after;
        let token = self.tokens.get_mut(name).expect("it was issued");
        token.asked_after = asked_after;
        token.lives.push(life);
        self.end(scope, end);
    }

    pub(crate) fn end(&mut self, scope: &str, end: End) {
        let tick = self.tick();
        let clients = self.clients.done;
        let account = self.account(scope);
        account.under_way = false;
        account.known_next = Known {
            invalidations: account.invalidations.done,
            secrets: account.secrets.done,
            clients,
        };
        account.ends.push((tick, end));
    }
}

impl Token {
    fn lives(&self) -> impl Iterator<Item = Life> {
        self.lives.iter().copied().flatten()
    }

    /// The latest, if it was issued more than once.
    fn deadline(&self) -> Option<Instant> {
        let all = self.lives.iter().all(Option::is_some);
        self.lives().map(|life| life.deadline).max().filter(|_| all)
    }
}

impl Life {
    fn new(requested: Instant, life: Duration) -> Self {
        let deadline = requested + life;
        let soft = deadline - (life / 2).min(3_600 * SECOND);
        Self { soft, hard: deadline - (life / 10).min(30 * SECOND), deadline }
    }
}
