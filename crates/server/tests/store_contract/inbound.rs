//! What handsets send: repeats, parts, opt-outs, answers to HELP, and what is forgotten of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken story fails its test")]

use std::time::Duration;

use countersign::store::{
    BarredNumber, Concat, ConfigChange, Content, Inbound, InboundCampaign, InboundKey,
    InboundTaken, InboundView, Settlement, StartMessage, WebhookEvent, WebhookSubject,
};
use engine::{Amount, Bucket, Keyword, MessageId, Refusal, SecretText};

use crate::bench::{ALICE, Bench, CAMPAIGN, NUMBER, STRANGER, everything_before, keys, message_of};

pub(crate) async fn a_stop_opts_out_of_its_campaign_and_is_told(mut bench: Bench) {
    let taken = write(&mut bench, "STOP", None).await;
    assert_eq!(taken.keyword, Some(Keyword::Stop));
    assert!(taken.effects.opt_outs && taken.effects.webhooks);
    let message = bench.message(ALICE, NUMBER);
    assert_eq!(bench.try_send(message).await.unwrap_err(), Refusal::OptedOut);
    bench.reopen();
    let message = bench.message(ALICE, NUMBER);
    assert_eq!(bench.try_send(message).await.unwrap_err(), Refusal::OptedOut);
    let told = views(&bench).await;
    let [view] = told.as_slice() else { panic!("one webhook, not {told:?}") };
    assert_eq!((view.text.reveal(), view.from, view.to.as_str()), ("STOP", NUMBER, "12345"));
    let rows = bench.store().directory().await.unwrap().opt_outs;
    assert_eq!(rows.first().unwrap().opted_out_at, Some(bench.now));
    assert!(!write(&mut bench, "stop", None).await.effects.opt_outs, "it is opted out already");
}

pub(crate) async fn a_start_opts_in_only_where_it_is_allowed(mut bench: Bench) {
    assert!(!with(&mut bench, "START", |c| c.start_allowed = true).await.effects.opt_outs);
    write(&mut bench, "STOP", None).await;
    assert!(!write(&mut bench, "START", None).await.effects.opt_outs);
    let message = bench.message(ALICE, NUMBER);
    assert_eq!(bench.try_send(message).await.unwrap_err(), Refusal::OptedOut);
    assert!(with(&mut bench, "START", |c| c.start_allowed = true).await.effects.opt_outs);
    let message = bench.message(ALICE, NUMBER);
    message_of(&bench.try_send(message).await.unwrap());
}

pub(crate) async fn help_is_answered_once_in_a_while_for_nothing(mut bench: Bench) {
    write(&mut bench, "STOP", None).await;
    let taken = write(&mut bench, "HELP", None).await;
    let [job] = taken.effects.sends.as_slice() else { panic!("one answer: {taken:?}") };
    let Content::Text(text) = &job.content else { panic!("{job:?}") };
    assert_eq!((text.reveal(), job.number), ("It is us.", NUMBER));
    assert_eq!(bench.balance(ALICE).await, 100);
    assert!(write(&mut bench, "help?", None).await.effects.sends.is_empty(), "it just was");
    bench.reopen();
    bench.pass(599);
    assert!(write(&mut bench, "HELP", None).await.effects.sends.is_empty());
    bench.pass(1);
    assert_eq!(write(&mut bench, "HELP", None).await.effects.sends.len(), 1);
}

pub(crate) async fn a_barred_number_is_not_answered(mut bench: Bench) {
    let (number_key, at) = (keys(NUMBER).number, bench.now);
    let bar = BarredNumber { number_key, number: None, reason: "fraud".to_owned(), at };
    bench.change(ConfigChange::Bar(bar)).await;
    let taken = write(&mut bench, "HELP", None).await;
    assert!(taken.effects.sends.is_empty());
    assert!(taken.effects.webhooks, "its account is told all the same");
}

