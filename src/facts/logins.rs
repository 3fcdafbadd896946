//! Files that programs read a login from, by name: does one stand in it?

use super::content::{Mark, MarkKind, assigned};

/// As much of such a file is looked at, in bytes; all of any that a person has written.
const LIMIT: usize = 64 << 10;

/// A file that may hold a login, and its content so far.
pub(super) struct Login {
    form: Form,
    text: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Form {
    Npm,
    Netrc,
    PgPass,
    Git,
    Docker,
    Kube,
    Pypi,
    Terraform,
    Pkcs12,
}

impl Login {
    /// Returns the file's form by its path.
    pub(super) fn of(path: &[u8]) -> Option<Login> {
        let path = std::str::from_utf8(path).ok()?;
        let (folder, name) = path.rsplit_once('/')?;
        let above = folder.rsplit('/').next().unwrap_or("");
        let form = match name {
            ".npmrc" | "npmrc" => Form::Npm,
            ".netrc" | "_netrc" => Form::Netrc,
            ".pgpass" | "pgpass.conf" => Form::PgPass,
            ".git-credentials" => Form::Git,
            ".dockercfg" => Form::Docker,
            "config.json" if matches!(above, ".docker" | "docker") => Form::Docker,
            "config" if above == ".kube" => Form::Kube,
            "kubeconfig" => Form::Kube,
            ".pypirc" => Form::Pypi,
            _ if name.ends_with(".kubeconfig") => Form::Kube,
            _ if folder == "/etc/kubernetes" && name.ends_with(".conf") => Form::Kube,
            _ if name.ends_with(".tfstate") || name.ends_with(".tfstate.backup") => Form::Terraform,
            _ if name.ends_with(".p12") || name.ends_with(".pfx") => Form::Pkcs12,
            _ => return None,
        };
        Some(Login { form, text: Vec::new() })
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, data: &[u8]) {
        let room = LIMIT - self.text.len();
        self.text.extend_from_slice(&data[..data.len().min(room)]);
    }

    /// Returns the login, if one stands there.
    pub(super) fn end(self) -> Option<Mark> {
        let text = String::from_utf8_lossy(&self.text);
        let keyed = |names: &[&str]| {
            line(&text, |line| {
                names.iter().any(|name| {
                    let at = line.find(name).map(|at| at + name.len());
                    at.and_then(|at| assigned(&line.as_bytes()[at..])).is_some_and(real)
                })
            })
        };
        let (line, what) = match self.form {
            Form::Npm => {
                (keyed(&["_authToken", "_auth", "_password"])?, "a login to an npm registry")
            }
            Form::Netrc => {
                let words: Vec<&str> = text.split_whitespace().collect();
                let has = |pair: &[&str]| matches!(pair, ["password", word] if real(word));
                words.windows(2).any(has).then_some((1, "a login to a host"))?
            }
            Form::PgPass => {
                let held = |line: &str| {
                    let fields: Vec<&str> = line.split(':').collect();
                    !line.starts_with('#') && fields.len() >= 5 && real(fields[fields.len() - 1])
                };
                (self::line(&text, held)?, "a password of a database")
            }
            Form::Git => {
                let held = |line: &str| line.contains("://") && line.contains('@');
                (self::line(&text, held)?, "a login to a repository")
            }
            Form::Docker => (
                keyed(&["\"auth\"", "\"identitytoken\"", "\"password\""])?,
                "a login to a registry",
            ),
            Form::Kube => {
                (keyed(&["client-key-data", "token", "password"])?, "a login to a cluster")
            }
            Form::Pypi => (keyed(&["password"])?, "a login to a package index"),
            Form::Terraform => {
                let held = |line: &str| {
                    let line = line.replace(' ', "");
                    line.contains("\"sensitive\":true")
                        || (line.contains("\"sensitive_attributes\":[")
                            && !line.contains("\"sensitive_attributes\":[]"))
                };
                (self::line(&text, held)?, "a state with sensitive values")
            }
            // A sequence whose first member is the number 3 (RFC 7292, 4, "PFX").
            Form::Pkcs12 => {
                let head = self.text.get(..16)?;
                let version = head.windows(3).take(6).any(|part| part == [2, 1, 3]);
                (head[0] == 0x30 && version).then_some((1, "a store of keys (PKCS #12)"))?
            }
        };
        Some(Mark { kind: MarkKind::Login, what: what.into(), shown: String::new(), line })
    }
}

fn line(text: &str, holds: impl Fn(&str) -> bool) -> Option<u64> {
    (1..).zip(text.lines()).find(|(_, line)| holds(line)).map(|(number, _)| number)
}

// What stands for a value that is put in later is none.
fn real(value: &str) -> bool {
    !value.is_empty()
        && !value.starts_with(['$', '<', '*', '{'])
        && !value.contains("${")
        && !matches!(value, "null" | "xxx" | "password" | "PASSWORD" | "changeme")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_stand_in_their_files() {
        let held = |path: &str, text: &[u8]| -> Option<u64> {
            let mut login = Login::of(path.as_bytes())?;
            text.chunks(3).for_each(|piece| login.feed(piece));
            login.end().map(|mark| mark.line)
        };
        for (path, text, want) in [
            ("/root/.npmrc", "a=1\n//r.example/:_authToken=0123456789ab\n", Some(2)),
            ("/root/.npmrc", "//r.example/:_authToken=${NPM_TOKEN}\n", None),
            ("/root/.netrc", "machine h login u\n password s3cret9\n", Some(1)),
            ("/root/.netrc", "machine h login u\n", None),
            ("/root/.pgpass", "# host:port:db:user:password\nh:1:d:u:s3cret9\n", Some(2)),
            ("/root/.git-credentials", "https://u:s3cret9@h\n", Some(1)),
            ("/root/.docker/config.json", "{\"auths\": {\"h\": {\"auth\": \"dTpw\"}}}", Some(1)),
            ("/root/.docker/config.json", "{\"auths\": {\"h\": {}}}", None),
            ("/x/config.json", "{\"auth\": \"dTpw\"}", None),
            ("/root/.kube/config", "users:\n- user:\n    token: s3cret99\n", Some(3)),
            ("/root/.kube/config", "users:\n- user:\n    tokenFile: /x\n", None),
            ("/a/terraform.tfstate", "{\"sensitive\": true}", Some(1)),
            ("/a/terraform.tfstate", "{\"sensitive_attributes\": []}", None),
            ("/a/b.p12", "0\u{7f}\u{3}\u{2}\u{1}\u{3}0123456789", Some(1)),
            ("/a/b.p12", "0123456789abcdefgh", None),
            ("/a/b.txt", "password s3cret9", None),
        ] {
            assert_eq!(held(path, text.as_bytes()), want, "{path} {text}");
        }
    }
}
