//! Evicts on an interval, and at once when there are too many results or too much output.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::registry::ProcessRegistry;

/// How often expired results are looked for, unless they expire faster.
const INTERVAL: Duration = Duration::from_secs(30);

/// No sweeper is quicker than this, however short the retention.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Runs for as long as the server does.
pub async fn sweep(registry: ProcessRegistry) {
    let period = INTERVAL.min(registry.config().retention_seconds / 4).max(SHORTEST_INTERVAL);
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ends = registry.ends();
    loop {
        tokio::select! {
            // With nothing to evict, the sweeper sleeps.
            _ = ticks.tick(), if registry.has_finished() => {}
            () = registry.store().under_pressure() => {}
            // A command has ended: from now on there is something to evict, if not now.
            Ok(()) = ends.changed() => {
                if !registry.has_too_many_finished() {
                    continue;
                }
            }
        }
        let _sweeping = registry.store().sweeping();
        registry.evict(Instant::now()).await;
    }
}
