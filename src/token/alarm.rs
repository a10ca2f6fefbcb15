//! The alarm of a token that is to be kept warm: it renews where no traffic does.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::slot::Slot;

/// At most one moment at which the slot is looked at. Set anew after each flight, it needs no loop;
/// dropped with its slot, it leaves no task behind.
#[derive(Default)]
pub(super) struct Alarm {
    armed: Mutex<Option<oneshot::Sender<()>>>,
}

impl Alarm {
    /// Looks at `slot` at `then`, and at no other time that was set before. Without a runtime to do
    /// it on, an earlier time stands.
    pub(super) fn set(&self, slot: &Arc<Slot>, then: Instant) {
        let Ok(runtime) = Handle::try_current() else { return };
        let (arm, disarmed) = oneshot::channel();
        // A task that held on to the slot would keep alive what it is to end with.
        let slot = Arc::downgrade(slot);
        let previous = self.armed.lock().unwrap_or_else(PoisonError::into_inner).replace(arm);
        drop(previous);
        drop(runtime.spawn(async move {
            if timeout_at(then, disarmed).await.is_err() {
                if let Some(slot) = slot.upgrade() {
                    slot.look();
                }
            }
        }));
    }
}
