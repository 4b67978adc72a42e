//! What every store promises: one suite of stories, told of each implementation.
//!
//! A story gets a fresh bench. To put another store to the proof, implement [`bench::Backend`]
//! for it and add a line with [`every_story`].

#[path = "store_contract/bench.rs"]
mod bench;
#[path = "store_contract/carriers.rs"]
mod carriers;
#[path = "store_contract/checks.rs"]
mod checks;
#[path = "store_contract/embedded.rs"]
mod embedded;
#[path = "store_contract/endings.rs"]
mod endings;
#[path = "store_contract/figures.rs"]
mod figures;
#[path = "store_contract/inbound.rs"]
mod inbound;
#[path = "store_contract/limits.rs"]
mod limits;
#[path = "store_contract/messages.rs"]
mod messages;
#[path = "store_contract/records.rs"]
mod records;
#[path = "store_contract/retention.rs"]
mod retention;
#[path = "store_contract/sends.rs"]
mod sends;
#[path = "store_contract/starts.rs"]
mod starts;
#[path = "store_contract/webhooks.rs"]
mod webhooks;

use bench::Bench;

/// Makes a test of each story, on the backend that an expression builds.
macro_rules! tests {
    ($name:ident, $backend:expr, $($group:ident::$story:ident,)*) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    crate::$group::$story(crate::Bench::open($backend).await).await;
                }
            )*
        }
    };
}

/// Lists the stories once; a story that is missing here is dead code and does not compile.
macro_rules! every_story {
    ($name:ident, $backend:expr) => {
        tests! {
            $name, $backend,
            carriers::a_final_receipt_takes_all_of_its_messages_names,
            carriers::a_message_of_two_parts_is_delivered_once_both_are,
            carriers::a_receipt_finds_its_attempt_by_the_carriers_name,
            carriers::a_receipt_that_came_before_the_submit_was_confirmed_counts_once,
            carriers::what_no_carrier_told_of_is_purged_in_time,
            carriers::without_a_carriers_name_a_receipt_is_for_the_oldest_that_waits,
            checks::a_check_that_is_sent_again_is_answered_the_same,
            checks::a_refused_check_leaves_the_end_to_the_timer,
            checks::an_account_knows_nothing_of_anothers_verification,
            checks::of_64_right_checks_at_once_one_wins_and_is_charged,
            checks::the_third_wrong_check_fails_and_frees_the_slot,
            endings::a_cancel_that_is_sent_again_is_answered_the_same,
            endings::a_cancel_frees_slot_and_money,
            endings::a_machine_that_ended_is_woken_no_more,
            endings::as_many_are_woken_as_were_asked_for,
            endings::steps_and_expiry_come_in_order,
            endings::what_was_open_goes_on_after_a_reopening,
            figures::figures_are_summed_up_by_what_is_asked_for,
            figures::figures_of_several_nodes_add_up,
            figures::old_figures_are_purged_each_in_its_time,
            inbound::a_stop_opts_out_of_its_campaign_and_is_told,
            inbound::a_start_opts_in_only_where_it_is_allowed,
            inbound::help_is_answered_once_in_a_while_for_nothing,
            inbound::a_barred_number_is_not_answered,
            inbound::what_a_carrier_brings_again_is_taken_once,
            inbound::without_a_name_the_same_text_a_while_later_is_another_message,
            inbound::parts_are_joined_in_their_order_over_a_reopening,
            inbound::parts_whose_others_never_come_are_told_as_they_are,
            inbound::nothing_is_kept_of_what_nobody_wants_to_be_told,
            inbound::an_inbound_webhook_can_be_given_up_and_put_back,
            inbound::a_message_is_purged_once_it_is_old_and_told,
            inbound::an_erased_number_is_not_told_of,
            limits::a_barred_number_is_refused_until_the_bar_is_lifted,
            limits::a_clock_that_was_ahead_before_a_reopening_locks_nobody_out,
            limits::a_rate_is_kept_per_account_and_over_a_reopening,
            limits::a_rate_is_kept_per_number_over_all_accounts,
            limits::a_rate_is_kept_per_block_of_numbers,
            limits::an_opt_out_holds_for_its_campaign_only,
            limits::held_money_cannot_be_spent_twice,
            messages::a_message_without_a_final_receipt_expires_after_a_reopening,
            messages::each_receipt_is_told_once_per_part,
            messages::receipts_may_come_in_any_order,
            messages::two_messages_never_share_a_name,
            records::a_credit_counts_once_per_key,
            records::a_list_is_newest_first_and_of_one_account,
            records::only_a_new_account_gets_its_first_balance,
            records::what_operators_set_up_is_read_back_until_it_is_dropped,
            retention::an_erased_number_is_sent_nothing_more,
            retention::erasing_keeps_limits_and_opt_outs_working,
            retention::only_what_has_ended_is_purged,
            retention::what_an_account_wrote_of_an_erased_number_goes_with_it,
            retention::what_a_webhook_still_tells_of_is_not_purged,
            sends::calls_are_told_by_their_link_and_their_time,
            sends::a_conversion_does_not_move_the_stores_time,
            sends::a_conversion_is_news_of_the_link_that_carried_the_code,
            sends::a_failed_send_hands_out_the_next_step,
            sends::a_lease_is_over_at_once_after_a_reopening,
            sends::a_leased_send_is_claimed_once_until_the_lease_runs_out,
            sends::a_postponed_send_comes_back_when_it_is_due,
            sends::a_receipt_may_overtake_its_submit,
            sends::receipts_after_the_end_are_kept_and_set_nothing_off,
            sends::a_postponement_without_a_try_counts_none,
            sends::what_a_receipt_told_of_is_not_sent_again,
            sends::what_no_link_took_is_claimed_again_once_all_later_steps_have_failed,
            sends::what_no_link_took_is_not_sent_beside_a_later_step_that_arrived,
            sends::what_was_withdrawn_is_never_claimed,
            sends::whoever_lost_the_lease_postpones_nothing,
            starts::a_repeated_message_is_charged_once,
            starts::a_repeated_start_gets_its_first_answer,
            starts::a_slot_past_its_expiry_admits_before_any_timer_fires,
            starts::a_refused_start_leaves_an_overdue_one_to_its_timer,
            starts::a_start_sent_again_without_a_key_is_known_by_its_name,
            starts::a_start_hands_out_its_send_under_a_lease,
            starts::one_is_open_per_account_and_number,
            webhooks::a_given_up_webhook_can_be_put_back_and_tells_when_it_happened,
            webhooks::a_webhook_is_leased_by_the_turn_that_makes_it,
            webhooks::of_several_webhooks_of_a_turn_the_first_is_leased_and_all_are_settled_at_once,
            webhooks::a_try_counts_once_however_often_it_is_reported,
            webhooks::a_webhook_is_leased_and_tried_again_when_due,
            webhooks::accounts_take_turns_and_a_busy_one_waits,
            webhooks::busy_endpoints_are_left_out,
            webhooks::webhooks_wait_through_a_reopening,
        }
    };
}

every_story!(sqlite, crate::bench::Sqlite::fresh());
