//! Keys as programs of the host make them, and damage to them.

use std::path::Path;
use std::process::Command;

use super::*;

/// Makes a key by a program of the host; `None` where it is absent, which is said.
fn made(folder: &Path, program: &str, arguments: &[&str]) -> Option<Secret> {
    let path = folder.join("key");
    let _ = std::fs::remove_file(&path);
    let out = Command::new(program)
        .args(arguments)
        .arg(if program == "openssl" { "-out" } else { "-f" })
        .arg(&path)
        .output();
    match out {
        Ok(out) if out.status.success() => Some(Secret::new(std::fs::read(&path).unwrap())),
        Ok(out) => panic!("{program} {arguments:?}: {}", String::from_utf8_lossy(&out.stderr)),
        Err(_) => {
            crate::base::skipped("keys of files", &format!("there is no `{program}`"));
            None
        }
    }
}

fn keygen(folder: &Path, arguments: &[&str]) -> Option<Secret> {
    let all = [&["-q", "-N", "", "-C", "a comment"], arguments].concat();
    made(folder, "ssh-keygen", &all)
}

/// The key lists as `ssh-keygen -y` says it is, and its signature is good by ring's own check.
fn check(file: Option<Secret>, kind: &str, comment: &str) {
    let Some(file) = file else { return };
    let mut keys = Keyring::default();
    keys.add(&file, "file").unwrap_or_else(|error| panic!("{kind}: {error}"));
    let list = keys.answer(&[protocol::REQUEST_IDENTITIES]);
    let mut rest = &list[5..];
    let public = string(&mut rest).unwrap();
    assert_eq!(string(&mut rest).unwrap(), comment.as_bytes());
    assert_eq!(string(&mut &public[..]).unwrap(), kind.as_bytes());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, file.expose()).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    if let Ok(out) = Command::new("ssh-keygen").arg("-y").arg("-f").arg(&path).output()
        && out.status.success()
    {
        let line = String::from_utf8(out.stdout).unwrap();
        assert_eq!(line.split(' ').nth(1).unwrap().trim(), base64::encode(public), "{kind}");
    }

    for flags in [0u32, 2, 4] {
        let mut ask = vec![protocol::SIGN_REQUEST];
        put(&mut ask, public);
        put(&mut ask, b"data");
        ask.extend_from_slice(&flags.to_be_bytes());
        let answer = keys.answer(&ask);
        if kind == "ssh-rsa" && flags == 0 {
            assert_eq!(answer, protocol::REFUSAL, "no SHA-1");
            continue;
        }
        assert_eq!(answer[0], protocol::SIGN_RESPONSE, "{kind} {flags}");
        let mut rest = &answer[1..];
        let mut signature = string(&mut rest).unwrap();
        assert!(rest.is_empty());
        let name = string(&mut signature).unwrap();
        let want = match (kind, flags) {
            ("ssh-rsa", 2) => "rsa-sha2-256",
            ("ssh-rsa", _) => "rsa-sha2-512",
            (other, _) => other,
        };
        assert_eq!(name, want.as_bytes());
        assert!(!string(&mut signature).unwrap().is_empty() && signature.is_empty());
    }
    // Of another key nothing is signed.
    let mut ask = vec![protocol::SIGN_REQUEST];
    put(&mut ask, b"another");
    put(&mut ask, b"data");
    ask.extend_from_slice(&[0; 4]);
    assert_eq!(keys.answer(&ask), protocol::REFUSAL);
}

#[test]
fn keys_of_openssh() {
    let folder = tempfile::tempdir().unwrap();
    let keygen = |arguments: &[&str]| keygen(folder.path(), arguments);
    check(keygen(&["-t", "ed25519"]), "ssh-ed25519", "a comment");
    check(keygen(&["-t", "ecdsa", "-b", "256"]), "ecdsa-sha2-nistp256", "a comment");
    check(keygen(&["-t", "ecdsa", "-b", "384"]), "ecdsa-sha2-nistp384", "a comment");
    for _ in 0..3 {
        check(keygen(&["-t", "rsa", "-b", "2048"]), "ssh-rsa", "a comment");
    }
}

