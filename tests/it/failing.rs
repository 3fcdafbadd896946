//! A step that fails, and a secret that would get out.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Build, Outcome, Place, Who};

const SECRET: &str = "tests-hunter2-Zq7/secret+value";

fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for at in 0..4 {
            match at <= chunk.len() {
                true => out.push(char::from(ALPHABET[(bits >> (18 - 6 * at)) as usize & 63])),
                false => out.push('='),
            }
        }
    }
    out
}

/// A build with the secret under the id `token`.
fn with_secret<'a>(place: &'a Place, dockerfile: &str) -> Build<'a> {
    let file = place.file("token", SECRET);
    Build::text(place, dockerfile).arg(format!("--secret=id=token,src={}", file.display()))
}

/// No form of the secret is in what was said or in any file below the place, but its own.
fn check_nowhere(place: &Place, outcome: &Outcome) {
    let forms = [SECRET.to_owned(), base64(SECRET), base64(&format!("{SECRET}\n"))];
    let forms: Vec<&[u8]> =
        forms.iter().map(|form| form.trim_end_matches('=').as_bytes()).collect();
    let holds =
        |bytes: &[u8]| forms.iter().any(|form| bytes.windows(form.len()).any(|part| part == *form));
    assert!(
        !holds(outcome.done.out().as_bytes()) && !holds(outcome.err().as_bytes()),
        "{}",
        outcome.story()
    );
    let mut folders = vec![place.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("a kind of file");
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && path != place.at("token") && !own(place, &path) {
                files += 1;
                assert!(!holds(&fs::read(&path).expect("a file")), "the secret is in {path:?}");
                assert!(!holds(&unpacked(&path)), "the secret is packed in {path:?}");
            }
        }
    }
    assert!(files > 0, "the store was looked at");
}

// What the test itself wrote.
fn own(place: &Place, path: &Path) -> bool {
    path.starts_with(place.at("busybox"))
}

fn unpacked(path: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut plain = Vec::new();
    let file = fs::File::open(path).expect("a file");
    let _ = flate2::read::GzDecoder::new(file).read_to_end(&mut plain);
    plain
}

#[test]
fn a_failing_step_is_marked_and_nothing_is_exported() {
    for who in Who::every() {
        let place = Place::new(who);
        let build = Build::text(
            &place,
            "FROM busybox\nRUN echo before\n\nRUN echo last words; exit 3\nRUN echo never\n",
        )
        .arg(format!("--metadata-file={}", place.at("meta.json").display()));
        let outcome = build.run();
        let err =
            outcome.fails(4, &["Dockerfile:4:1", "echo last words", "^^^", "last words", "3"]);
        assert!(!err.contains("| never"), "{err}");
        let meta =
            fs::read(place.at("meta.json")).expect("it is written also when the build fails");
        let meta: Value = serde_json::from_slice(&meta).expect("JSON");
        assert!(!meta["rbuild"]["error"].is_null(), "{meta}");
        assert!(meta["containerimage.digest"].is_null(), "{meta}");
    }
}

#[test]
fn run_false_is_exit_4() {
    let place = Place::new(Who::usual());
    Build::text(&place, "FROM busybox\nRUN false\n")
        .run()
        .fails(4, &["Dockerfile:2:1", "RUN false", "^^^"]);
    Build::text(&place, "FROM busybox\nRUN no-such-program\n")
        .run()
        .fails(4, &["Dockerfile:2:1", "127"]);
    Build::text(&place, "FROM busybox\nRUN kill -9 $$\n").run().fails(4, &["Dockerfile:2:1"]);
    Build::text(&place, "FROM busybox\nRUN [\"/no/such\"]\n")
        .run()
        .fails(4, &["Dockerfile:2:1", "/no/such"]);
}

#[test]
fn an_earlier_result_survives_a_failing_build() {
    let place = Place::new(Who::usual());
    let (_, before) = Build::text(&place, "FROM busybox\nRUN echo fine > /file\n").image();
    let outcome = Build::text(&place, "FROM busybox\nRUN false\n").run();
    assert_eq!(outcome.done.code(), 4, "{}", outcome.story());
    assert_eq!(crate::harness::Image::read(&outcome.result).digest, before.digest);
}

