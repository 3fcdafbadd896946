//! `--mount` after expansion: which keys go together, and their defaults.

use super::op::{From, Mount, MountKind, Sharing};
use crate::base::{ImagePath, Span};
use crate::diag::{Code, Diagnostic};
use crate::instruction;

// The fields of one mount by key, expanded: `None` is a key without a value.
struct Fields<'a> {
    list: &'a [(&'static str, Option<String>, Span)],
    workdir: &'a ImagePath,
    span: Span,
}

impl Fields<'_> {
    fn fail<T>(&self, message: impl Into<String>, span: Span) -> Result<T, Box<Diagnostic>> {
        Err(Box::new(Diagnostic::error(Code("mount-option"), message).at(span)))
    }

    fn field(&self, key: &str) -> Option<(Option<&str>, Span)> {
        let (_, value, span) = self.list.iter().rev().find(|(have, _, _)| *have == key)?;
        Some((value.as_deref(), *span))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.field(key)?.0.filter(|text| !text.is_empty())
    }

    fn switch(&self, key: &str) -> Result<Option<bool>, Box<Diagnostic>> {
        let Some((value, span)) = self.field(key) else { return Ok(None) };
        match value.map(str::to_ascii_lowercase).as_deref() {
            None | Some("true" | "1" | "t") => Ok(Some(true)),
            Some("false" | "0" | "f") => Ok(Some(false)),
            Some(_) => self.fail(format!("`{key}` of --mount must be true or false"), span),
        }
    }

    fn number(&self, key: &str, radix: u32) -> Result<Option<u32>, Box<Diagnostic>> {
        let Some((Some(text), span)) = self.field(key) else { return Ok(None) };
        match u32::from_str_radix(text, radix) {
            Ok(number) => Ok(Some(number)),
            Err(_) => self.fail(format!("invalid value `{text}` of `{key}` of --mount"), span),
        }
    }

    fn path(&self, key: &str, start: &ImagePath) -> Result<Option<ImagePath>, Box<Diagnostic>> {
        let Some((Some(text), span)) = self.field(key) else { return Ok(None) };
        if text.is_empty() {
            return Ok(None);
        }
        match start.resolve(text.as_bytes()) {
            Ok(path) => Ok(Some(path)),
            Err(error) => self.fail(format!("`{key}` of --mount: {error}"), span),
        }
    }

    // Where it is mounted: the working directory, if it does not say. The root is nobody's to cover.
    fn target(&self, kind: &str) -> Result<ImagePath, Box<Diagnostic>> {
        let place = self.field("target").map_or(self.span, |(_, span)| span);
        match self.path("target", self.workdir)? {
            Some(path) if path.is_root() => {
                self.fail("invalid mount target `/`: a mount cannot cover the root", place)
            }
            Some(path) => Ok(path),
            None if self.workdir.is_root() => {
                self.fail(format!("a {kind} mount needs `target=PATH`"), place)
            }
            None => Ok(self.workdir.clone()),
        }
    }

    fn only(&self, kind: &str, keys: &[&str]) -> Result<(), Box<Diagnostic>> {
        match self.list.iter().find(|(key, _, _)| *key != "type" && !keys.contains(key)) {
            Some((key, _, span)) => {
                self.fail(format!("unexpected option `{key}` of a {kind} mount"), *span)
            }
            None => Ok(()),
        }
    }
}

