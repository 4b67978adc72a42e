//! What a turn made known of attempts, for the figures of their routes.

use std::time::Duration;

use engine::{
    Attempt, AttemptId, Channel, MessageRecord, MessageStatus, Outcome, Passage, Progress, Subject,
    Timestamp, VerificationRecord, VerificationState,
};

use super::super::{News, NewsEvent};
use super::load::{LoadedMessage, LoadedVerification};

/// Adds what a turn made known of a verification's attempts.
pub(super) fn of_verification(
    before: &VerificationRecord,
    loaded: &LoadedVerification,
    now: Timestamp,
    news: &mut Vec<News>,
) {
    let record = loaded.machine.record();
    let subject = Subject::Verification(record.id);
    let mut tell = |step: u8, attempt: &Attempt, event: NewsEvent| {
        let id = AttemptId { subject, step };
        news.extend(entry(id, attempt.channel, &attempt.passage, loaded.number, event));
    };
    for ((step, then), is) in (0_u8..).zip(&before.attempts).zip(&record.attempts) {
        let waited = now.since(then.progress_at);
        if then.progress != is.progress
            && let Some(event) = progressed(is.progress, waited)
        {
            tell(step, is, event);
        }
    }
    let verified = matches!(record.state, VerificationState::Ended { outcome, .. }
        if outcome == Outcome::Verified);
    let was_open = matches!(before.state, VerificationState::Open { .. });
    if verified && was_open {
        let sent = |(_, attempt): &(u8, &Attempt)| attempt.passage.link.is_some();
        let last = (0_u8..).zip(&record.attempts).filter(sent).last();
        if let Some((step, attempt)) = last {
            tell(step, attempt, NewsEvent::Converted);
        }
    }
}

/// Adds what a turn made known of a message's attempt.
pub(super) fn of_message(
    before: &MessageRecord,
    loaded: &LoadedMessage,
    now: Timestamp,
    news: &mut Vec<News>,
) {
    let record = loaded.machine.record();
    let id = AttemptId { subject: Subject::Message(record.id), step: 0 };
    let waited = now.since(before.status_at);
    let mut tell = |event| {
        news.extend(entry(id, Channel::Sms, &record.passage, loaded.number, event));
    };
    if before.status != record.status {
        let event = match record.status {
            MessageStatus::Queued => None,
            MessageStatus::Submitted => Some(NewsEvent::Accepted),
            MessageStatus::Unconfirmed => Some(NewsEvent::Unconfirmed),
            MessageStatus::Reported(receipt) => progressed(Progress::Reported(receipt), waited),
        };
        event.into_iter().for_each(&mut tell);
    }
    let converted = |record: &MessageRecord| record.conversion.is_some_and(|c| c.converted);
    if converted(record) && !converted(before) {
        tell(NewsEvent::Converted);
    }
}

fn progressed(progress: Progress, waited: Duration) -> Option<NewsEvent> {
    match progress {
        Progress::Queued | Progress::Withdrawn => None,
        Progress::Submitted => Some(NewsEvent::Accepted),
        Progress::Unconfirmed => Some(NewsEvent::Unconfirmed),
        Progress::Reported(receipt) if receipt.status == engine::ReceiptStatus::Rejected => {
            Some(NewsEvent::Rejected)
        }
        Progress::Reported(receipt) => Some(NewsEvent::Reported(receipt, waited)),
    }
}

fn entry(
    attempt: AttemptId,
    channel: Channel,
    passage: &Passage,
    number: Option<u64>,
    event: NewsEvent,
) -> Option<News> {
    let link = passage.link.clone()?;
    let route = passage.decision.route.clone();
    Some(News { attempt, channel, link, route, number, event })
}
