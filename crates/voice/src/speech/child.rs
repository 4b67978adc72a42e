//! A synthesiser in a process of its own: text on its input, a WAV file on its output.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::engine::EngineError;

/// Runs a program, hands it `text` on its standard input, and returns what it wrote.
///
/// The text is not among the arguments, where every user of the machine could read it.
/// The process is killed when it takes longer than `bound`, writes more than
/// [`OUTPUT_BYTES_MAX`], or nobody waits for it any more.
pub(crate) async fn synthesise(
    program: &Path,
    arguments: &[String],
    text: &str,
    bound: Duration,
) -> Result<Vec<u8>, EngineError> {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| not_started(program, &error))?;
    let Ok(result) = tokio::time::timeout(bound, converse(&mut child, text)).await else {
        let _ = child.kill().await;
        return Err(EngineError::TookTooLong);
    };
    match result {
        Ok(Said { status, output, .. }) if status.success() => Ok(output),
        Ok(Said { complaint, .. }) => Err(EngineError::Failed(first_line(&complaint))),
        Err(error) => {
            let _ = child.kill().await;
            Err(error)
        }
    }
}

struct Said {
    status: ExitStatus,
    output: Vec<u8>,
    complaint: Vec<u8>,
}

/// Writes and reads at the same time, so that neither side waits for the other's full pipe.
async fn converse(child: &mut Child, text: &str) -> Result<Said, EngineError> {
    let (input, output, complaint) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut input) = input {
            // A program that has stopped reading tells why by its status.
            let _ = input.write_all(text.as_bytes()).await;
            let _ = input.write_all(b"\n").await;
            let _ = input.shutdown().await;
        }
    };
    let ((), output, complaint) =
        tokio::join!(write, read(output, OUTPUT_BYTES_MAX), read(complaint, COMPLAINT_BYTES_MAX));
    let output = output?;
    let complaint = complaint.unwrap_or_default();
    let status = child.wait().await.map_err(|error| EngineError::Failed(error.to_string()))?;
    Ok(Said { status, output, complaint })
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, max: u64) -> Result<Vec<u8>, EngineError> {
    let mut octets = Vec::new();
    let Some(pipe) = pipe else {
        return Ok(octets);
    };
    let read = pipe.take(max + 1).read_to_end(&mut octets).await;
    read.map_err(|error| EngineError::Failed(error.to_string()))?;
    let full = u64::try_from(octets.len()).unwrap_or(u64::MAX) > max;
    if full { Err(EngineError::TooMuch) } else { Ok(octets) }
}

fn not_started(program: &Path, error: &io::Error) -> EngineError {
    let program = program.display().to_string();
    if error.kind() == io::ErrorKind::NotFound {
        EngineError::NotInstalled(program)
    } else {
        EngineError::NotStarted { program, reason: error.to_string() }
    }
}

/// Takes what a program complained of in its first line, without anything a terminal would obey.
fn first_line(complaint: &[u8]) -> String {
    let complaint = String::from_utf8_lossy(complaint);
    let line = complaint.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(COMPLAINT_CHARS_MAX).collect()
}

/// 20 s of stereo at 48 kHz and 16 bits; the longest line of any language takes 6 s.
pub(crate) const OUTPUT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What a program may write on its standard error before it is taken for broken.
const COMPLAINT_BYTES_MAX: u64 = 64 * 1024;

/// As much of a complaint as fits a line of a log.
const COMPLAINT_CHARS_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str) -> Result<Vec<u8>, EngineError> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let bound = Duration::from_millis(700);
        synthesise(Path::new("sh"), &arguments, "Hello.", bound).await
    }

    #[tokio::test]
    async fn a_program_is_given_the_text_and_answers() {
        assert_eq!(shell("cat").await.unwrap(), b"Hello.\n");
    }

    #[tokio::test]
    async fn a_program_that_does_not_read_its_input_may_still_answer() {
        assert_eq!(shell("exec <&-; printf RIFF").await.unwrap(), b"RIFF");
    }

    #[tokio::test]
    async fn a_failing_program_is_quoted() {
        let failed = shell("echo 'no such voice' >&2; exit 3").await;
        assert_eq!(failed, Err(EngineError::Failed("no such voice".to_owned())));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let missing = Path::new("no-such-synthesiser");
        let failed = synthesise(missing, &[], "Hello.", Duration::from_secs(1)).await;
        assert_eq!(failed, Err(EngineError::NotInstalled("no-such-synthesiser".to_owned())));
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let hang = format!("echo $$ > {}; exec sleep 60", pid.display());
        assert_eq!(shell(&hang).await, Err(EngineError::TookTooLong));
        let pid = std::fs::read_to_string(pid).unwrap();
        let process = Path::new("/proc").join(pid.trim());
        assert!(!process.exists(), "the process still runs");
    }

    #[tokio::test]
    async fn a_program_that_writes_without_end_is_stopped() {
        assert_eq!(shell("exec cat /dev/zero").await, Err(EngineError::TooMuch));
    }
}
