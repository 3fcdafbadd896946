//! What the sources of a COPY or ADD mean in a context.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Scope;

use super::ahead::{Ahead, Listing, Look, Ticket};
use super::glob::{Glob, has_wildcard};
use super::ignore::Verdict;
use super::{Context, Error, Ignore};
use crate::base::{Cache, Digest, Hasher, ImagePath};
use crate::layer::{Entry, EntryKind};
use crate::rootfs::{self, Content, Lookup, resolve};
use crate::store::{FileStamp, Mark, Marker, Marks, StatCache, Store};
use crate::sys::{Follow, Stat};

/// What to take.
#[derive(Debug, Clone, Default)]
pub struct Pick {
    /// The source paths or patterns, as written but expanded.
    pub sources: Vec<String>,
    /// `--exclude`, in order.
    pub exclude: Vec<String>,
    /// `--parents`: sources keep their folders, and `**` is known.
    pub parents: bool,
}

/// What was found, in the order of the sources.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub(super) groups: Vec<Group>,
    lasts: bool,
}

/// One source, or one match of a source pattern: a single file, or a folder with what is in it.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The last component of the source as written: the name of a file in a destination folder.
    pub(super) name: Vec<u8>,
    /// The path in the context, for messages.
    pub(super) path: ImagePath,
    /// The first is the source itself, with an empty `below`; parents stand before children.
    pub(super) items: Vec<Item>,
}

/// One file or folder of a group.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Where in the path of `entry` that begins what is below the source.
    start: usize,
    /// What it is, with its path in the context.
    pub(super) entry: Entry,
    pub(super) content: Content,
    /// Which file it is, if that has several names.
    pub(super) inode: Option<(u64, u64)>,
    /// A folder that is there because of what is below it, not because it was asked for.
    pub(super) on_the_way: bool,
}

impl Item {
    /// A source that is one thing.
    pub(super) fn alone(entry: Entry, content: Content) -> Item {
        let start = entry.path.as_bytes().len();
        Item { start, entry, content, inode: None, on_the_way: false }
    }

    /// The path below the source; empty for the source itself.
    pub(super) fn below(&self) -> &[u8] {
        &self.entry.path.as_bytes()[self.start..]
    }
}

impl Selection {
    /// Tells whether no source matched anything.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Returns all that was found, with paths from the top of the context: folders before what is in
    /// them.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.items().map(|item| &item.entry)
    }

    /// Tells whether the first thing found is a folder.
    pub fn is_folder(&self) -> bool {
        let first = self.groups.first().and_then(|group| group.items.first());
        first.is_some_and(|item| item.entry.kind == EntryKind::Dir)
    }

    /// Returns the digest of everything that can show in an image: names, kinds, modes, owners,
    /// links, attributes and contents, but not times. Contents are read only if `store` has not
    /// seen the files, unchanged, before.
    pub fn digest(&self, store: &Store) -> Result<Digest<Cache>, Error> {
        self.digest_with(store, &Marks::default()).map(|(digest, _)| digest)
    }

    /// As [`Selection::digest`]; files that have marks in `known` are not read. Returns the marks of all
    /// entries too.
    pub fn digest_with(
        &self,
        store: &Store,
        known: &Marks,
    ) -> Result<(Digest<Cache>, Vec<Option<Mark>>), Error> {
        let marks = self.marks(store, known)?;
        let mut hasher = Hasher::new();
        let mut next = marks.iter();
        for group in &self.groups {
            hasher.field(b"group");
            hasher.field(&group.name);
            // Looked up alone.
            let mut inodes: HashMap<(u64, u64), usize> = HashMap::new();
            for (number, item) in group.items.iter().enumerate() {
                hash_item(&mut hasher, item);
                let mark = next.next().and_then(Option::as_ref);
                hasher.field(mark.map_or(&[][..], |mark| mark.as_bytes()));
                let first = item.inode.map(|inode| *inodes.entry(inode).or_insert(number));
                hasher.field(&first.unwrap_or(number).to_le_bytes());
            }
        }
        Ok((hasher.finish(), marks))
    }

    /// Tells all that is no folder, with the mark of what it holds. The `marks` are those that
    /// [`Selection::digest_with`] gave.
    pub fn each_file<'a>(
        &'a self,
        marks: &'a [Option<Mark>],
        tell: &mut dyn FnMut(&'a Entry, Option<&'a Mark>),
    ) {
        for (item, mark) in self.items().zip(marks) {
            if item.entry.kind != EntryKind::Dir {
                tell(&item.entry, mark.as_ref());
            }
        }
    }

    fn items(&self) -> impl Iterator<Item = &Item> {
        self.groups.iter().flat_map(|group| &group.items)
    }

    /// Reads what has to be read on several threads; the answers keep the order.
    fn marks(&self, store: &Store, known: &Marks) -> Result<Vec<Option<Mark>>, Error> {
        let cache = self.lasts.then(|| store.stat_cache());
        let files: Vec<&Item> = self.items().collect();
        let mut marks: Vec<Option<Mark>> =
            files.iter().map(|item| known_mark(item, cache, known)).collect();
        let unread: Vec<usize> = (0..files.len())
            .filter(|at| marks[*at].is_none() && has_mark(&files[*at].content))
            .collect();
        let threads = if unread.len() < 64 { 1 } else { 4 };
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Vec::new();
            loop {
                let Some(at) = unread.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    return Ok(found);
                };
                found.push((*at, read_mark(files[*at], cache)?));
            }
        };
        let parts = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut parts: Vec<Result<_, Error>> = vec![work()];
            for other in others {
                parts.push(other.join().expect("hashing does not panic"));
            }
            parts
        });
        for part in parts {
            for (at, mark) in part? {
                marks[at] = Some(mark);
            }
        }
        Ok(marks)
    }
}

