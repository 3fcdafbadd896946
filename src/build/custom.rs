//! Rules in Rego, in a process of their own: this program started again, with limits that the kernel
//! keeps.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::policy::rego;
use crate::sys::child::{self, set_limit};

/// The most that is taken of an answer.
const LONGEST: u64 = 16 << 20;

/// Evaluates a request (see [`crate::policy::rego`]) by starting `program` again. An error tells what
/// became of the process.
pub fn run_rego(program: &Path, request: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program)
        .arg(rego::WORD)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start `{}`: {error}", program.display()))?;
    // It reads all before it writes anything: neither waits for the other. One that ends early has
    // its end told below.
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(request);
    }
    let mut answer = Vec::new();
    let read = match child.stdout.take() {
        Some(output) => output.take(LONGEST + 1).read_to_end(&mut answer),
        None => Ok(0),
    };
    if answer.len() as u64 > LONGEST {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    read.map_err(|error| error.to_string())?;
    if answer.len() as u64 > LONGEST {
        return Err("they say more than 16 MiB".into());
    }
    if status.success() {
        return Ok(answer);
    }
    Err(match status.signal() {
        // SIGXCPU, and SIGKILL where the limit is a hard one.
        Some(24 | 9) => {
            format!("they took more than {} s of CPU time", rego::SECONDS)
        }
        _ => format!(
            "their process ended ({status}), for want of memory ({} MiB) or by nesting too deep",
            rego::MEMORY >> 20
        ),
    })
}

/// The second start: reads a request, writes an answer, ends.
pub(crate) fn rego_main() -> ! {
    child::exit(i32::from(limited().is_err()))
}

fn limited() -> std::io::Result<()> {
    let mut request = Vec::new();
    std::io::stdin().lock().read_to_end(&mut request)?;
    // `data`: what is allocated, without the program's own text.
    let limits =
        [("data", rego::MEMORY), ("cpu", rego::SECONDS), ("core", 0), ("nofile", 3), ("nproc", 0)];
    for (name, most) in limits {
        set_limit(name, Some(most), Some(most)).transpose()?;
    }
    let mut output = std::io::stdout().lock();
    output.write_all(&rego::answer(&request))?;
    output.flush()
}
