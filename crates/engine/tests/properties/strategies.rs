//! What may happen to the machines, and how long it may take.

#![expect(clippy::unwrap_used, reason = "a broken property fails its test")]

use core::time::Duration;

use engine::{
    AccountId, Amount, Channel, Code, ErrorCode, MessageId, NewMessage, NewVerification, Policy,
    Receipt, ReceiptStatus, SecretText, Step, SubmitOutcome, Then, Timestamp, Unconfirmed,
    VerificationId, Workflow,
};
use proptest::prelude::*;

/// How much time goes by before an event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pause {
    Millis(u64),
    UntilTimer,
    JustBeforeTimer,
    Lifetime,
}

#[derive(Clone, Debug)]
pub(super) enum VerificationEvent {
    Check { typed: Typed, nonce: u64 },
    Cancel { nonce: u64 },
    Submitted { step: u8, outcome: SubmitOutcome },
    Receipt { step: u8, receipt: Receipt },
    PartReceipt { step: u8, part: u8, receipt: Receipt },
    Conversion { converted: bool },
    Timeout,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Typed {
    Right,
    RightNumber,
    Wrong,
}

#[derive(Clone, Debug)]
pub(super) enum MessageEvent {
    Submitted { outcome: SubmitOutcome },
    Receipt { receipt: Receipt },
    PartReceipt { part: u8, receipt: Receipt },
    Conversion { converted: bool },
    Timeout,
}

pub(super) fn pause() -> impl Strategy<Value = Pause> {
    prop_oneof![
        4 => (0_u64..40_000).prop_map(Pause::Millis),
        2 => Just(Pause::Millis(0)),
        3 => Just(Pause::UntilTimer),
        1 => Just(Pause::JustBeforeTimer),
        1 => Just(Pause::Lifetime),
    ]
}

pub(super) fn verification_event() -> impl Strategy<Value = VerificationEvent> {
    let typed = prop_oneof![
        1 => Just(Typed::Right),
        1 => Just(Typed::RightNumber),
        8 => Just(Typed::Wrong),
    ];
    // One more than there are steps: what is reported of no attempt must do no harm.
    let step = 0..=STEPS_MAX;
    prop_oneof![
        4 => (typed, 0_u64..12).prop_map(|(typed, nonce)| VerificationEvent::Check { typed, nonce }),
        1 => (0_u64..3).prop_map(|nonce| VerificationEvent::Cancel { nonce }),
        4 => (step.clone(), submit_outcome())
            .prop_map(|(step, outcome)| VerificationEvent::Submitted { step, outcome }),
        4 => (step, receipt())
            .prop_map(|(step, receipt)| VerificationEvent::Receipt { step, receipt }),
        2 => (0..=STEPS_MAX, 0..PARTS, receipt()).prop_map(|(step, part, receipt)| {
            VerificationEvent::PartReceipt { step, part, receipt }
        }),
        1 => any::<bool>().prop_map(|converted| VerificationEvent::Conversion { converted }),
        4 => Just(VerificationEvent::Timeout),
    ]
}

pub(super) fn message_event() -> impl Strategy<Value = MessageEvent> {
    prop_oneof![
        2 => submit_outcome().prop_map(|outcome| MessageEvent::Submitted { outcome }),
        4 => receipt().prop_map(|receipt| MessageEvent::Receipt { receipt }),
        4 => (0_u8..16, receipt())
            .prop_map(|(part, receipt)| MessageEvent::PartReceipt { part, receipt }),
        1 => any::<bool>().prop_map(|converted| MessageEvent::Conversion { converted }),
        2 => Just(MessageEvent::Timeout),
    ]
}

fn submit_outcome() -> impl Strategy<Value = SubmitOutcome> {
    prop_oneof![
        Just(SubmitOutcome::Accepted),
        Just(SubmitOutcome::Unknown),
        Just(SubmitOutcome::Rejected(ErrorCode::UNREACHABLE)),
    ]
}

fn receipt() -> impl Strategy<Value = Receipt> {
    let status = prop_oneof![
        Just(ReceiptStatus::Accepted),
        Just(ReceiptStatus::Buffered),
        Just(ReceiptStatus::Delivered),
        Just(ReceiptStatus::Expired),
        Just(ReceiptStatus::Failed),
        Just(ReceiptStatus::Rejected),
        Just(ReceiptStatus::Unknown),
    ];
    let error = prop_oneof![Just(ErrorCode::NONE), Just(ErrorCode::GENERAL)];
    (status, error).prop_map(|(status, error)| Receipt { status, error })
}

pub(super) fn new_verification() -> impl Strategy<Value = NewVerification> {
    let channel = prop_oneof![Just(Channel::Sms), Just(Channel::Voice)];
    let wait = prop_oneof![1_u64..1000, 15_000_u64..900_000, Just(60_000), Just(300_000)];
    let step = (channel, wait)
        .prop_map(|(channel, wait)| Step { channel, wait: Duration::from_millis(wait) });
    let lifetime = prop_oneof![60_000_u64..3_600_000, Just(300_000)];
    (
        (step.clone(), prop::collection::vec(step, 0..usize::from(STEPS_MAX))),
        lifetime,
        0_u64..300_000,
        1_u8..=10,
        prop_oneof![Just(0_i64), 1_i64..1000],
        unconfirmed(),
    )
        .prop_map(|((first, rest), lifetime, cancel_after, checks_max, price, unconfirmed)| {
            NewVerification {
                id: VerificationId::from_u128(1),
                account: AccountId(1),
                policy: Policy {
                    workflow: Workflow::new(first, rest),
                    lifetime: Duration::from_millis(lifetime),
                    cancel_after: Duration::from_millis(cancel_after),
                    checks_max,
                    unconfirmed,
                },
                price: Amount::from_units(price),
                code: Code::parse("0042").unwrap(),
            }
        })
}

pub(super) fn new_message() -> impl Strategy<Value = NewMessage> {
    let price = prop_oneof![Just(0_i64), 1_i64..1000];
    (1_u64..300_000, 1_u8..=16, price, unconfirmed()).prop_map(
        |(lifetime, parts, price, unconfirmed)| NewMessage {
            id: MessageId::from_u64(0x10),
            account: AccountId(1),
            expires_at: START.after(Duration::from_millis(lifetime)),
            parts,
            price: Amount::from_units(price),
            text: SecretText::concat(&["Your PIN is 4815"]),
            unconfirmed,
        },
    )
}

fn unconfirmed() -> impl Strategy<Value = Option<Unconfirmed>> {
    let then = prop_oneof![Just(Then::NextStep), Just(Then::NextLink)];
    let policy = (1_u64..120_000, then)
        .prop_map(|(wait, then)| Unconfirmed { wait: Duration::from_millis(wait), then });
    prop::option::of(policy)
}

/// How many parts a carrier tells of.
pub(super) const PARTS: u8 = 2;

/// When every story begins.
pub(super) const START: Timestamp = Timestamp::from_millis(1_795_300_000_000);

/// The longest workflow that is tried.
pub(super) const STEPS_MAX: u8 = 5;
