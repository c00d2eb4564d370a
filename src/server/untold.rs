//! Jobs whose start no reply has told of: the next one names them, once their own call was cancelled.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::registry::ProcessRegistry;

/// Jobs named in one reply as started.
const NAMED: usize = 20;

/// Jobs whose id no reply has told, each with the token of the execute call that was to tell it.
#[derive(Debug, Default)]
pub struct UntoldStarts(Mutex<Vec<(Uuid, CancellationToken)>>);

impl UntoldStarts {
    /// A call has started this job. Its reply tells the id; once the call is cancelled, another reply has to.
    pub fn started(&self, id: Uuid, call: &CancellationToken) {
        self.lock().push((id, call.clone()));
    }

    /// The ids that a reply to come must name: the oldest of them, so that no reply grows without bound. Of jobs that are gone
    /// there is nothing to tell.
    pub fn overdue(&self, registry: &ProcessRegistry) -> Vec<Uuid> {
        let mut untold = self.lock();
        untold.retain(|(id, _)| registry.find(*id).is_some());
        let overdue = untold.iter().filter(|(_, call)| call.is_cancelled());
        overdue.map(|(id, _)| *id).take(NAMED).collect()
    }

    /// A reply names these.
    pub fn told(&self, ids: &[Uuid]) {
        self.lock().retain(|(id, _)| !ids.contains(id));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Uuid, CancellationToken)>> {
        // Valid after a panic anywhere: nothing panics while it is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
