//! Rates, bars, opt-outs and money: what a start is refused for.

#![expect(clippy::unwrap_used, reason = "a broken story fails its test")]

use std::time::Duration;

use countersign::store::{BarredNumber, ConfigChange, OptOut, StartVerification};
use engine::{AccountId, Amount, Limit, Limits, Refusal};

use crate::bench::{
    ALICE, BOB, Bench, CAMPAIGN, NEIGHBOUR, NUMBER, STRANGER, keys, unlimited, verification_of,
};

pub(crate) async fn a_rate_is_kept_per_account_and_over_a_reopening(mut bench: Bench) {
    let limits = Limits { account: two_a_minute(), ..unlimited() };
    admitted(&mut bench, ALICE, NUMBER, limits).await;
    admitted(&mut bench, ALICE, NEIGHBOUR, limits).await;
    for _ in 0..2 {
        let refusal = refused(&mut bench, ALICE, STRANGER, limits).await;
        let retry_after = Duration::from_secs(30);
        assert_eq!(refusal, Refusal::AccountThrottled { retry_after });
        bench.reopen();
    }
    admitted(&mut bench, BOB, STRANGER, limits).await;
    bench.pass(30);
    admitted(&mut bench, ALICE, STRANGER, limits).await;
}

pub(crate) async fn a_clock_that_was_ahead_before_a_reopening_locks_nobody_out(mut bench: Bench) {
    let limits = Limits { account: two_a_minute(), ..unlimited() };
    let correct = bench.now;
    bench.now = correct.after(Duration::from_hours(24 * 365));
    admitted(&mut bench, ALICE, NUMBER, limits).await;
    let mut message = bench.message(ALICE, NEIGHBOUR);
    message.limits = limits;
    bench.try_send(message).await.unwrap();
    bench.now = correct;
    bench.reopen();
    let refusal = refused(&mut bench, ALICE, STRANGER, limits).await;
    let retry_after = Duration::from_secs(30);
    assert_eq!(refusal, Refusal::AccountThrottled { retry_after }, "both count as of now");
    bench.pass(30);
    admitted(&mut bench, ALICE, STRANGER, limits).await;
}

pub(crate) async fn a_rate_is_kept_per_number_over_all_accounts(mut bench: Bench) {
    let limits = Limits { number: two_a_minute(), ..unlimited() };
    admitted(&mut bench, ALICE, NUMBER, limits).await;
    let open = refused(&mut bench, ALICE, NUMBER, limits).await;
    assert!(matches!(open, Refusal::AlreadyOpen(_)), "a refused start spends nothing: {open:?}");
    let mut message = bench.message(BOB, NUMBER);
    message.limits = limits;
    bench.try_send(message).await.unwrap();
    for _ in 0..2 {
        let refusal = refused(&mut bench, BOB, NUMBER, limits).await;
        assert!(matches!(refusal, Refusal::NumberThrottled { .. }), "{refusal:?}");
        bench.reopen();
    }
    admitted(&mut bench, BOB, NEIGHBOUR, limits).await;
    bench.pass(30);
    admitted(&mut bench, BOB, NUMBER, limits).await;
}

pub(crate) async fn a_rate_is_kept_per_block_of_numbers(mut bench: Bench) {
    let limits = Limits { prefix: two_a_minute(), ..unlimited() };
    admitted(&mut bench, ALICE, NUMBER, limits).await;
    admitted(&mut bench, BOB, NEIGHBOUR, limits).await;
    for _ in 0..2 {
        let refusal = refused(&mut bench, BOB, NUMBER, limits).await;
        assert!(matches!(refusal, Refusal::PrefixThrottled { .. }), "{refusal:?}");
        bench.reopen();
    }
    admitted(&mut bench, BOB, STRANGER, limits).await;
}

