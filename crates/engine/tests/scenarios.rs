//! The product's rules, told as stories: what happens when, and what comes of it.
//!
//! A script has one line per event, each with the seconds since the start; a line with nothing
//! but a time lets the timers fire. The expected text has one line per thing that came of it.
//! Unless a script says otherwise the code is 0042, steps are 60 s apart, the code can be typed
//! for 300 s, a cancel is refused for 30 s, three wrong checks are too many, and success costs 5.

#[path = "scenarios/endings.rs"]
mod endings;
#[path = "scenarios/stage.rs"]
mod stage;

mod timing {
    use crate::stage::story;

    #[test]
    fn the_seven_workflows_send_at_0_60_and_120_seconds_and_expire_at_300() {
        let steps = |preset: &str, expected: &str| {
            let script = format!("0s start preset {preset}\n60s\n120s\n180s\n240s\n299s\n300s");
            story(&script, expected);
        };
        steps(
            "1",
            "0s send sms 0 / 60s send voice 1 / 120s send voice 2
             300s withdraw 0 / 300s withdraw 1 / 300s withdraw 2 / 300s notify expired",
        );
        steps(
            "2",
            "0s send sms 0 / 60s send sms 1 / 120s send voice 2
             300s withdraw 0 / 300s withdraw 1 / 300s withdraw 2 / 300s notify expired",
        );
        steps(
            "3",
            "0s send voice 0 / 60s send voice 1
             300s withdraw 0 / 300s withdraw 1 / 300s notify expired",
        );
        steps(
            "4",
            "0s send sms 0 / 60s send sms 1
             300s withdraw 0 / 300s withdraw 1 / 300s notify expired",
        );
        steps(
            "5",
            "0s send sms 0 / 60s send voice 1
             300s withdraw 0 / 300s withdraw 1 / 300s notify expired",
        );
        steps("6", "0s send sms 0 / 300s withdraw 0 / 300s notify expired");
        steps("7", "0s send voice 0 / 300s withdraw 0 / 300s notify expired");
    }

    #[test]
    fn the_timer_names_the_next_step_then_the_expiry_then_nothing() {
        story(
            "0s start sms,voice
             0s timer
             59s
             60s
             60s timer
             300s
             300s timer",
            "0s send sms 0
             0s next timer at 60s
             60s send voice 1
             60s next timer at 300s
             300s withdraw 0 / 300s withdraw 1 / 300s notify expired
             300s no timer",
        );
    }

    #[test]
    fn a_timer_that_fires_late_sends_one_step_and_counts_the_next_wait_from_then() {
        story(
            "0s start sms,voice,voice
             130s
             130s
             130s timer",
            "0s send sms 0
             130s send voice 1
             130s next timer at 190s",
        );
    }

    #[test]
    fn expiry_beats_a_step_that_is_due_at_the_same_moment() {
        story(
            "0s start sms,voice every 300s
             300s",
            "0s send sms 0
             300s withdraw 0 / 300s notify expired",
        );
    }

    #[test]
    fn a_definite_failure_at_the_moment_of_expiry_sends_nothing_more() {
        story(
            "0s start sms,voice every 400s
             300s receipt 0 failed",
            "0s send sms 0
             300s notify expired",
        );
    }

    #[test]
    fn a_step_that_would_come_after_the_expiry_never_comes() {
        story(
            "0s start sms,voice every 400s
             0s timer
             300s
             400s",
            "0s send sms 0
             0s next timer at 300s
             300s withdraw 0 / 300s notify expired",
        );
    }
}

mod failures {
    use crate::stage::story;

    #[test]
    fn a_definite_failure_moves_on_at_once_and_the_next_wait_counts_from_then() {
        for failure in ["failed", "rejected", "expired"] {
            story(
                &format!(
                    "0s start sms,voice,voice
                     12s receipt 0 {failure}
                     60s
                     71s
                     72s"
                ),
                "0s send sms 0
                 12s send voice 1
                 72s send voice 2",
            );
        }
    }

    #[test]
    fn a_send_that_the_carrier_refuses_moves_on_at_once() {
        story(
            "0s start sms,voice
             1s submitted 0 rejected
             1s attempts",
            "0s send sms 0
             1s send voice 1
             1s 0 sms rejected, 1 voice queued",
        );
    }