// Which capabilities a program has is told otherwise in another user namespace, with the same times.
fn is_plain(entry: &Entry) -> bool {
    entry.xattrs.is_empty() && entry.mode & 0o111 == 0
}

fn has_mark(content: &Content) -> bool {
    !matches!(content, Content::Empty)
}

// The mark of a file that was packed or read before.
fn known_mark(item: &Item, cache: Option<&StatCache>, known: &Marks) -> Option<Mark> {
    let Content::File { stamp, .. } = &item.content else { return None };
    // What was packed is what counts.
    if let Some(mark) = known.get(stamp) {
        if let Some(cache) = cache {
            cache.put(*stamp, mark, is_plain(&item.entry));
        }
        return Some(mark);
    }
    cache.and_then(|cache| cache.get(stamp))
}

fn read_mark(item: &Item, cache: Option<&StatCache>) -> Result<Mark, Error> {
    let content = &item.content;
    let mut reader = content.open()?;
    let mut marker = Marker::default();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => marker.update(&buffer[..got]),
            Err(source) => {
                let path = match content {
                    Content::File { path, .. } => path.to_string(),
                    _ => String::new(),
                };
                return Err(Error::Io { what: "read", path, source });
            }
        }
    }
    let mark = marker.finish();
    if let (Some(cache), Content::File { stamp, .. }) = (cache, content) {
        cache.put(*stamp, mark, is_plain(&item.entry));
    }
    Ok(mark)
}

fn hash_item(hasher: &mut Hasher, item: &Item) {
    let entry = &item.entry;
    let (kind, a, b): (&str, u64, u64) = match &entry.kind {
        EntryKind::File { size } => ("file", *size, 0),
        EntryKind::Dir => ("dir", u64::from(item.on_the_way), 0),
        EntryKind::Symlink(_) => ("symlink", 0, 0),
        EntryKind::Char { major, minor } => ("char", u64::from(*major), u64::from(*minor)),
        EntryKind::Block { major, minor } => ("block", u64::from(*major), u64::from(*minor)),
        EntryKind::Fifo => ("fifo", 0, 0),
        EntryKind::Hardlink(_) | EntryKind::Whiteout | EntryKind::Opaque => ("none", 0, 0),
    };
    hasher.field(item.below());
    hasher.field(kind.as_bytes());
    // The mode of a symlink means nothing.
    let mode = if kind == "symlink" { 0 } else { entry.mode };
    for number in [a, b, u64::from(mode), u64::from(entry.uid), u64::from(entry.gid)] {
        hasher.field(&number.to_le_bytes());
    }
    if let EntryKind::Symlink(target) = &entry.kind {
        hasher.field(target);
    }
    hasher.field(&entry.xattrs.len().to_le_bytes());
    for (name, value) in &entry.xattrs {
        hasher.field(name);
        hasher.field(value);
    }
}

/// Finds what `pick` means in `context`.
///
/// A path must exist; a pattern may match nothing. Links on the way to a source, and a source that
/// is one, are followed inside the context; links in a folder that is taken are kept. Matches come
/// sorted by name. Files that `seen` knows are not asked for attributes that they do not have.
pub fn select(
    context: &Context,
    pick: &Pick,
    seen: Option<&StatCache>,
) -> Result<Selection, Error> {
    find(context, pick, &Look { seen, room: None })
}