pub(crate) async fn held_money_cannot_be_spent_twice(mut bench: Bench) {
    let dear = |mut start: StartVerification| {
        start.new.price = Amount::from_units(60);
        start
    };
    let first = dear(bench.verification(ALICE, NUMBER));
    let id = verification_of(&bench.try_start(first).await.unwrap());
    let second = dear(bench.verification(ALICE, STRANGER));
    let refusal = bench.try_start(second.clone()).await.unwrap_err();
    assert_eq!(refusal, Refusal::InsufficientBalance, "60 of 100 are held");
    let mut message = bench.message(ALICE, STRANGER);
    message.new.price = Amount::from_units(41);
    assert_eq!(bench.try_send(message.clone()).await.unwrap_err(), Refusal::InsufficientBalance);
    message.new.price = Amount::from_units(40);
    assert_eq!(bench.try_send(message).await.unwrap().balance.units(), 60);
    bench.verify(ALICE, id).await;
    assert_eq!(bench.balance(ALICE).await, 0);

    let other = dear(bench.verification(BOB, NUMBER));
    verification_of(&bench.try_start(other).await.unwrap());
    bench.pass(300);
    bench.wake().await;
    let other = dear(bench.verification(BOB, STRANGER));
    bench.try_start(other).await.unwrap();
    bench.pass(300);
    let overdue = dear(bench.verification(BOB, STRANGER));
    bench.try_start(overdue).await.unwrap();
}

pub(crate) async fn a_barred_number_is_refused_until_the_bar_is_lifted(mut bench: Bench) {
    let number_key = keys(NUMBER).number;
    let reason = "asked us to".to_owned();
    let bar = BarredNumber { number_key, number: Some(NUMBER), reason, at: bench.now };
    bench.change(ConfigChange::Bar(bar)).await;
    for _ in 0..2 {
        let refusal = refused(&mut bench, ALICE, NUMBER, unlimited()).await;
        assert_eq!(refusal, Refusal::NumberBarred);
        let message = bench.message(BOB, NUMBER);
        assert_eq!(bench.try_send(message).await.unwrap_err(), Refusal::NumberBarred);
        bench.reopen();
    }
    admitted(&mut bench, ALICE, NEIGHBOUR, unlimited()).await;
    bench.change(ConfigChange::Unbar(number_key)).await;
    admitted(&mut bench, ALICE, NUMBER, unlimited()).await;
}

pub(crate) async fn an_opt_out_holds_for_its_campaign_only(mut bench: Bench) {
    let opt_out = OptOut {
        campaign: CAMPAIGN,
        number_key: keys(NUMBER).number,
        number: Some(NUMBER),
        opted_in_at: None,
        opted_out_at: Some(bench.now),
    };
    bench.change(ConfigChange::PutOptOut(opt_out.clone())).await;
    for _ in 0..2 {
        let message = bench.message(ALICE, NUMBER);
        assert_eq!(bench.try_send(message).await.unwrap_err(), Refusal::OptedOut);
        bench.reopen();
    }
    let mut other = bench.message(ALICE, NUMBER);
    other.details.campaign = Some(CAMPAIGN + 1);
    bench.try_send(other).await.unwrap();
    bench.send(ALICE, NEIGHBOUR).await;
    admitted(&mut bench, ALICE, NUMBER, unlimited()).await;
    let back = OptOut { opted_in_at: Some(bench.now), opted_out_at: None, ..opt_out };
    bench.change(ConfigChange::PutOptOut(back)).await;
    bench.send(ALICE, NUMBER).await;
    bench.reopen();
    bench.send(ALICE, NUMBER).await;
}

async fn admitted(bench: &mut Bench, account: AccountId, number: u64, limits: Limits) {
    let start = StartVerification { limits, ..bench.verification(account, number) };
    bench.try_start(start).await.unwrap();
}

async fn refused(bench: &mut Bench, account: AccountId, number: u64, limits: Limits) -> Refusal {
    let start = StartVerification { limits, ..bench.verification(account, number) };
    bench.try_start(start).await.unwrap_err()
}

fn two_a_minute() -> Limit {
    Limit::new(2, Duration::from_mins(1))
}