    #[test]
    fn what_is_no_definite_failure_waits_for_its_time() {
        for state in ["accepted", "buffered", "unknown", "delivered"] {
            story(
                &format!("0s start sms,voice\n5s receipt 0 {state}\n59s\n60s"),
                "0s send sms 0
                 60s send voice 1",
            );
        }
        story("0s start sms,voice\n5s submitted 0 unknown\n59s", "0s send sms 0");
    }

    #[test]
    fn the_last_step_failing_keeps_the_code_valid_until_it_expires() {
        story(
            "0s start sms
             1s receipt 0 failed
             1s timer
             60s
             299s check right",
            "0s send sms 0
             1s next timer at 300s
             299s right / 299s charge 5 / 299s notify verified",
        );
    }

    #[test]
    fn a_late_failure_of_an_earlier_step_does_not_hurry_the_current_one() {
        story(
            "0s start sms,voice,voice
             60s
             61s receipt 0 failed
             61s attempts
             119s
             120s",
            "0s send sms 0
             60s send voice 1
             61s 0 sms failed, 1 voice queued
             120s send voice 2",
        );
    }

    #[test]
    fn a_failure_told_twice_moves_on_once() {
        story(
            "0s start sms,voice,voice
             5s submitted 0 rejected
             6s submitted 0 rejected
             7s receipt 0 failed",
            "0s send sms 0
             5s send voice 1",
        );
    }
}

mod checks {
    use crate::stage::story;

    #[test]
    fn one_code_serves_all_steps() {
        story(
            "0s start sms,voice
             60s
             60s code
             61s check right",
            "0s send sms 0
             60s send voice 1
             60s the code is still the first
             61s right / 61s withdraw 0 / 61s withdraw 1 / 61s charge 5 / 61s notify verified",
        );
    }

    #[test]
    fn the_third_wrong_check_fails_the_verification() {
        story(
            "0s start sms,voice
             10s check wrong
             20s check wrong
             30s check wrong
             31s check right
             60s",
            "0s send sms 0
             10s wrong, 2 left
             20s wrong, 1 left
             30s wrong, 0 left / 30s withdraw 0 / 30s notify failed
             31s refused: ended failed",
        );
    }

    #[test]
    fn a_right_check_ends_it_once_and_charges_once() {
        story(
            "0s start sms
             10s check wrong
             20s check right
             21s check right
             22s check wrong
             300s",
            "0s send sms 0
             10s wrong, 2 left
             20s right / 20s withdraw 0 / 20s charge 5 / 20s notify verified
             21s refused: ended verified
             22s refused: ended verified",
        );
    }

    #[test]
    fn a_check_that_is_sent_again_gets_its_first_answer_and_counts_once() {
        story(
            "0s start sms
             10s check wrong #7
             11s check wrong #7
             12s check wrong #8
             13s check wrong #7
             14s check right #9
             15s check right #9
             400s check wrong #8",
            "0s send sms 0
             10s wrong, 2 left
             11s wrong, 2 left
             12s wrong, 1 left
             13s wrong, 2 left
             14s right / 14s withdraw 0 / 14s charge 5 / 14s notify verified
             15s right
             400s wrong, 1 left",
        );
    }

    #[test]
    fn a_code_that_comes_as_a_number_gets_its_leading_zeros_back() {
        story(
            "0s start sms
             10s check 42
             20s check number 4200
             30s check number 42",
            "0s send sms 0
             10s wrong, 2 left
             20s wrong, 1 left
             30s right / 30s withdraw 0 / 30s charge 5 / 30s notify verified",
        );
    }

    #[test]
    fn from_its_expiry_on_no_code_is_right_even_if_no_timer_has_fired() {
        story(
            "0s start sms
             300s check right
             301s
             302s check right",
            "0s send sms 0
             300s refused: ended expired
             301s withdraw 0 / 301s notify expired
             302s refused: ended expired",
        );
    }

    #[test]
    fn the_code_is_forgotten_with_the_end() {
        story(
            "0s start sms\n10s check right\n10s code",
            "0s send sms 0
             10s right / 10s withdraw 0 / 10s charge 5 / 10s notify verified
             10s the code is gone",
        );
    }
}

mod receipts {
    use crate::stage::story;

