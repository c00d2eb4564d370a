//! Looking again until it is so, instead of sleeping and hoping.

use std::time::{Duration, Instant};

/// Far beyond what anything here takes on a busy machine: only a failure waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Calls `look` until it gives a value. Until then it says what it sees instead, which a failure prints.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if started.elapsed() > PATIENCE => {
                panic!("{what}: not within {PATIENCE:?}; last seen: {seen}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Long against what a reply takes, short against every wait that a test asks for.
const SOON: Duration = Duration::from_secs(10);

/// The time from letting something happen to the reply that tells of it.
#[track_caller]
pub(crate) fn assert_soon(since: Instant) {
    assert!(since.elapsed() < SOON, "answered only after {:?}", since.elapsed());
}
