//! Why the library is not ahead where it is not, for the sentence that says so. Whether it is so in a
//! given run is not said here: that is computed.

struct Reason {
    scenario: &'static str,
    /// A part of the column's name.
    column: &'static str,
    /// The peers' names begin so.
    peers: &'static [&'static str],
    because: &'static str,
}

const REASONS: [Reason; 13] = [
    Reason {
        scenario: "warm",
        column: "",
        peers: &["by hand, with a lock", "huskarl"],
        because: "its user makes a second request by hand; a layer has to keep a copy of the one it \
                  was given",
    },
    Reason {
        scenario: "warm",
        column: "ns a call",
        peers: &["by hand, without a lock", "middle", "aliri_tokens"],
        because: "it has one token for every request and looks up no route",
    },
    Reason {
        scenario: "herd",
        column: "cold",
        peers: &["middle", "aliri_tokens"],
        because: "it has its token before it can be set up: no call waits, and none has to be woken",
    },
    Reason {
        scenario: "herd",
        column: "cold",
        peers: &["by hand, with a lock"],
        because: "its callers wait without a limit: each of the library's has a timer",
    },
    Reason {
        scenario: "revoked",
        column: "2nd: back after",
        peers: &[""],
        because: "a token that is revoked within a minute of another is fetched a quarter to half a \
                  second later, lest two processes revoke each other's tokens",
    },
    Reason {
        scenario: "failing",
        column: "token requests",
        peers: &["cf-gears", "aliri_tokens"],
        because: "a fetch is up to three requests (`token_retries`)",
    },
    Reason {
        scenario: "failing",
        column: "token requests",
        peers: &["google"],
        because: "it renews such a token every ten seconds, whoever waits: see when they are back",
    },
    Reason {
        scenario: "failing",
        column: "token requests",
        peers: &["azure"],
        because: "its callers wait through its retries, each pause twice the last: see the slowest \
                  answer",
    },
    Reason {
        scenario: "failing",
        column: "slowest answer",
        peers: &["aliri_tokens", "middle"],
        because: "it never waits: it sends an expired token, or fails",
    },
    Reason {
        scenario: "failing",
        column: "slowest answer",
        peers: &[""],
        because: "a fetch is tried up to three times before its waiters are told (`token_retries`)",
    },
    Reason {
        scenario: "failing",
        column: "all back after",
        peers: &["by hand"],
        because: "it asks all the while; after a row of failures, the library's next try is a \
                  back-off away",
    },
    Reason {
        scenario: "failing",
        column: "all back after",
        peers: &["cf-gears"],
        because: "both back off; the first of its pauses of 1, 2 and 4 s begins when the token ends, \
                  and the second happens to end when the outage does",
    },
    Reason {
        scenario: "failing",
        column: "all back after",
        peers: &[""],
        because: "whose next try comes first after the outage is chance: both back off",
    },
];

/// What is known of a figure that is behind.
pub(crate) fn reason(scenario: &str, column: &str, rival: &str) -> Option<&'static str> {
    let of = |reason: &&Reason| {
        reason.scenario == scenario
            && column.contains(reason.column)
            && reason.peers.iter().any(|name| rival.starts_with(name))
    };
    REASONS.iter().find(of).map(|reason| reason.because)
}