#[test]
fn a_printed_secret_is_masked_in_every_form() {
    for who in Who::every() {
        let place = Place::new(who);
        let outcome = with_secret(
            &place,
            "FROM busybox\n\
             RUN --mount=type=secret,id=token echo \"plain $(cat /run/secrets/token) end\"\n\
             RUN --mount=type=secret,id=token echo \"coded $(base64 -w0 /run/secrets/token) end\" >&2\n\
             RUN --mount=type=secret,id=token head -c 9 /run/secrets/token; sleep 0.2; tail -c +10 /run/secrets/token; echo\n\
             RUN --mount=type=secret,id=token,env=TOKEN env | sed 's/^TOKEN/from env/'\n",
        )
        .run();
        outcome.image();
        outcome.says(&["plain *** end", "coded *** end", "from env=***"]);
        check_nowhere(&place, &outcome);
    }
}

#[test]
fn a_secret_of_a_failing_step_is_masked() {
    let place = Place::new(Who::usual());
    let meta = place.at("meta.json");
    let build = with_secret(
        &place,
        "FROM busybox\nRUN --mount=type=secret,id=token sh -c 'echo no; cat /run/secrets/token; exit 9'\n",
    );
    let outcome = build.arg(format!("--metadata-file={}", meta.display())).run();
    outcome.fails(4, &["***"]);
    check_nowhere(&place, &outcome);
}

#[test]
fn a_secret_written_into_a_file_stops_the_build() {
    for command in [
        "cp /run/secrets/token /leak",
        "base64 /run/secrets/token > /leak",
        "cat /bin/busybox /run/secrets/token /bin/busybox > /leak",
    ] {
        let place = Place::new(Who::usual());
        let text =
            format!("FROM busybox\nRUN --mount=type=secret,id=token {command}\nUSER 10001\n");
        let outcome = with_secret(&place, &text).run();
        outcome.fails(1, &["build-secret-leaked", "Dockerfile:2:1", "/leak"]);
        check_nowhere(&place, &outcome);
    }
}

#[test]
fn a_secret_in_a_compressed_file_is_found_too() {
    let place = Place::new(Who::usual());
    let text =
        "FROM busybox\nRUN --mount=type=secret,id=token gzip -c /run/secrets/token > /leak.gz\n";
    let outcome = with_secret(&place, text).run();
    assert_eq!(outcome.done.code(), 1, "{}", outcome.story());
    outcome.says(&["build-secret-leaked", "/leak.gz", "Dockerfile:2:"]);
}

#[test]
fn a_required_secret_that_is_absent_is_told() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox\nRUN --mount=type=secret,id=token,required=true true\n";
    let outcome = Build::text(&place, text).run();
    assert_ne!(outcome.done.code(), 0, "{}", outcome.story());
    outcome.says(&["token", "Dockerfile:2:"]);
}

#[test]
fn a_layer_of_the_cache_is_searched_for_a_secret_of_today() {
    for squash in [false, true] {
        let place = Place::new(Who::usual());
        let text = format!(
            "FROM busybox AS unused\nRUN echo {SECRET} > /elsewhere\n\
             FROM busybox\nRUN echo '{SECRET}' > /leak\nRUN true\nUSER 10001\n"
        );
        let flag = if squash { "--squash" } else { "--no-cache-filter=unused" };
        // Without --secret nobody knows that it is one.
        Build::text(&place, &text).arg(flag).image();
        fs::remove_dir_all(place.at("image.oci")).expect("it was written");
        let outcome = with_secret(&place, &text).arg(flag).run();
        outcome.fails(1, &["CACHED", "build-secret-leaked", "`/leak`", "***"]);
        // The text of the Dockerfile has it too: what is shown of that is masked.
        assert!(!outcome.err().contains(SECRET), "{}", outcome.story());
        // As a warning, when the policy has it so; and each time.
        for _ in 0..2 {
            let build = with_secret(&place, &text).arg(flag);
            let outcome = build.arg("--set=rules.build-secret-leaked=warn").run();
            outcome.digest();
            outcome.says(&["CACHED", "`/leak`"]);
        }
    }
}
