//! How verifications end, by themselves and at somebody's wish.

use crate::stage::story;

#[test]
fn a_cancel_is_refused_in_the_first_thirty_seconds() {
    story(
        "0s start sms,voice
         0s cancel
         29s cancel
         30s cancel
         31s cancel
         60s",
        "0s send sms 0
         0s refused: too early, wait 30s
         29s refused: too early, wait 1s
         30s done / 30s withdraw 0 / 30s notify cancelled
         31s refused: ended cancelled",
    );
}

#[test]
fn the_same_cancel_gets_the_same_answer() {
    story(
        "0s start sms\n40s cancel #7\n41s cancel #7\n42s cancel #8\n400s cancel #7",
        "0s send sms 0
         40s done / 40s withdraw 0 / 40s notify cancelled
         41s done
         42s refused: ended cancelled
         400s done",
    );
}

#[test]
fn a_cancel_after_the_expiry_is_refused_even_if_no_timer_has_fired() {
    story(
        "0s start sms\n300s cancel\n301s",
        "0s send sms 0
         300s refused: ended expired
         301s withdraw 0 / 301s notify expired",
    );
}

#[test]
fn only_success_is_charged_and_a_free_one_is_not() {
    story(
        "0s start sms price 0\n5s check right",
        "0s send sms 0
         5s right / 5s withdraw 0 / 5s notify verified",
    );
    for (ending, outcome) in [("cancel", "done"), ("check wrong", "wrong, 0 left")] {
        story(
            &format!("0s start sms checks 1\n40s {ending}\n300s"),
            &format!(
                "0s send sms 0
                 40s {outcome} / 40s withdraw 0 / 40s notify {}",
                if ending == "cancel" { "cancelled" } else { "failed" }
            ),
        );
    }
}

#[test]
fn the_end_withdraws_what_is_in_flight_and_leaves_what_is_settled() {
    story(
        "0s start sms,voice,voice
         1s submitted 0 accepted
         2s receipt 0 delivered
         60s
         61s submitted 1 accepted
         120s
         130s check right
         130s attempts",
        "0s send sms 0
         60s send voice 1
         120s send voice 2
         130s right / 130s withdraw 1 / 130s withdraw 2 / 130s charge 5 / 130s notify verified
         130s 0 sms delivered, 1 voice submitted, 2 voice withdrawn",
    );
}

#[test]
fn receipts_after_the_end_are_recorded_and_do_nothing() {
    story(
        "0s start sms,voice
         5s submitted 0 accepted
         10s check right
         11s receipt 0 failed
         11s attempts
         12s receipt 0 delivered
         12s attempts",
        "0s send sms 0
         10s right / 10s withdraw 0 / 10s charge 5 / 10s notify verified
         11s 0 sms failed
         12s 0 sms failed",
    );
}

#[test]
fn a_send_that_could_not_be_stopped_in_time_is_recorded_and_does_nothing() {
    story(
        "0s start sms,voice
         10s check right
         10s attempts
         11s submitted 0 rejected
         11s attempts",
        "0s send sms 0
         10s right / 10s withdraw 0 / 10s charge 5 / 10s notify verified
         10s 0 sms withdrawn
         11s 0 sms rejected",
    );
}
