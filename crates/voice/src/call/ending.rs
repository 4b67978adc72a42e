//! How a call is taken back, hung up and forgotten.

use std::sync::Arc;
use std::time::Duration;

use rsipstack::dialog::DialogId;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::StatusCode;
use tokio::time::timeout;

use super::{Call, Invite, Rung};
use crate::outcome::{CallOutcome, Heard};
use crate::pacer::Line;
use crate::trunk::Inner;

impl Call {
    /// Takes the INVITE back.
    ///
    /// Ending its task makes the signalling send CANCEL as soon as it may, and BYE if an answer
    /// crosses it. An answer that came just before is ended here.
    pub(super) async fn withdraw(
        &mut self,
        invite: &mut Invite,
        line: &mut Line,
        outcome: CallOutcome,
    ) -> Rung {
        if outcome == CallOutcome::TrunkStalled {
            return self.leave(invite, line).await;
        }
        invite.answer.abort();
        if let Ok(Ok((id, Some(response)))) = (&mut invite.answer).await
            && response.status_code == StatusCode::OK
        {
            end_dialog(&self.trunk, &invite.dialog, id).await;
        }
        Rung::Ended(outcome)
    }

    /// Takes the INVITE back from a trunk that got it to no phone, and waits until it has ended
    /// there: the next trunk calls the same phone.
    async fn leave(&mut self, invite: &mut Invite, line: &mut Line) -> Rung {
        let ending = async {
            let _: Result<_, _> = invite.dialog.cancel().await;
            (&mut invite.answer).await
        };
        match timeout(CANCEL_WAIT, ending).await {
            Err(_) => invite.answer.abort(),
            Ok(answer) => {
                if let Ok(Ok((id, Some(response)))) = answer
                    && response.status_code == StatusCode::OK
                {
                    end_dialog(&self.trunk, &invite.dialog, id).await;
                    return Rung::Ended(CallOutcome::NoAnswer);
                }
                self.trunk.dialogs.remove_dialog(&invite.dialog.id());
            }
        }
        while let Ok(state) = invite.states.try_recv() {
            self.handle_early(state, line);
        }
        // It may have rung in the meantime.
        let rang = self.record.rang_at.is_some();
        Rung::Ended(if rang { CallOutcome::NoAnswer } else { CallOutcome::TrunkStalled })
    }

    /// Ends an INVITE that came to no answer that can be used, such as a 200 without a Contact or a
    /// PRACK that failed: the phone may still ring, and must not be called by another trunk too.
    pub(super) async fn break_off(&self, dialog: &InviteDialog) -> Rung {
        let _: Result<_, _> = timeout(BYE_WAIT, dialog.cancel()).await;
        self.trunk.dialogs.remove_dialog(&dialog.id());
        Rung::Ended(match self.record.heard {
            Heard::Nothing => CallOutcome::TrunkFailed { retry_after: None },
            Heard::Trying => CallOutcome::TrunkStalled,
            Heard::Progress => CallOutcome::NoAnswer,
        })
    }
}

/// Says BYE if the other side did not, and forgets the dialog, which the signalling never does.
///
/// The answer to the BYE is waited for on a task of its own: the call is over once it is sent.
pub(super) async fn end_dialog(trunk: &Arc<Inner>, dialog: &InviteDialog, id: DialogId) {
    let (dialog, trunk) = (dialog.clone(), Arc::clone(trunk));
    let ending = tokio::spawn(async move {
        // A stream that broke is opened again, because the call goes on at the other side.
        let _: Result<_, _> = trunk.wire.connect(&trunk.endpoint, trunk.config.answer_wait).await;
        // No answer to a BYE ends the call as well as one does (RFC 3261 section 15.1.1).
        let _: Result<_, _> = dialog.bye().await;
        trunk.dialogs.remove_dialog(&id);
    });
    let _: Result<_, _> = timeout(BYE_WAIT, ending).await;
}

/// How long a trunk may take to confirm that a call is cancelled: half a minute of RFC 3261 would keep
/// somebody waiting for his code.
const CANCEL_WAIT: Duration = Duration::from_secs(2);

/// How long the record of a call waits for the answer to its BYE.
const BYE_WAIT: Duration = Duration::from_millis(500);
