//! Plays the scripts of the stories on real machines.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a broken script fails its test")]

use core::fmt::Write as _;
use core::time::Duration;

use engine::{
    AccountId, Amount, Attempt, Channel, Code, ErrorCode, Handover, Machine, Message, MessageId,
    MessageStatus, NewMessage, NewVerification, Notice, Output, Policy, Progress, Receipt,
    ReceiptStatus, Refusal, SecretText, Step, Subject, SubmitOutcome, Then, Timestamp, Turn,
    TypedCode, Unconfirmed, Verdict, Verification, VerificationId, Workflow,
};

/// Plays a script and compares what came of it; `/` in the expected text is a new line.
#[track_caller]
pub(super) fn story(script: &str, expected: &str) {
    let lines = |text: &str| -> Vec<String> {
        text.split(['\n', '/'])
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (came, expected) = (play(&lines(script)), lines(expected));
    assert!(
        came == expected,
        "\nthe script\n  {}\n{}",
        lines(script).join("\n  "),
        difference(&came, &expected)
    );
}

fn difference(came: &[String], expected: &[String]) -> String {
    let mut text = String::from("came to (-) instead of (+)\n");
    for row in 0..came.len().max(expected.len()) {
        match (came.get(row), expected.get(row)) {
            (Some(a), Some(b)) if a == b => writeln!(text, "    {a}").unwrap(),
            (a, b) => {
                for (sign, line) in [('-', a), ('+', b)] {
                    if let Some(line) = line {
                        writeln!(text, "  {sign} {line}").unwrap();
                    }
                }
            }
        }
    }
    text
}

fn play(script: &[String]) -> Vec<String> {
    let mut stage = Stage { actor: None, now: 0, nonce: 1000, came: Vec::new() };
    for line in script {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (time, command) = words.split_first().unwrap();
        stage.now = seconds(time);
        stage.perform(command);
    }
    stage.came
}

struct Stage {
    actor: Option<Actor>,
    now: u64,
    nonce: u64,
    came: Vec<String>,
}

enum Actor {
    Verification(Verification),
    Message(Message),
}

impl Stage {
    fn perform(&mut self, command: &[&str]) {
        let now = Timestamp::from_millis(START_MS + self.now * 1000);
        match self.actor.take() {
            None => {
                let actor = match *command {
                    ["start", ref options @ ..] => {
                        let machine = Verification::start(new_verification(options), now);
                        Actor::Verification(self.taken(Turn::take(machine, |_| None)))
                    }
                    ["message", ref options @ ..] => {
                        let machine = Message::start(new_message(options, now), now);
                        Actor::Message(self.taken(Turn::take(machine, |_| None)))
                    }
                    _ => panic!("a script begins with a start: {command:?}"),
                };
                self.actor = Some(actor);
            }
            Some(Actor::Verification(machine)) => {
                self.nonce += 1;
                let nonce = self.nonce;
                let turn = Turn::take(machine, |m| tell_verification(m, command, nonce, now));
                self.actor = Some(Actor::Verification(self.taken(turn)));
            }
            Some(Actor::Message(machine)) => {
                let turn = Turn::take(machine, |m| tell_message(m, command, now));
                self.actor = Some(Actor::Message(self.taken(turn)));
            }
        }
    }

    fn taken<M: Machine>(&mut self, (turn, reply): (Turn<M>, Option<String>)) -> M {
        self.came.extend(reply.map(|reply| format!("{}s {reply}", self.now)));
        for output in &turn.outputs {
            let line = format!("{}s {}", self.now, render(output));
            self.came.push(line);
        }
        turn.machine
    }
}

fn tell_verification(
    machine: &mut Verification,
    command: &[&str],
    nonce: u64,
    now: Timestamp,
) -> Option<String> {
    match *command {
        [] => machine.handle_timeout(now),
        ["check", ref typed @ ..] => {
            let (typed, nonce) = match typed {
                [typed @ .., tag] if tag.starts_with('#') => (typed, tag[1..].parse().unwrap()),
                typed => (typed, nonce),
            };
            let typed = match *typed {
                ["right"] => TypedCode::text("0042"),
                ["wrong"] => TypedCode::text("9999"),
                ["number", number] => TypedCode::Number(number.parse().unwrap()),
                [text] => TypedCode::text(text),
                _ => panic!("what was typed? {typed:?}"),
            };
            return Some(match machine.check(&typed, nonce, now) {
                Ok(Verdict::Match) => "right".to_owned(),
                Ok(Verdict::Mismatch { checks_left }) => format!("wrong, {checks_left} left"),
                Err(refusal) => refused(refusal),
            });
        }
        ["cancel", ref tag @ ..] => {
            let named = |tag: &&str| tag.strip_prefix('#').unwrap().parse().unwrap();
            let nonce = tag.first().map_or(nonce, named);
            return Some(machine.cancel(nonce, now).map_or_else(refused, |()| "done".to_owned()));
        }
        ["submitted", step, outcome] => {
            let handover = Handover::new("link", submit_outcome(outcome));
            machine.handle_submitted(step.parse().unwrap(), &handover, now);
        }
        ["receipt", step, status] => {
            machine.handle_receipt(step.parse().unwrap(), receipt(status), now);
        }
        ["timer"] => return Some(timer(machine)),
        ["attempts"] => {
            let attempts = machine.record().attempts.iter().enumerate();
            return Some(attempts.map(|(i, a)| show(i, a)).collect::<Vec<_>>().join(", "));
        }
        ["code"] => {
            return Some(match machine.code() {
                Some(code) if code.reveal() == "0042" => "the code is still the first".to_owned(),
                Some(_) => "the code has changed".to_owned(),
                None => "the code is gone".to_owned(),
            });
        }
        _ => panic!("a verification knows no {command:?}"),
    }
    None
}

fn tell_message(machine: &mut Message, command: &[&str], now: Timestamp) -> Option<String> {
    match *command {
        [] => machine.handle_timeout(now),
        ["submitted", outcome] => {
            machine.handle_submitted(&Handover::new("link", submit_outcome(outcome)), now);
        }
        ["receipt", status] => machine.handle_receipt(receipt(status), now),
        ["timer"] => return Some(timer(machine)),
        ["text"] => {
            let kept = machine.text().is_some();
            return Some(format!("the text is {}", if kept { "kept" } else { "gone" }));
        }
        ["status"] => {
            return Some(
                match machine.record().status {
                    MessageStatus::Queued => "queued",
                    MessageStatus::Submitted => "submitted",
                    MessageStatus::Unconfirmed => "unconfirmed",
                    MessageStatus::Reported(receipt) => receipt.status.as_str(),
                }
                .to_owned(),
            );
        }
        _ => panic!("a message knows no {command:?}"),
    }
    None
}

fn new_verification(options: &[&str]) -> NewVerification {
    let (mut wait, mut price, mut checks_max) = (60, 5, 3);
    let mut channels = Vec::new();
    let mut preset = None;
    let mut unconfirmed = None;
    let mut options = options.iter();
    while let Some(&option) = options.next() {
        let mut value = || options.next().unwrap();
        match option {
            "every" => wait = seconds(value()),
            "price" => price = value().parse().unwrap(),
            "checks" => checks_max = value().parse().unwrap(),
            "unconfirmed" => {
                let then = match *value() {
                    "next-step" => Then::NextStep,
                    "next-link" => Then::NextLink,
                    other => panic!("what follows is no {other:?}"),
                };
                unconfirmed = Some(Unconfirmed { wait: Duration::from_secs(20), then });
            }
            "preset" => preset = Some(value().parse().unwrap()),
            list => channels.extend(list.split(',').map(channel)),
        }
    }
    let wait = Duration::from_secs(wait);
    let step = |channel| Step { channel, wait };
    let workflow = preset.map_or_else(
        || Workflow::try_from(channels.into_iter().map(step).collect::<Vec<_>>()).unwrap(),
        |id| Workflow::preset(id, wait).unwrap(),
    );
    NewVerification {
        id: VerificationId::from_u128(1),
        account: AccountId(1),
        policy: Policy {
            workflow,
            lifetime: Duration::from_mins(5),
            cancel_after: Duration::from_secs(30),
            checks_max,
            unconfirmed,
        },
        price: Amount::from_units(price),
        code: Code::parse("0042").unwrap(),
    }
}

fn new_message(options: &[&str], now: Timestamp) -> NewMessage {
    let price = match *options {
        [] => 0,
        ["price", units] => units.parse().unwrap(),
        _ => panic!("a message has no {options:?}"),
    };
    NewMessage {
        id: MessageId::from_u64(0x10),
        account: AccountId(1),
        expires_at: now.after(Duration::from_hours(72)),
        parts: 1,
        price: Amount::from_units(price),
        text: SecretText::concat(&["Your PIN is 4815"]),
        unconfirmed: None,
    }
}

fn render(output: &Output) -> String {
    match *output {
        Output::Send { attempt, channel } => format!("send {} {}", channel.as_str(), attempt.step),
        Output::Withdraw { attempt } => {
            match attempt.subject {
                Subject::Verification(id) => assert_eq!(id.as_u128(), 1),
                Subject::Message(id) => assert_eq!(id.as_u64(), 0x10),
            }
            format!("withdraw {}", attempt.step)
        }
        Output::Charge { amount } => format!("charge {}", amount.units()),
        Output::Notify(Notice::Outcome(outcome)) => format!("notify {}", outcome.as_str()),
        Output::Notify(Notice::Receipt(receipt)) => format!("notify {}", receipt.status.as_str()),
    }
}

fn show(index: usize, attempt: &Attempt) -> String {
    let progress = match attempt.progress {
        Progress::Queued => "queued",
        Progress::Submitted => "submitted",
        Progress::Unconfirmed => "unconfirmed",
        Progress::Reported(receipt) => receipt.status.as_str(),
        Progress::Withdrawn => "withdrawn",
    };
    format!("{index} {} {progress}", attempt.channel.as_str())
}

fn refused(refusal: Refusal) -> String {
    if let Refusal::Ended(outcome) = refusal {
        return format!("refused: ended {}", outcome.as_str());
    }
    if let Refusal::CancelTooEarly { retry_after } = refusal {
        return format!("refused: too early, wait {}s", retry_after.as_secs());
    }
    panic!("a machine does not refuse with {refusal:?}")
}

fn timer(machine: &impl Machine) -> String {
    match machine.poll_timeout() {
        Some(at) => format!("next timer at {}s", (at.as_millis() - START_MS) / 1000),
        None => "no timer".to_owned(),
    }
}

fn channel(word: &str) -> Channel {
    match word {
        "sms" => Channel::Sms,
        "voice" => Channel::Voice,
        _ => panic!("no channel is called {word}"),
    }
}

fn submit_outcome(word: &str) -> SubmitOutcome {
    match word {
        "accepted" => SubmitOutcome::Accepted,
        "unknown" => SubmitOutcome::Unknown,
        "rejected" => SubmitOutcome::Rejected(ErrorCode::UNREACHABLE),
        _ => panic!("no submit ends {word}"),
    }
}

fn receipt(word: &str) -> Receipt {
    let status = serde_json::from_str::<ReceiptStatus>(&format!("\"{word}\"")).unwrap();
    Receipt { status, error: ErrorCode::NONE }
}

/// Reads `60s` or `72h`.
fn seconds(word: &str) -> u64 {
    match word.split_at(word.len() - 1) {
        (hours, "h") => hours.parse::<u64>().unwrap() * 3600,
        (seconds, "s") => seconds.parse().unwrap(),
        _ => panic!("no time: {word}"),
    }
}

const START_MS: u64 = 1_795_300_000_000;
