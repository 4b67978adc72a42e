//! What of the signalling's own log may be written down.

use tracing::{Level, Metadata};

/// Returns whether an event may be shown to anybody: a filter in front of every log has to ask.
///
/// `rsipstack` logs whole messages at INFO, with the number called and the answer to a challenge in
/// them, and addresses of people below that. It spawns tasks of its own, so it cannot be silenced
/// from where it is called. At WARN it names calls by their ids only.
pub fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let of_signalling = metadata
        .target()
        .strip_prefix(SIGNALLING)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    !of_signalling || *metadata.level() <= Level::WARN
}

const SIGNALLING: &str = "rsipstack";
