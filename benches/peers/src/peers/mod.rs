//! The peers, one file each. What a crate does is in its file's first lines, with the page of its
//! documentation that the setup follows; what it cannot do is in its entry here, and printed.

mod aliri;
mod azure;
mod by_hand_locked;
mod by_hand_unlocked;
mod cf_gears;
mod floor;
mod google;
mod huskarl;
mod middle;
mod ours;

use crate::peer::Entry;

pub(crate) use ours::{OURS, OURS_WITHOUT_REPLAY};

/// Every peer, in the order of the tables.
pub(crate) fn all() -> Vec<Entry> {
    vec![
        floor::ENTRY,
        ours::WITHOUT_REPLAY,
        ours::ENTRY,
        by_hand_unlocked::ENTRY,
        by_hand_locked::ENTRY,
        cf_gears::PLAIN,
        cf_gears::ENTRY,
        huskarl::ENTRY,
        middle::ENTRY,
        aliri::ENTRY,
        google::ENTRY,
        azure::ENTRY,
    ]
}
