//! What a turn made known of attempts, for the figures of their routes.

use std::time::Duration;

use engine::{
    Attempt, AttemptId, Channel, MessageRecord, MessageStatus, Outcome, Passage, Progress,
    ReceiptStatus, Subject, Timestamp, VerificationRecord, VerificationState,
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
        let then = (then.progress, then.passage.link.is_some());
        for event in events(then, (is.progress, is.passage.link.is_some()), waited) {
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
    let then = (progress(before.status), before.passage.link.is_some());
    let is = (progress(record.status), record.passage.link.is_some());
    events(then, is, waited).into_iter().for_each(&mut tell);
    let converted = |record: &MessageRecord| record.conversion.is_some_and(|c| c.converted);
    if converted(record) && !converted(before) {
        tell(NewsEvent::Converted);
    }
}

const fn progress(status: MessageStatus) -> Progress {
    match status {
        MessageStatus::Queued => Progress::Queued,
        MessageStatus::Submitted => Progress::Submitted,
        MessageStatus::Unconfirmed => Progress::Unconfirmed,
        MessageStatus::Reported(receipt) => Progress::Reported(receipt),
    }
}

/// Tells what became known when an attempt got from one progress to another; with each comes
/// whether its link was known.
fn events(
    (then, had_link): (Progress, bool),
    (is, has_link): (Progress, bool),
    waited: Duration,
) -> Vec<NewsEvent> {
    match is {
        Progress::Queued | Progress::Withdrawn => Vec::new(),
        // Its receipt overtook the hand-over, and nobody knew whose it was.
        Progress::Reported(receipt) if then == is && has_link && !had_link => {
            vec![NewsEvent::Accepted, NewsEvent::Reported(receipt, Duration::ZERO)]
        }
        _ if then == is => Vec::new(),
        // Its answer was late, and the attempt has been counted.
        Progress::Submitted if then == Progress::Unconfirmed => vec![NewsEvent::Confirmed],
        Progress::Submitted => vec![NewsEvent::Accepted],
        Progress::Unconfirmed => vec![NewsEvent::Unconfirmed],
        Progress::Reported(receipt)
            if receipt.status == ReceiptStatus::Rejected && then == Progress::Queued =>
        {
            vec![NewsEvent::Rejected]
        }
        Progress::Reported(receipt) => vec![NewsEvent::Reported(receipt, waited)],
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

#[cfg(test)]
mod tests {
    use engine::{ErrorCode, Receipt};

    use super::*;

    #[test]
    fn a_refusal_at_the_hand_over_is_no_receipt_and_one_after_it_is() {
        let rejected = reported(ReceiptStatus::Rejected);
        let event = |then, had_link| events((then, had_link), (rejected, true), SECOND);
        assert_eq!(event(Progress::Queued, false), [NewsEvent::Rejected]);
        let Progress::Reported(receipt) = rejected else { panic!("it was reported") };
        assert_eq!(event(Progress::Submitted, true), [NewsEvent::Reported(receipt, SECOND)]);
    }

    #[test]
    fn a_late_answer_is_no_second_attempt() {
        let event = |then| events((then, true), (Progress::Submitted, true), SECOND);
        assert_eq!(event(Progress::Unconfirmed), [NewsEvent::Confirmed]);
        assert_eq!(event(Progress::Queued), [NewsEvent::Accepted]);
    }

    #[test]
    fn a_receipt_that_overtook_its_hand_over_is_told_with_it() {
        let delivered = reported(ReceiptStatus::Delivered);
        let Progress::Reported(receipt) = delivered else { panic!("it was reported") };
        let told = events((delivered, false), (delivered, true), SECOND);
        let at_once = NewsEvent::Reported(receipt, Duration::ZERO);
        assert_eq!(told, [NewsEvent::Accepted, at_once]);
        assert_eq!(events((delivered, true), (delivered, true), SECOND), []);
    }

    fn reported(status: ReceiptStatus) -> Progress {
        Progress::Reported(Receipt { status, error: ErrorCode::NONE })
    }

    const SECOND: Duration = Duration::from_secs(1);
}