/// As [`select`], where all that is found has a mark in `seen`, and `room` is enough for all that has
/// to be looked at: then no file has to be read for [`Selection::digest`]. `room` becomes what is left.
/// `None` if anything is otherwise. Starts no thread.
///
/// Files with attributes are not among those: which ones there are, another user namespace may say
/// otherwise.
pub fn select_known(
    context: &Context,
    pick: &Pick,
    seen: &StatCache,
    room: &mut usize,
) -> Option<Selection> {
    let look = Look { seen: Some(seen), room: Some(AtomicUsize::new(*room)) };
    let selection = find(context, pick, &look).ok()?;
    *room = look.room.map_or(0, AtomicUsize::into_inner);
    let none = Marks::default();
    // A capability that root of the namespace has set is there only for who looks from within.
    let hidden = |item: &Item| match (&item.entry.kind, &item.content) {
        (_, Content::File { stamp, .. }) if seen.is_plain(stamp) => false,
        (EntryKind::Symlink(_), _) => false,
        _ => rootfs::may_have_capability(context.root(), &item.entry.path),
    };
    let known = |item: &Item| {
        item.entry.xattrs.is_empty()
            && !hidden(item)
            && (!has_mark(&item.content) || known_mark(item, Some(seen), &none).is_some())
    };
    (selection.lasts && selection.items().all(known)).then_some(selection)
}

fn find(context: &Context, pick: &Pick, look: &Look<'_>) -> Result<Selection, Error> {
    let exclude = match pick.exclude.is_empty() {
        true => None,
        false => Some(Ignore::from_patterns(&pick.exclude)?),
    };
    let mut selection = Selection { groups: Vec::new(), lasts: context.lasts() };
    for source in &pick.sources {
        if pick.parents {
            let group = with_parents(context, source, exclude.as_ref(), look)?;
            selection.groups.push(group);
            continue;
        }
        let clean = ImagePath::root()
            .resolve(source.as_bytes())
            .map_err(|error| not_possible(source, error))?;
        for path in matches(context, source, &clean, look)? {
            let filter = Filter { exclude: exclude.as_ref(), include: None };
            match group(context, &path, &filter, look)? {
                Some(group) => selection.groups.push(group),
                None if has_wildcard(clean.as_bytes()) => {}
                None => return Err(not_found(context, &clean)),
            }
        }
    }
    Ok(selection)
}

fn not_possible(source: &str, error: crate::base::PathError) -> Error {
    Error::Io { what: "use the source", path: source.into(), source: std::io::Error::other(error) }
}

fn not_found(context: &Context, path: &ImagePath) -> Error {
    // Is it only the ignore file that hides it?
    let there = context.root().stat_opt(path, Follow::InRoot).is_ok_and(|stat| stat.is_some());
    let rule = context.ignore().filter(|_| there).and_then(|ignore| {
        let real = resolve(context, path, Follow::InRoot).ok();
        let excluding = |path: &ImagePath| ignore.rule(path).filter(|rule| rule.excludes);
        excluding(path).or_else(|| excluding(&real?))
    });
    let hint = match rule {
        Some(rule) if rule.line == 0 => format!(": left out, since it is {rule}"),
        Some(rule) => format!(": `{rule}` excludes it, pattern `{}`", rule.pattern),
        None => String::new(),
    };
    Error::NotFound { path: path.to_string(), hint }
}

/// Returns the paths that a source means: itself, or the matches of a pattern.
fn matches(
    context: &Context,
    source: &str,
    clean: &ImagePath,
    look: &Look<'_>,
) -> Result<Vec<ImagePath>, Error> {
    let parts: Vec<&[u8]> = clean.components().collect();
    let Some(first) = parts.iter().position(|part| has_wildcard(part)) else {
        return Ok(vec![clean.clone()]);
    };
    let mut start = ImagePath::root();
    for part in &parts[..first] {
        start = start.join(part).map_err(|error| not_possible(source, error))?;
    }
    let mut found = vec![resolve(context, &start, Follow::InRoot)?];
    for (number, part) in parts[first..].iter().enumerate() {
        let last = first + number + 1 == parts.len();
        let Some(glob) = Glob::parse(part) else {
            return Err(super::PatternError {
                pattern: source.into(),
                line: String::new(),
                reason: "syntax error in pattern",
            }
            .into());
        };
        let mut next = Vec::new();
        for folder in found {
            let dir = match context.root().open_dir(&folder, Follow::No) {
                Ok(dir) => dir,
                Err(_) => continue, // not there, or no folder: nothing matches in it
            };
            for (name, _) in look.list(&dir, &folder)? {
                if !glob.matches(&name) {
                    continue;
                }
                let path = folder.join(&name).map_err(|error| not_possible(source, error))?;
                if let Some(entry) = context.entry(&path)?
                    && (last || entry.kind == EntryKind::Dir)
                {
                    next.push(path);
                }
            }
        }
        found = next;
    }
    Ok(found)
}