    #[test]
    fn a_receipt_that_overtakes_its_submit_is_not_undone_by_it() {
        story(
            "0s start sms
             1s receipt 0 delivered
             2s submitted 0 accepted
             2s attempts",
            "0s send sms 0
             2s 0 sms delivered",
        );
    }

    #[test]
    fn a_receipt_of_an_attempt_that_was_never_made_changes_nothing() {
        story(
            "0s start sms,voice
             1s receipt 1 failed
             1s submitted 1 rejected
             1s attempts",
            "0s send sms 0
             1s 0 sms queued",
        );
    }

    #[test]
    fn a_submit_that_nobody_can_confirm_is_settled_by_its_receipt() {
        story(
            "0s start sms
             1s submitted 0 unknown
             1s attempts
             2s receipt 0 delivered
             2s attempts",
            "0s send sms 0
             1s 0 sms unconfirmed
             2s 0 sms delivered",
        );
    }
}

mod messages {
    use crate::stage::story;

    #[test]
    fn a_message_is_charged_at_once_and_told_of_at_each_step() {
        story(
            "0s message price 7
             1s submitted accepted
             1s status
             2s receipt accepted
             5s receipt buffered
             9s receipt delivered
             9s timer",
            "0s charge 7 / 0s send sms 0
             1s submitted
             2s notify accepted
             5s notify buffered
             9s notify delivered
             9s no timer",
        );
    }

    #[test]
    fn a_final_state_never_changes_and_the_same_state_is_not_told_twice() {
        for last in ["delivered", "failed", "rejected", "expired"] {
            story(
                &format!(
                    "0s message
                     1s submitted accepted
                     2s receipt buffered
                     3s receipt buffered
                     4s receipt {last}
                     5s receipt {last}
                     6s receipt delivered
                     7s receipt failed
                     72h
                     72h status"
                ),
                &format!(
                    "0s send sms 0
                     2s notify buffered
                     4s notify {last}
                     259200s {last}"
                ),
            );
        }
    }

    #[test]
    fn a_message_without_a_final_receipt_expires_after_72_hours() {
        story(
            "0s message
             1s submitted accepted
             2s timer
             259199s
             72h
             72h
             72h timer",
            "0s send sms 0
             2s next timer at 259200s
             259200s withdraw 0 / 259200s notify expired
             259200s no timer",
        );
    }

    #[test]
    fn a_receipt_after_the_expiry_is_dropped() {
        story(
            "0s message
             1s submitted accepted
             72h
             259300s receipt delivered
             259300s status",
            "0s send sms 0
             259200s withdraw 0 / 259200s notify expired
             259300s expired",
        );
    }

    #[test]
    fn a_message_that_the_carrier_refuses_is_told_as_rejected() {
        story(
            "0s message price 7\n1s submitted rejected\n1s status\n1s text\n2s receipt delivered",
            "0s charge 7 / 0s send sms 0
             1s notify rejected
             1s rejected
             1s the text is gone",
        );
    }

    #[test]
    fn a_submit_that_nobody_can_confirm_is_not_told_and_may_still_be_delivered() {
        story(
            "0s message\n1s submitted unknown\n1s status\n1s text\n9s receipt delivered",
            "0s send sms 0
             1s unconfirmed
             1s the text is gone
             9s notify delivered",
        );
    }

    #[test]
    fn a_receipt_that_overtakes_its_submit_is_not_undone_by_it() {
        story(
            "0s message
             1s receipt buffered
             1s text
             2s submitted rejected
             2s text
             2s status",
            "0s send sms 0
             1s notify buffered
             1s the text is kept
             2s the text is gone
             2s buffered",
        );
    }

    #[test]
    fn the_text_is_wiped_once_a_carrier_has_it_or_nobody_needs_it() {
        story(
            "0s message\n0s text\n1s submitted accepted\n1s text",
            "0s send sms 0
             0s the text is kept
             1s the text is gone",
        );
        story(
            "0s message\n1s receipt delivered\n1s text",
            "0s send sms 0
             1s notify delivered
             1s the text is gone",
        );
        story(
            "0s message\n72h\n72h text",
            "0s send sms 0
             259200s withdraw 0 / 259200s notify expired
             259200s the text is gone",
        );
    }
}
