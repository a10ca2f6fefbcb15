//! The other side of every scenario: one token server and one API that knows its tokens.
//!
//! The token server is on loopback, since most peers insist on an HTTP client of their own. It
//! answers each of them as it wants to be asked: any path, any grant, credentials in a form, in JSON
//! or in a header. The API is in memory, so that what a call costs is the peer's and no socket's.
//! None of it is the library's own sandbox: that one wants the partner's form of a token request,
//! which half of the peers cannot send, and keeps its tokens where no other API can look them up.

mod api;
mod ledger;
mod token_server;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::peer::Failure;

pub(crate) use api::{Api, CHALLENGE};
use ledger::Ledger;
pub(crate) use ledger::Spread;
use token_server::TokenServer;

/// How the partner's tokens are.
#[derive(Clone, Copy)]
pub(crate) struct Policy {
    /// How long a token lives, in whole seconds. It begins when the server is asked: a token ages
    /// on its way.
    pub(crate) life: Duration,
    /// How long a token request takes.
    pub(crate) delay: Duration,
}

/// One token server and its API. Cheap to clone; it ends with its last handle.
#[derive(Clone)]
pub(crate) struct Partner {
    policy: Policy,
    ledger: Arc<Ledger>,
    server: Arc<TokenServer>,
}

impl Partner {
    /// Starts the token server, on a thread of its own: its delay is what it says, whatever the
    /// peers do to their runtime.
    pub(crate) fn start(policy: Policy) -> Result<Self, Failure> {
        let ledger = Arc::<Ledger>::default();
        let server = Arc::new(TokenServer::start(policy, ledger.clone())?);
        Ok(Self { policy, ledger, server })
    }

    /// How long its tokens live, as its operator would tell those who call it.
    pub(crate) fn life(&self) -> Duration {
        self.policy.life
    }

    pub(crate) fn token_url(&self) -> String {
        self.server.url()
    }

    /// The API, guarded by this partner's tokens.
    pub(crate) fn api(&self) -> Api {
        Api::guarded_by(self.ledger.clone())
    }

    /// All token requests so far, failed ones too.
    pub(crate) fn token_requests(&self) -> u64 {
        self.server.requests()
    }

    /// Answers 503 to token requests from now on, or no longer.
    pub(crate) fn fail(&self, failing: bool) {
        self.server.fail(failing);
    }

    /// Revokes every token.
    pub(crate) fn revoke_all(&self) {
        self.ledger.revoke_all();
    }

    /// Lets the API take its time, other than which it answers at once.
    pub(crate) fn spread_answers(&self, spread: Option<Spread>) {
        self.ledger.spread_answers(spread);
    }

    /// A header with a token that outlives every scenario, for which the token server was not asked.
    pub(crate) fn constant(&self) -> HeaderValue {
        let token = self.ledger.issue(Duration::from_secs(24 * 60 * 60));
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).expect("hex digits");
        value.set_sensitive(true);
        value
    }
}