// Makes a mount of expanded fields. `from` is what its `from=` stands for.
pub(super) fn mount(
    mount: &instruction::Mount,
    list: &[(&'static str, Option<String>, Span)],
    from: Option<From>,
    workdir: &ImagePath,
    ssh: &mut usize,
) -> Result<Mount, Box<Diagnostic>> {
    let fields = Fields { list, workdir, span: mount.span };
    let kind = match fields.text("type").unwrap_or("bind").to_ascii_lowercase().as_str() {
        "bind" => {
            fields.only("bind", &["from", "source", "target", "readonly", "readwrite"])?;
            let readonly = fields.switch("readonly")?;
            let writable = fields.switch("readwrite")?;
            MountKind::Bind {
                target: fields.target("bind")?,
                from: from.unwrap_or(From::Context),
                source: fields.path("source", &ImagePath::root())?.unwrap_or_else(ImagePath::root),
                writable: writable.unwrap_or(readonly == Some(false)),
            }
        }
        "cache" => {
            let keys = [
                "from",
                "source",
                "target",
                "readonly",
                "readwrite",
                "id",
                "sharing",
                "mode",
                "uid",
                "gid",
            ];
            fields.only("cache", &keys)?;
            let target = fields.target("cache")?;
            let id = fields.text("id").map_or_else(|| target.to_string(), str::to_owned);
            MountKind::Cache {
                id,
                sharing: sharing(&fields)?,
                from,
                source: fields.path("source", &ImagePath::root())?.unwrap_or_else(ImagePath::root),
                readonly: match fields.switch("readwrite")? {
                    Some(writable) => !writable,
                    None => fields.switch("readonly")?.unwrap_or(false),
                },
                mode: fields.number("mode", 8)?.unwrap_or(0o755) & 0o7777,
                uid: fields.number("uid", 10)?.unwrap_or(0),
                gid: fields.number("gid", 10)?.unwrap_or(0),
                target,
            }
        }
        "tmpfs" => {
            fields.only("tmpfs", &["target", "size"])?;
            MountKind::Tmpfs { target: fields.target("tmpfs")?, size: size(&fields)? }
        }
        "secret" => {
            let keys = ["id", "source", "target", "required", "mode", "uid", "gid", "env"];
            fields.only("secret", &keys)?;
            secret(&fields)?
        }
        "ssh" => {
            fields.only("ssh", &["id", "source", "target", "required", "mode", "uid", "gid"])?;
            let default = format!("/run/buildkit/ssh_agent.{ssh}");
            *ssh += 1;
            MountKind::Ssh {
                id: fields.text("id").or(fields.text("source")).unwrap_or("default").to_owned(),
                target: match fields.path("target", workdir)? {
                    Some(path) => path,
                    None => ImagePath::root().resolve(default.as_bytes()).unwrap_or_else(|_| {
                        ImagePath::root() // not reached: the default has no NUL
                    }),
                },
                required: fields.switch("required")?.unwrap_or(false),
                mode: fields.number("mode", 8)?.unwrap_or(0o600) & 0o7777,
                uid: fields.number("uid", 10)?.unwrap_or(0),
                gid: fields.number("gid", 10)?.unwrap_or(0),
            }
        }
        other => {
            let shown: String = other.chars().take(40).collect();
            return fields.fail(format!("unsupported mount type `{shown}`"), mount.span);
        }
    };
    Ok(Mount { kind, span: mount.span })
}

fn sharing(fields: &Fields<'_>) -> Result<Sharing, Box<Diagnostic>> {
    let Some((Some(text), span)) = fields.field("sharing") else { return Ok(Sharing::Shared) };
    match text.to_ascii_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        _ => fields.fail(
            format!("unsupported sharing `{text}` of a cache mount: shared, private or locked"),
            span,
        ),
    }
}

fn secret(fields: &Fields<'_>) -> Result<MountKind, Box<Diagnostic>> {
    let target = fields.path("target", fields.workdir)?;
    let named = fields.text("id").or(fields.text("source"));
    let id = match (named, &target) {
        (Some(id), _) => id.to_owned(),
        (None, Some(target)) => String::from_utf8_lossy(target.name()).into_owned(),
        (None, None) => {
            return fields.fail("a secret mount needs `id=NAME` or `target=PATH`", fields.span);
        }
    };
    let env = fields.text("env").map(str::to_owned);
    let target = match target {
        Some(path) => Some(path),
        None if env.is_some() => None,
        None => {
            let name = id.rsplit('/').next().unwrap_or(&id);
            match ImagePath::root().resolve(format!("/run/secrets/{name}").as_bytes()) {
                Ok(path) => Some(path),
                Err(error) => return fields.fail(format!("secret id: {error}"), fields.span),
            }
        }
    };
    Ok(MountKind::Secret {
        id,
        target,
        env,
        required: fields.switch("required")?.unwrap_or(false),
        mode: fields.number("mode", 8)?.unwrap_or(0o400) & 0o7777,
        uid: fields.number("uid", 10)?.unwrap_or(0),
        gid: fields.number("gid", 10)?.unwrap_or(0),
    })
}

// A number of bytes with a unit of 1024, as Docker reads sizes: `1m`, `64k`, `1.5g`, `1024`.
fn size(fields: &Fields<'_>) -> Result<Option<u64>, Box<Diagnostic>> {
    let Some((Some(text), span)) = fields.field("size") else { return Ok(None) };
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let unit = lower[digits.len()..].trim();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return fields.fail(format!("invalid size `{text}` of a tmpfs mount"), span),
    };
    match digits.parse::<f64>() {
        Ok(number) if (0.0..1e12).contains(&number) => Ok(Some(
            (number * f64::from(1u32 << (shift.min(30)))) as u64
                * if shift == 40 { 1024 } else { 1 },
        )),
        _ => fields.fail(format!("invalid size `{text}` of a tmpfs mount"), span),
    }
}
