//! `secret-command`: a login in a step.

use crate::facts::shell::{Command, RedirectKind};
use crate::policy::rules::secret::secret_in_env::is_secret;
use crate::policy::{Alias, Found, Item, Outline, Rule, variables};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "secret-command",
    title: "Logging in during a build leaves the login in the layer.",
    text: "Finds commands that leave a login behind or have a password among their words: `aws \
          configure set aws_…`, `gcloud auth activate-service-account`, `az login -p`, `docker \
          login -p`, `npm config set …:_authToken`, `npm login`, `git config … https://token@…`, \
          `mysql -p…`, PGPASSWORD=, sshpass, `curl -u name:password`; and a variable named as a \
          secret that is written into a file.\n\nNot found: what a secret mount of the same \
          step gives, where it is written into a tmpfs or below /run/secrets; \
          `--password-stdin`.",
    aliases: &[Alias::of("DS-0031")],
    standards: &["NIST 800-190 4.1.4"],
    text_check: Some(check),
    bad: &[
        "FROM busybox\nRUN aws configure set aws_secret_access_key abc\n",
        "FROM busybox\nARG P\nRUN echo \"//registry.example/:_authToken=$NPM_TOKEN\" > /root/.npmrc\n",
        "FROM busybox\nRUN curl -u me:s3cr3t https://example.org/x -o /x\n",
        "FROM busybox\nRUN npm config set //registry.example/:_authToken abc\n",
        "FROM busybox\nARG T\nRUN git config --global url.\"https://x:$T@git.example/\".insteadOf https://git.example/\n",
    ],
    good: &[
        "FROM busybox\nRUN --mount=type=secret,id=NPM_TOKEN,env=NPM_TOKEN --mount=type=tmpfs,target=/t \\\n  echo \"//registry.example/:_authToken=$NPM_TOKEN\" > /t/.npmrc && true\n",
        "FROM busybox\nRUN git config --global url.\"ssh://git@git.example/\".insteadOf https://git.example/\n",
        "FROM busybox\nRUN echo x | docker login --password-stdin -u me registry.example\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (item, command) in outline.commands() {
        if let Some(what) = login(command) {
            let help = "give the secret to the one step that needs it: --mount=type=secret";
            found.tell(item.place, command.span, what, "stays in the layer or the history", help);
            continue;
        }
        // `echo "…$TOKEN" > file`
        let target = command
            .redirects
            .iter()
            .find(|redirect| matches!(redirect.kind, RedirectKind::Write | RedirectKind::Append));
        let Some(target) = target.and_then(|redirect| redirect.target.known()) else { continue };
        let text = outline.written(command.span);
        let names = variables(text, '\\');
        let words =
            ["token", "password", "passwd", "secret", "apikey", "credentials", "passphrase"];
        let named = names.iter().find(|(name, _)| is_secret(name, "given", &words, &[]));
        let Some((name, _)) = named.filter(|_| !kept_out(item, target)) else { continue };
        let message = format!("the value of `{name}` is written to `{target}`");
        let help = "mount the secret where it is read: --mount=type=secret,target=…";
        found.tell(item.place, command.span, message, "stays in the layer", help);
    }
}

// Whether a file is in no layer: on a mount of the step, or no file.
fn kept_out(item: &Item<'_>, path: &str) -> bool {
    let mounted = item.mounts().iter().any(|mount| {
        let target = mount.value("target").and_then(|word| item.expand(&word.raw));
        matches!(mount.kind(), "tmpfs" | "secret" | "cache")
            && target.is_some_and(|target| {
                crate::policy::context::under(path, target.trim_end_matches('/'))
            })
    });
    mounted || path.starts_with("/run/secrets") || path.starts_with("/dev/")
}

// Whether a word holds a URL with a credential: `https://TOKEN@…`, `https://NAME:PASSWORD@…`. The
// account of SSH is none.
fn has_login(word: &str) -> bool {
    word.match_indices("://").any(|(at, mark)| {
        let host = word[at + mark.len()..].split('/').next().unwrap_or("");
        host.rsplit_once('@').is_some_and(|(user, _)| {
            user.contains(':') || !(word[..at].ends_with("ssh") || matches!(user, "" | "git"))
        })
    })
}

fn login(command: &Command) -> Option<String> {
    let args = || command.args().iter().map(|arg| arg.text.as_str());
    let has = |word: &str| args().any(|arg| arg == word);
    let starts = |word: &str| args().any(|arg| arg.starts_with(word));
    let first = args().next().unwrap_or("");
    if let Some((name, _)) = command.assignments.iter().find(|(name, value)| {
        matches!(name.as_str(), "PGPASSWORD" | "MYSQL_PWD" | "SSHPASS")
            && value.known().is_some_and(|v| !v.is_empty())
    }) {
        return Some(format!("`{name}` is given in the step"));
    }
    let name = command.name()?;
    let found = match name {
        "aws" => first == "configure" && has("set") && starts("aws_"),
        "gcloud" => has("auth") && has("activate-service-account"),
        "az" => first == "login" && (has("-p") || has("--password") || starts("--password=")),
        "doctl" => first == "auth" && (has("-t") || has("--access-token")),
        "docker" | "podman" | "skopeo" | "buildah" | "nerdctl" | "oras" => {
            first == "login" && (has("-p") || has("--password") || starts("--password="))
        }
        "helm" => has("registry") && has("login") && (has("-p") || has("--password")),
        "npm" | "pnpm" | "yarn" => {
            (has("config")
                && has("set")
                && args().any(|arg| arg.contains("_authToken") || arg.contains("_password")))
                || matches!(first, "login" | "adduser")
        }
        "pip" | "pip3" => first == "config" && args().any(has_login),
        "git" => has("config") && args().any(has_login),
        "mysql" | "mysqldump" | "mysqladmin" => args().any(|arg| {
            arg.strip_prefix("-p")
                .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['o', 'r', 'l']))
                || arg.strip_prefix("--password=").is_some_and(|rest| !rest.is_empty())
        }),
        "sshpass" => has("-p") || starts("-p"),
        "gem" => first == "signin",
        "curl" => crate::policy::flow::flags(command).iter().any(|(flag, value)| {
            let text = value.map_or("", |arg| arg.text.as_str());
            let password = text.split_once(':').map_or("", |(_, password)| password);
            matches!(flag.as_str(), "-u" | "--user")
                && !password.is_empty()
                && !password.contains(crate::facts::shell::HOLE)
        }),
        _ => false,
    };
    found.then(|| format!("`{name}` is given a credential in the step"))
}