/// What of a folder is taken.
struct Filter<'a> {
    exclude: Option<&'a Ignore>,
    include: Option<&'a Include>,
}

/// The pattern of a source with `--parents`.
struct Include {
    pattern: Ignore,
    /// Folders before the first wildcard: nothing else needs to be looked at.
    fixed: Vec<Vec<u8>>,
}

/// Takes what is at `path`; `None` if nothing is, or nothing of it may be seen.
fn group(
    context: &Context,
    path: &ImagePath,
    filter: &Filter<'_>,
    look: &Look<'_>,
) -> Result<Option<Group>, Error> {
    look.spend()?;
    let real = resolve(context, path, Follow::InRoot)?;
    let top = if real.is_root() {
        // Its metadata is never used: the destination has its own.
        context.entry(&real)?.map(|entry| (entry, None))
    } else {
        match context.entry(&real)? {
            None => None,
            Some(_) => {
                let (dir, name) = context.root().parent(&real).map_err(Error::io("read", &real))?;
                let found = context.entry_in(&dir, &name, &real, look.seen)?;
                found.map(|(entry, stat)| (entry, Some(stat)))
            }
        }
    };
    let Some((entry, stat)) = top else { return Ok(None) };
    let is_dir = entry.kind == EntryKind::Dir;
    let start = entry.path.as_bytes().len();
    let source = item(context, start, entry, stat.as_ref());
    let mut items = vec![source];
    if is_dir {
        let ahead = Ahead::new(context, look);
        let visible = std::thread::scope(|scope| {
            let _walking = ahead.walking();
            walk(context, &real, filter, scope, &ahead, &mut items)
        })?;
        if !visible && context.judge(&real).excluded {
            return Ok(None);
        }
    }
    Ok(Some(Group { name: path.name().to_vec(), path: path.clone(), items }))
}

fn item(context: &Context, start: usize, entry: Entry, stat: Option<&Stat>) -> Item {
    let content = match (&entry.kind, stat) {
        (EntryKind::File { size }, Some(stat)) if *size > 0 => Content::File {
            root: Arc::clone(context.root()),
            path: entry.path.clone(),
            stamp: match context.is_ours() {
                true => FileStamp::of_ours(stat),
                false => FileStamp::of(stat),
            },
        },
        _ => Content::Empty,
    };
    let inode = stat
        .filter(|stat| stat.links > 1 && matches!(entry.kind, EntryKind::File { .. }))
        .map(|stat| (stat.dev, stat.ino));
    Item { start, entry, content, inode, on_the_way: false }
}

/// A folder that is being read.
struct Frame {
    /// What is in it and still to be looked at, last name first.
    rest: Vec<Child>,
    /// The folder itself, until something asks for it.
    pending: Option<Item>,
    judged: Judged,
}

/// Something in a folder.
struct Child {
    entry: Entry,
    stat: Stat,
    /// A folder that will be read.
    ticket: Option<Ticket>,
}

/// Whether a path is taken.
#[derive(Default)]
struct Judged {
    ignored: Verdict,
    excluded: Verdict,
    included: Verdict,
    /// Nothing at or below it can be asked for.
    leads_nowhere: bool,
}

impl Judged {
    /// Judges `path` in the folder that was judged; `below` is what of it lies below the source.
    fn child(
        &self,
        path: &ImagePath,
        below: &[u8],
        context: &Context,
        filter: &Filter<'_>,
    ) -> Judged {
        if filter.include.is_some_and(|include| !include.may_lead(below)) {
            return Judged { leads_nowhere: true, ..Judged::default() };
        }
        let none = Verdict::default;
        let ignored = match context.ignore() {
            Some(ignore) => ignore.judge(path.relative(), &self.ignored),
            None => none(),
        };
        let excluded = match filter.exclude {
            Some(exclude) => exclude.judge(below, &self.excluded),
            None => none(),
        };
        let included = match filter.include {
            Some(include) => include.pattern.judge(below, &self.included),
            None => Verdict { excluded: true, ..none() },
        };
        Judged { ignored, excluded, included, leads_nowhere: false }
    }

    /// Tells whether something in a folder judged so may be taken.
    fn opens(&self, context: &Context, filter: &Filter<'_>) -> bool {
        let may_return = |ignore: Option<&Ignore>| ignore.is_some_and(Ignore::brings_back);
        !self.leads_nowhere
            && (!self.ignored.excluded || may_return(context.ignore()))
            && (!self.excluded.excluded || may_return(filter.exclude))
    }
}

