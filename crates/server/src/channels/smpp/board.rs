//! How a link's binds stand, for the operator and for those who choose a link.

use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::Timestamp;

use crate::channels::{ErrorKind, LastError, LinkState, Standing};
use crate::clock::Clock;

/// What is known of all binds of one link.
pub(super) struct Board {
    link: String,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    binds: Vec<Bind>,
    standing: Standing,
    since: Timestamp,
    last_error: Option<LastError>,
}

#[derive(Clone, Copy)]
struct Bind {
    standing: Standing,
    submits: bool,
}

impl Board {
    /// `submits` tells of each bind whether anything is submitted over it.
    pub(super) fn new(link: &str, clock: Clock, submits: &[bool]) -> Self {
        let bind = |submits: &bool| Bind { standing: Standing::Connecting, submits: *submits };
        let state = State {
            binds: submits.iter().map(bind).collect(),
            standing: Standing::Connecting,
            since: clock.now(),
            last_error: None,
        };
        Self { link: link.to_owned(), clock, state: Mutex::new(state) }
    }

    /// Takes note of how a bind stands.
    pub(super) fn note(&self, bind: usize, standing: Standing) {
        self.change(bind, standing, None);
    }

    /// Takes note of what went wrong with a bind: words for the operator, without secrets.
    pub(super) fn note_error(
        &self,
        bind: usize,
        standing: Standing,
        kind: ErrorKind,
        text: String,
    ) {
        self.change(bind, standing, Some(LastError { kind, text }));
    }

    /// Whether a bind is up.
    pub(super) fn is_up(&self, bind: usize) -> bool {
        self.lock().binds.get(bind).is_some_and(|bind| bind.standing == Standing::Up)
    }

    /// How the link stands as a whole.
    pub(super) fn standing(&self) -> Standing {
        self.lock().standing
    }

    /// Everything for the operator.
    pub(super) fn link_state(&self, in_flight: usize) -> LinkState {
        let state = self.lock();
        let up = state.binds.iter().filter(|bind| bind.standing == Standing::Up).count();
        LinkState {
            standing: state.standing,
            since: state.since,
            last_error: state.last_error.clone(),
            in_flight,
            connections: (up, state.binds.len()),
        }
    }

    fn change(&self, bind: usize, standing: Standing, error: Option<LastError>) {
        let mut state = self.lock();
        let Some(place) = state.binds.get_mut(bind) else { return };
        let before = std::mem::replace(&mut place.standing, standing);
        if let Some(error) = error {
            let LastError { text, .. } = &error;
            match standing {
                // Once, because whoever is alarmed once a minute stops listening.
                Standing::Refused if before != Standing::Refused => {
                    tracing::error!(
                        link = self.link,
                        bind,
                        error = text,
                        "the SMSC refuses the bind"
                    );
                }
                Standing::Up | Standing::Connecting | Standing::Down | Standing::Refused => {
                    tracing::warn!(link = self.link, bind, error = text, "a bind is down");
                }
            }
            state.last_error = Some(error);
        } else if standing == Standing::Up {
            tracing::info!(link = self.link, bind, "a bind is up");
        }
        let now = whole(&state.binds);
        if state.standing != now {
            state.standing = now;
            state.since = self.clock.now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link stands as its best bind for submits does; but a refusal is told before a connection that
/// is being tried, since only the operator can end it.
fn whole(binds: &[Bind]) -> Standing {
    let any = |standing| binds.iter().any(|bind| bind.submits && bind.standing == standing);
    let order = [Standing::Up, Standing::Refused, Standing::Connecting];
    order.into_iter().find(|standing| any(*standing)).unwrap_or(Standing::Down)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_up_as_long_as_one_bind_can_submit() {
        let board = Board::new("north", Clock::system(), &[true, true, false]);
        assert_eq!(board.standing(), Standing::Connecting);
        board.note(2, Standing::Up);
        assert_eq!(board.standing(), Standing::Connecting, "nothing can be submitted yet");
        board.note(1, Standing::Up);
        let unreachable = ErrorKind::Unreachable;
        board.note_error(0, Standing::Down, unreachable, "nobody listens".to_owned());
        let state = board.link_state(3);
        assert_eq!((state.standing, state.connections), (Standing::Up, (2, 3)));
        assert_eq!(state.last_error.unwrap().text, "nobody listens");
        let refused = ErrorKind::Refused;
        board.note_error(1, Standing::Refused, refused, "ESME_RINVPASWD".to_owned());
        assert_eq!(board.standing(), Standing::Refused);
    }
}