pub(crate) async fn what_a_carrier_brings_again_is_taken_once(mut bench: Bench) {
    let mut first = inbound(&mut bench, "HELP", None);
    first.key.named = true;
    let taken = take(&bench, first.clone()).await;
    assert_eq!((taken.repeat, taken.effects.sends.len()), (false, 1));
    bench.reopen();
    bench.pass(24 * 3600);
    let again = Inbound { id: first.id.next(), now: bench.now, ..first };
    let taken = take(&bench, again).await;
    assert!(taken.repeat && taken.effects.sends.is_empty() && !taken.effects.webhooks);
    assert_eq!(views(&bench).await.len(), 1);
}

pub(crate) async fn without_a_name_the_same_text_a_while_later_is_another_message(
    mut bench: Bench,
) {
    let first = inbound(&mut bench, "Hello", None);
    assert!(!take(&bench, first.clone()).await.repeat);
    bench.pass(119);
    let again = Inbound { now: bench.now, ..first.clone() };
    assert!(take(&bench, again).await.repeat);
    bench.pass(2);
    let another = Inbound { now: bench.now, ..first };
    assert!(!take(&bench, another).await.repeat);
    let told = views(&bench).await;
    assert_eq!(told.len(), 2);
    assert_ne!(told.first().unwrap().id, told.last().unwrap().id);
}

pub(crate) async fn parts_are_joined_in_their_order_over_a_reopening(mut bench: Bench) {
    let third = inbound(&mut bench, "of us.", Concat::new(9, 3, 3));
    assert!(!take(&bench, third.clone()).await.effects.webhooks);
    bench.reopen();
    write(&mut bench, "STOP, ", Concat::new(9, 3, 1)).await;
    let message = bench.message(ALICE, NUMBER);
    assert_eq!(bench.try_send(message).await.unwrap_err(), Refusal::OptedOut, "not waited for");
    assert!(take(&bench, third.clone()).await.repeat);
    write(&mut bench, "another's", Concat::new(8, 3, 2)).await;
    bench.reopen();
    let taken = write(&mut bench, "all ", Concat::new(9, 3, 2)).await;
    assert!(taken.effects.webhooks && taken.keyword.is_none());
    let told = views(&bench).await;
    let [view] = told.as_slice() else { panic!("one webhook, not {told:?}") };
    assert_eq!((view.text.reveal(), view.concat), ("STOP, all of us.", None));
    assert!(take(&bench, third).await.repeat, "its joined parts are still known");
}

pub(crate) async fn parts_whose_others_never_come_are_told_as_they_are(mut bench: Bench) {
    write(&mut bench, "one ", Concat::new(9, 3, 1)).await;
    bench.pass(60);
    write(&mut bench, "three", Concat::new(9, 3, 3)).await;
    bench.reopen();
    let due = bench.store().next_due().await.unwrap().machine;
    assert_eq!(due, Some(bench.now.after(Duration::from_mins(9))));
    bench.pass(539);
    assert!(!bench.wake().await.effects.webhooks);
    bench.pass(1);
    assert!(bench.wake().await.effects.webhooks);
    let told = views(&bench).await;
    let parts: Vec<_> = told.iter().map(|view| (view.text.reveal(), view.concat)).collect();
    assert_eq!(parts, [("one ", Concat::new(9, 3, 1)), ("three", Concat::new(9, 3, 3))]);
    assert_eq!(bench.wake().await.count, 0);
}

pub(crate) async fn nothing_is_kept_of_what_nobody_wants_to_be_told(mut bench: Bench) {
    let mut quiet = inbound(&mut bench, "STOP", None);
    quiet.forward = false;
    let taken = take(&bench, quiet.clone()).await;
    assert!(taken.effects.opt_outs && !taken.effects.webhooks);
    assert!(take(&bench, quiet).await.repeat);
    assert!(views(&bench).await.is_empty());
}