/// Reads the folder `top` in the order of names, and adds what is taken to `items`. Returns whether
/// anything could be seen.
fn walk<'scope>(
    context: &Context,
    top: &ImagePath,
    filter: &Filter<'_>,
    scope: &'scope Scope<'scope, '_>,
    ahead: &'scope Ahead<'_>,
    items: &mut Vec<Item>,
) -> Result<bool, Error> {
    let start = if top.is_root() { 1 } else { top.as_bytes().len() + 1 };
    let judge = |judged: &Judged, path: &ImagePath| {
        judged.child(path, &path.as_bytes()[start..], context, filter)
    };
    // Folders are judged before the walk comes to them, so that they can be read by then; and again when it
    // does, since to keep what was judged of many would take much.
    let open = |listing: Listing, judged: Judged, pending| {
        let mut rest: Vec<Child> =
            listing.into_iter().map(|(entry, stat)| Child { entry, stat, ticket: None }).collect();
        let mut opened: Vec<&mut Child> = rest
            .iter_mut()
            .rev()
            .filter(|child| {
                child.entry.kind == EntryKind::Dir
                    && judge(&judged, &child.entry.path).opens(context, filter)
            })
            .collect();
        let paths = opened.iter().map(|child| child.entry.path.clone()).collect();
        for (child, ticket) in opened.iter_mut().zip(ahead.want(scope, paths)) {
            child.ticket = Some(ticket);
        }
        Frame { rest, pending, judged }
    };
    let judged = Judged { ignored: context.judge(top), ..Judged::default() };
    let mut seen = false;
    let mut stack = vec![open(ahead.read(top)?, judged, None)];
    while let Some(frame) = stack.last_mut() {
        let Some(Child { entry, stat, ticket }) = frame.rest.pop() else {
            stack.pop();
            continue;
        };
        let judged = judge(&frame.judged, &entry.path);
        if judged.leads_nowhere {
            continue;
        }
        let is_dir = entry.kind == EntryKind::Dir;
        let hidden = judged.ignored.excluded;
        let taken = !hidden && !judged.excluded.excluded && judged.included.excluded;
        seen |= !hidden;
        let mut item = item(context, start, entry, Some(&stat));
        let mut pending = None;
        if taken {
            for frame in &mut stack {
                items.extend(frame.pending.take());
            }
            items.push(item);
        } else if is_dir {
            // Taken if something in it is. To be in the context is one thing, to be asked for
            // another: only the second makes a difference for its owner.
            item.on_the_way = judged.excluded.excluded || !judged.included.excluded;
            pending = Some(item);
        }
        if let Some(ticket) = ticket {
            stack.push(open(ahead.take(ticket)?, judged, pending));
        }
    }
    Ok(seen)
}

/// Takes a source with `--parents`: `a/./b/c` starts at `a` and keeps `b`, without `/./` it starts
/// at the top.
fn with_parents(
    context: &Context,
    source: &str,
    exclude: Option<&Ignore>,
    look: &Look<'_>,
) -> Result<Group, Error> {
    let (start, pattern) = source.split_once("/./").unwrap_or(("/", source));
    let path = |text: &str| {
        ImagePath::root().resolve(text.as_bytes()).map_err(|error| not_possible(source, error))
    };
    let (start, pattern) = (path(start)?, path(pattern)?);
    let wild = has_wildcard(pattern.as_bytes());
    let text = String::from_utf8_lossy(pattern.relative()).into_owned();
    if text.is_empty() {
        // The start itself: all that is in it.
        let filter = Filter { exclude, include: None };
        return group(context, &start, &filter, look)?.ok_or_else(|| not_found(context, &start));
    }
    let include = Include {
        pattern: Ignore::from_patterns(&[text])?,
        fixed: pattern
            .components()
            .take_while(|part| !has_wildcard(part))
            .map(<[u8]>::to_vec)
            .collect(),
    };
    let filter = Filter { exclude, include: Some(&include) };
    let found = group(context, &start, &filter, look)?.ok_or_else(|| not_found(context, &start))?;
    if found.items.len() == 1 && !wild {
        return Err(not_found(context, &pattern));
    }
    Ok(found)
}

impl Include {
    /// Tells whether something at or below this path can match.
    fn may_lead(&self, below: &[u8]) -> bool {
        below.split(|byte| *byte == b'/').zip(&self.fixed).all(|(have, want)| have == want)
    }
}