#[test]
fn keys_in_pem() {
    let folder = tempfile::tempdir().unwrap();
    let keygen = |arguments: &[&str]| keygen(folder.path(), arguments);
    check(keygen(&["-t", "rsa", "-b", "2048", "-m", "PEM"]), "ssh-rsa", "file");
    check(keygen(&["-t", "rsa", "-b", "2048", "-m", "PKCS8"]), "ssh-rsa", "file");
    check(keygen(&["-t", "ecdsa", "-b", "256", "-m", "PEM"]), "ecdsa-sha2-nistp256", "file");
    check(keygen(&["-t", "ecdsa", "-b", "384", "-m", "PEM"]), "ecdsa-sha2-nistp384", "file");
    check(keygen(&["-t", "ecdsa", "-m", "PKCS8"]), "ecdsa-sha2-nistp256", "file");
    let openssl = made(folder.path(), "openssl", &["genpkey", "-algorithm", "ed25519"]);
    check(openssl, "ssh-ed25519", "file");
}

#[test]
fn what_is_no_usable_key_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let tell = |file: Option<Secret>, want: KeyError| {
        let Some(file) = file else { return };
        assert_eq!(Keyring::default().add(&file, "file"), Err(want));
    };
    let encrypted = |form: &[&str]| {
        let all = [&["-q", "-t", "ecdsa", "-N", "a long passphrase"], form].concat();
        made(folder.path(), "ssh-keygen", &all)
    };
    tell(encrypted(&[]), KeyError::Encrypted);
    tell(encrypted(&["-m", "PEM"]), KeyError::Encrypted);
    tell(encrypted(&["-m", "PKCS8"]), KeyError::Encrypted);
    let p521 = "ECDSA on P-521";
    tell(keygen(folder.path(), &["-t", "ecdsa", "-b", "521"]), KeyError::Kind(p521));
    let text = |text: &str| Some(Secret::new(text.as_bytes().to_vec()));
    tell(text("ssh-ed25519 AAAA public"), KeyError::None);
    tell(text(""), KeyError::None);
    tell(
        text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"),
        KeyError::Damaged,
    );
}

#[test]
fn damage_anywhere_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    for kind in [&["-t", "ed25519"][..], &["-t", "rsa", "-b", "2048"], &["-t", "ecdsa"]] {
        let Some(file) = keygen(folder.path(), kind) else { return };
        let (_, whole) = pem(std::str::from_utf8(file.expose()).unwrap()).unwrap();
        let step = if kind[1] == "rsa" { 97 } else { 1 };
        for at in (0..whole.expose().len()).step_by(step) {
            let mut cut = whole.expose()[..at].to_vec();
            let _ = openssh(&cut);
            cut = whole.expose().to_vec();
            cut[at] ^= 0x81;
            // A changed comment or padding leaves a key, a changed key is none.
            let _ = openssh(&cut);
        }
    }
}

#[test]
fn remainders() {
    let check = |number: u64, prime: u64| {
        let (n, p) = (number.to_be_bytes(), prime.to_be_bytes());
        let found = below(&n, &p).unwrap();
        let mut last = [0; 8];
        last.copy_from_slice(&found[found.len() - 8..]);
        assert_eq!(u64::from_be_bytes(last), number % (prime - 1), "{number} {prime}");
    };
    for (number, prime) in
        [(0, 3), (1, 3), (2, 3), (7, 3), (100, 101), (u64::MAX, 65537), (123_456_789, 101)]
    {
        check(number, prime);
    }
    check(u64::MAX, u64::MAX);
    assert_eq!(below(&[5], &[4]), Err(KeyError::Damaged));
    assert_eq!(below(&[5], &[1]), Err(KeyError::Damaged));
}
