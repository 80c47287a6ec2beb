use std::time::{Duration, Instant};

use rlxc_monitor::protocol::StateWish;
use rlxc_monitor::{Client, Error, State, StateSet};

use super::ControlError;

/// How often a container that does not run is looked for.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until the container is in one of `states`; `None`: for ever, zero: only looks.
///
/// A container without a monitor is stopped. Returns the state that was reached, or `None` when the
/// time is up.
///
/// # Errors
/// [`ControlError::Monitor`] when the monitor is stuck.
pub fn wait(
    client: &Client,
    states: StateSet,
    timeout: Option<Duration>,
) -> Result<Option<State>, ControlError> {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    if timeout == Some(Duration::ZERO) {
        let state = client.state()?;
        return Ok(states.contains(state).then_some(state));
    }
    let wish = StateWish {
        states,
        over_reboot: false,
    };
    loop {
        match client.watch(wish) {
            Ok(Ok(state)) => return Ok(Some(state)),
            Ok(Err(watch)) => match watch.wait(until)? {
                Some(state) if states.contains(state) => return Ok(Some(state)),
                // The monitor ended; the container may be started again.
                Some(_) => {}
                None => return Ok(None),
            },
            Err(Error::NotRunning { .. }) if states.contains(State::Stopped) => {
                return Ok(Some(State::Stopped));
            }
            Err(Error::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if until.is_some_and(|until| Instant::now() + PAUSE > until) {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}
