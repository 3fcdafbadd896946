//! `constant-mtime-web`: files whose ETag may stay the same when they change.

use crate::base::Timestamp;
use crate::facts::{FileKind, Origin};
use crate::policy::context::under;
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "constant-mtime-web",
    title: "Two versions of a page with one size have one ETag: browsers keep the old one.",
    text: "Finds an image with a web server (nginx, httpd, Caddy, lighttpd) and, in layers of the \
          build, files in a folder that such servers show, whose time is the constant that \
          builds put on all files (1980-01-01T00:00:01Z). These servers make the ETag of a file \
          from its time and size. When the next version of a page has the same size, caches keep \
          the old one.\n\n\
          Give the build the time of the source: `SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)`.",
    params: &[
        Param {
            name: "servers",
            kind: ParamKind::Texts,
            default: r#"["nginx", "httpd", "apache2", "caddy", "lighttpd"]"#,
            help: "names of programs",
        },
        Param {
            name: "folders",
            kind: ParamKind::Texts,
            default: r#"["/usr/share/nginx/html", "/var/www", "/usr/local/apache2/htdocs", "/usr/share/caddy", "/srv", "/usr/share/httpd", "/var/lib/nginx/html"]"#,
            help: "folders that are shown",
        },
    ],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let servers: Vec<String> = found.texts("servers").into_iter().map(str::to_owned).collect();
    let folders: Vec<String> = found.texts("folders").into_iter().map(str::to_owned).collect();
    let visible = judged.visible();
    let server = visible.iter().find_map(|(path, at)| {
        let mut parts = path.rsplit('/');
        let name = parts.next().filter(|name| servers.iter().any(|server| server == name))?;
        let program = at.file.kind != FileKind::Dir && matches!(parts.next(), Some("bin" | "sbin"));
        program.then_some(name)
    });
    let Some(server) = server else { return };
    let constant = Timestamp::BUILD_DEFAULT.seconds();
    let mut shown = visible.iter().filter(|(path, at)| {
        at.file.kind == FileKind::File
            && at.file.mtime == constant
            && judged.facts.layers[at.layer].origin != Origin::Base
            && folders.iter().any(|folder| under(path, folder))
    });
    let Some((path, at)) = shown.next() else { return };
    let count = 1 + shown.count();
    let finding = found
        .finding(format!(
            "{server} makes ETags of time and size, and {count} files such as `{path}` have the \
             time that every build gives"
        ))
        .in_image(*path, Some(at.layer))
        .evidence("files", count)
        .help("build with SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)");
    found.add(origin(finding, judged, at.layer));
}
