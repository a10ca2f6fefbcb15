//! What the threads of a storm did to one ledger, and whether one thread could have done it.
//!
//! The check is for linearisability: each operation must have happened at one moment between its
//! beginning and its end, and one order of these moments must be one that the [`Model`] allows. It
//! follows the operations by the time of their ends, and keeps every state that the ledger may be in
//! by then (G. Lowe, "Testing for linearizability", 2017, §2: just-in-time linearisation). It is
//! exact: it neither misses a history that is impossible, nor objects to one that is not.

use std::mem;

use tokio::time::Instant;

use super::model::Model;
use crate::error::{TokenError, TokenErrorKind};
use crate::token::lifetime::Lifetime;
use crate::token::status::TokenState;

/// One operation, as the thread saw it that did it.
#[derive(Debug)]
pub(super) struct Operation {
    /// Two moments on a clock that all threads share, and that no two of them ever share.
    pub(super) began: u64,
    pub(super) ended: u64,
    /// The time that it named.
    pub(super) at: Instant,
    pub(super) call: Call,
    pub(super) saw: Saw,
}

#[derive(Debug)]
pub(super) enum Call {
    Fresh,
    Acquire,
    /// The token of this generation was rejected.
    Renew(u64),
    RenewBehind(u64),
    Due,
    /// A flight came down, with this random number for its back-off.
    Land(Brought, f64),
    Abort(f64),
    Confirm(u64),
    Invalidate,
    SecretChanged,
    Status,
    Close,
}

/// What a flight brought.
#[derive(Debug, Clone)]
pub(super) enum Brought {
    Token { name: u32, life: Option<Lifetime>, narrow: bool },
    Failure(TokenError),
}

/// A token that a request would carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) generation: u64,
    pub(super) name: u32,
}

pub(super) type Brief = Result<Carried, TokenErrorKind>;

#[derive(Debug)]
pub(super) enum Saw {
    Nothing,
    Use(Carried),
    UseAndLaunch(Carried),
    Board { claimed: bool, in_hand: Option<Instant>, reply: Reply },
    Refusal(TokenErrorKind),
    Claim(bool),
    Landed(Brief),
    Again,
    Closed,
    Count(Option<u32>),
    Look(Look),
}

/// What became of a place on a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Pending,
    GaveUp,
    Told(Brief),
    /// The ledger was closed.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) state: TokenState,
    pub(super) generation: u64,
    pub(super) fetching: bool,
    pub(super) failures: u32,
    pub(super) evictions: u32,
    pub(super) next_attempt: Option<Instant>,
}

impl Operation {
    /// Whether it leaves everything as it was, whenever it happens.
    fn only_looks(&self) -> bool {
        match &self.saw {
            Saw::Use(_) | Saw::Refusal(_) | Saw::Claim(false) | Saw::Count(None) => true,
            Saw::Closed | Saw::Look(_) => true,
            Saw::Nothing => matches!(self.call, Call::Fresh),
            _ => false,
        }
    }
}

/// One way in which things may have gone so far.
#[derive(Clone, PartialEq)]
struct Branch {
    model: Model,
    /// The operations under way that have happened already, by their numbers.
    happened: Vec<usize>,
}

/// Finds an order of the operations that the model allows; else, tells the first one whose end
/// allows none, and what the ledger could have been before it.
pub(super) fn linearise(history: &[Operation]) -> Result<(), String> {
    let mut ends: Vec<usize> = (0..history.len()).collect();
    ends.sort_by_key(|number| history[*number].ended);
    let mut beginnings = ends.clone();
    beginnings.sort_by_key(|number| history[*number].began);
    let mut beginnings = beginnings.into_iter().peekable();

    let mut branches = vec![Branch { model: Model::default(), happened: Vec::new() }];
    let mut under_way = Vec::new();
    for end in ends {
        let has_begun = |number: &usize| history[*number].began < history[end].ended;
        while let Some(number) = beginnings.next_if(has_begun) {
            under_way.push(number);
        }
        let before = mem::take(&mut branches);
        for branch in &before {
            branch.clone().follow(end, &under_way, history, &mut branches);
        }
        if branches.is_empty() {
            let states: Vec<_> = before.iter().map(|branch| &branch.model).collect();
            let others: Vec<_> = under_way
                .iter()
                .filter(|other| **other != end)
                .map(|other| &history[*other])
                .collect();
            return Err(format!(
                "no thread alone could have seen this: {:#?}\nthe ledger was one of {states:#?}\nunder way \
                 beside it: {others:#?}",
                history[end]
            ));
        }
        under_way.retain(|number| *number != end);
    }
    Ok(())
}

impl Branch {
    /// Goes on until `end` has happened, in every order of what is under way.
    fn follow(
        mut self,
        end: usize,
        under_way: &[usize],
        history: &[Operation],
        ends: &mut Vec<Self>,
    ) {
        let mut open = Vec::new();
        for number in under_way {
            if self.happened.contains(number) {
                continue;
            }
            match self.model.after(*number, history) {
                // What only looks may as well happen as soon as it can.
                Some(_) if history[*number].only_looks() => self.happened.push(*number),
                Some(model) => open.push((*number, model)),
                None => {}
            }
        }
        if self.happened.contains(&end) {
            self.happened.retain(|number| *number != end);
            self.happened.sort_unstable();
            if !ends.contains(&self) {
                ends.push(self);
            }
            return;
        }
        for (number, model) in open {
            let mut happened = self.happened.clone();
            happened.push(number);
            Self { model, happened }.follow(end, under_way, history, ends);
        }
    }
}
