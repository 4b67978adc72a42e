//! The way of an attempt to the phone, as the operator is told it.

use engine::{Call, Passage, PassedOver};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::utc;

/// The way of an attempt, and why it went so.
#[derive(Serialize, ToSchema)]
pub(super) struct PassageStory {
    /// The link that took it, or refused it for good.
    link: Option<String>,
    /// The route that was followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// The links that were considered before, in order, and why each was passed over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<PassedOverStory>,
    /// What the link's carrier takes for all parts together.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<String>,
    /// How often it was sent anew because nobody knew whether it had arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    resends: Option<u8>,
    /// What was told of each part, if there are several: a receipt's status, `null` if nothing yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    part_receipts: Vec<Option<&'static str>>,
}

/// A link that was considered and not used.
#[derive(Serialize, ToSchema)]
pub(super) struct PassedOverStory {
    /// The link.
    link: String,
    /// Why it was not used.
    reason: String,
}

/// A call.
#[derive(Serialize, ToSchema)]
pub(super) struct CallStory {
    /// Its name on the wire, which the Conversion API takes as `message-id`.
    call_id: String,
    /// When the phone began to ring.
    rang_at: Option<String>,
    /// When somebody answered.
    answered_at: Option<String>,
    /// When it was over.
    ended_at: Option<String>,
    /// Why it ended: `completed`, `hung_up`, `busy`, `no_answer`, `declined`, `no_key` (nobody
    /// pressed the key that the gate asks for), `withdrawn`, `too_long`, or what the trunk did wrong;
    /// empty while it goes on.
    cause: String,
    /// The SIP status that decided it.
    status: Option<u16>,
    /// Seconds from the answer to the end, rounded up.
    seconds: u32,
    /// The codec; empty if nobody answered.
    codec: String,
    /// Packets of speech that were sent.
    packets_sent: u32,
}

impl PassageStory {
    pub(super) fn of(passage: &Passage) -> Self {
        let told = |passed: &PassedOver| PassedOverStory {
            link: passed.link.clone(),
            reason: passed.reason.clone(),
        };
        let status = |receipt: Option<engine::Receipt>| receipt.map(|told| told.status.as_str());
        Self {
            link: passage.link.clone(),
            route: passage.decision.route.clone(),
            passed_over: passage.decision.passed_over.iter().map(told).collect(),
            cost: (!passage.cost.is_zero()).then(|| passage.cost.to_string()),
            resends: (passage.resends > 0).then_some(passage.resends),
            part_receipts: passage.part_receipts.iter().map(status).collect(),
        }
    }
}

impl CallStory {
    pub(super) fn of(call: &Call) -> Self {
        Self {
            call_id: call.call_id.clone(),
            rang_at: call.rang_at.map(utc),
            answered_at: call.answered_at.map(utc),
            ended_at: call.ended_at.map(utc),
            cause: call.cause.clone(),
            status: (call.status != 0).then_some(call.status),
            seconds: call.seconds,
            codec: call.codec.clone(),
            packets_sent: call.packets_sent,
        }
    }
}