pub(crate) async fn an_inbound_webhook_can_be_given_up_and_put_back(mut bench: Bench) {
    write(&mut bench, "Hello", None).await;
    let job = bench.claim_webhooks().await.pop().unwrap();
    let id = job.id;
    let dead = Settlement::Dead { at: bench.now, error: String::new() };
    bench.settle(id, job.tries, dead).await;
    let dead = bench.store().dead_webhooks(10).await.unwrap();
    assert!(matches!(dead.first().unwrap().subject, WebhookSubject::Inbound(_)));
    bench.pass(1);
    let nothing =
        bench.store().purge(everything_before(bench.now.before(Duration::from_secs(1))), 9);
    assert_eq!(nothing.await.unwrap(), 0);
    assert!(bench.store().replay_webhook(id, bench.now).await.unwrap());
    let told = views(&bench).await;
    assert_eq!(told.first().unwrap().text.reveal(), "Hello");
}

pub(crate) async fn a_message_is_purged_once_it_is_old_and_told(mut bench: Bench) {
    write(&mut bench, "HELP", None).await;
    write(&mut bench, "waits", Concat::new(1, 2, 2)).await;
    bench.pass(60);
    let all = everything_before(bench.now);
    assert_eq!(bench.store().purge(all, 100).await.unwrap(), 1, "when HELP was answered");
    for job in bench.claim_webhooks().await {
        bench.settle(job.id, job.tries, Settlement::Done).await;
    }
    assert_eq!(bench.store().purge(all, 100).await.unwrap(), 1, "the message");
}

pub(crate) async fn an_erased_number_is_not_told_of(mut bench: Bench) {
    write(&mut bench, "STOP", None).await;
    write(&mut bench, "waits", Concat::new(1, 2, 2)).await;
    assert_eq!(bench.store().erase(STRANGER, bench.now).await.unwrap(), 0);
    assert_eq!(bench.store().erase(NUMBER, bench.now).await.unwrap(), 3, "with the opt-out");
    assert!(views(&bench).await.is_empty());
    bench.pass(600);
    assert!(!bench.wake().await.effects.webhooks);
    let message = bench.message(ALICE, NUMBER);
    assert_eq!(bench.try_send(message).await.unwrap_err(), Refusal::OptedOut);
}

/// A message from [`NUMBER`] to a campaign of [`ALICE`], that the carrier gives no name.
fn inbound(bench: &mut Bench, text: &str, concat: Option<Concat>) -> Inbound {
    let mut help: StartMessage = bench.message(ALICE, NUMBER);
    help.new.price = Amount::ZERO;
    help.new.text = SecretText::concat(&["It is us."]);
    let mut digest = [0; 16];
    let (drawn, rest) = digest.split_at_mut(8);
    drawn.copy_from_slice(&help.nonce.to_be_bytes());
    rest.fill(7);
    Inbound {
        id: MessageId::compose(bench.now, Bucket::of(ALICE, NUMBER), 1),
        key: InboundKey { digest, named: false },
        account: ALICE,
        from: NUMBER,
        from_key: keys(NUMBER).number,
        to: "12345".to_owned(),
        text: SecretText::concat(&[text]),
        concat,
        campaign: Some(InboundCampaign {
            id: CAMPAIGN,
            start_allowed: false,
            help: Some(Box::new(help)),
        }),
        forward: true,
        now: bench.now,
        lease: bench.lease(),
    }
}

async fn take(bench: &Bench, inbound: Inbound) -> InboundTaken {
    bench.store().inbound(inbound).await.unwrap()
}

async fn write(bench: &mut Bench, text: &str, concat: Option<Concat>) -> InboundTaken {
    let inbound = inbound(bench, text, concat);
    take(bench, inbound).await
}

async fn with(
    bench: &mut Bench,
    text: &str,
    change: impl FnOnce(&mut InboundCampaign),
) -> InboundTaken {
    let mut inbound = inbound(bench, text, None);
    change(inbound.campaign.as_mut().unwrap());
    take(bench, inbound).await
}

/// What accounts are to be told of handsets now.
async fn views(bench: &Bench) -> Vec<InboundView> {
    let jobs = bench.claim_webhooks().await;
    let view = |event| match event {
        WebhookEvent::Inbound(view) => *view,
        WebhookEvent::Receipt { .. } | WebhookEvent::Outcome { .. } => panic!("{event:?}"),
    };
    jobs.into_iter().map(|job| view(job.event)).collect()
}
