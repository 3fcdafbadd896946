//! `/etc/subuid` and `/etc/subgid`: the ids that an account may hand out (subuid(5)).

/// A run of ids of the parent namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    /// First id.
    pub(crate) start: u32,
    /// How many.
    pub(crate) count: u32,
}

/// Returns the ranges that `text` gives to the account `uid`, named `name` if it has a name.
///
/// Lines are `owner:start:count`, the owner a name or a number; what cannot be read is passed over,
/// as newuidmap(1) does. Ranges that touch the account's own id or each other are left out.
pub(crate) fn ranges(text: &str, uid: u32, name: Option<&str>) -> Vec<Range> {
    let number = uid.to_string();
    let mut out: Vec<Range> = Vec::new();
    for line in text.lines() {
        let mut fields = line.trim().split(':');
        let (Some(owner), Some(start), Some(count), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if owner != number && Some(owner) != name {
            continue;
        }
        let (Ok(start), Ok(count)) = (start.parse::<u32>(), count.parse::<u32>()) else { continue };
        let Some(end) = start.checked_add(count) else { continue };
        let clear = !(start..end).contains(&uid)
            && out.iter().all(|other| end <= other.start || other.start + other.count <= start);
        // The kernel takes 340 lines of a map; more than a few only cost time.
        if count > 0 && clear && out.len() < 8 {
            out.push(Range { start, count });
        }
    }
    out
}

/// How many ids an account is usually given: enough for every id that images use.
pub(crate) const USUAL: u32 = 65536;

/// Returns the first id of [`USUAL`] ones that no line of `texts` (subuid(5)) gives away and no account
/// of `passwd` (passwd(5)) has; `None` when there is no room. Ranges begin where useradd(8) begins.
pub(crate) fn free<'a>(texts: impl Iterator<Item = &'a str>, passwd: &str) -> Option<u32> {
    let number = |field: Option<&str>| field.and_then(|text| text.parse::<u64>().ok());
    let mut taken: Vec<(u64, u64)> = Vec::new();
    for line in texts.flat_map(str::lines) {
        let mut fields = line.trim().split(':').skip(1);
        if let (Some(start), Some(count)) = (number(fields.next()), number(fields.next())) {
            taken.push((start, start.saturating_add(count)));
        }
    }
    for line in passwd.lines() {
        let mut fields = line.split(':').skip(2);
        for id in [number(fields.next()), number(fields.next())].into_iter().flatten() {
            taken.push((id, id + 1));
        }
    }
    taken.sort_unstable();
    let mut first = 100_000u64;
    for (start, end) in taken {
        if start < first + u64::from(USUAL) && end > first {
            first = end;
        }
    }
    // The last id means none (chown(2)).
    u32::try_from(first).ok().filter(|first| first.checked_add(USUAL).is_some())
}

/// Returns the name that `passwd` (passwd(5)) has for `uid`.
pub(crate) fn name_of(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>().ok()? == uid && !name.is_empty()).then_some(name)
    })
}

/// Returns the arguments for newuidmap(1): 0 is the account itself, 1 and up are the ranges.
pub(crate) fn arguments(own: u32, ranges: &[Range]) -> Vec<String> {
    let mut out = vec!["0".to_owned(), own.to_string(), "1".to_owned()];
    let mut inside = 1u32;
    for range in ranges {
        let Some(next) = inside.checked_add(range.count) else { break };
        out.extend([inside.to_string(), range.start.to_string(), range.count.to_string()]);
        inside = next;
    }
    out
}

/// Turns `/proc/self/uid_map` of the parent into the map that keeps every id: `inside inside count`
/// for each line. Returns it with the number of ids.
pub(crate) fn identity(map: &str) -> (String, u64) {
    let mut out = String::new();
    let mut ids = 0u64;
    for line in map.lines() {
        let mut fields = line.split_ascii_whitespace();
        if let (Some(inside), Some(_), Some(count)) = (fields.next(), fields.next(), fields.next())
            && let (Ok(inside), Ok(count)) = (inside.parse::<u32>(), count.parse::<u32>())
        {
            out.push_str(&format!("{inside} {inside} {count}\n"));
            ids += u64::from(count);
        }
    }
    (out, ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, uid: u32, name: Option<&str>, want: &[(u32, u32)]) {
        let got: Vec<_> =
            ranges(text, uid, name).iter().map(|range| (range.start, range.count)).collect();
        assert_eq!(got, want, "{text:?}");
    }

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "root:1:2\nann:100000:65536\n1000:300000:10\n\nbad\nann:x:1\nann:1:2:3\n";
        check(text, 1000, Some("ann"), &[(100000, 65536), (300000, 10)]);
        check(text, 1000, None, &[(300000, 10)]);
        check(text, 4321, None, &[]);
        check(text, 4321, Some("10"), &[]);
    }

    #[test]
    fn ranges_that_clash_are_left_out() {
        check("a:900:200\n", 1000, Some("a"), &[]);
        check("a:5000:100\na:5050:100\na:6000:1\n", 1, Some("a"), &[(5000, 100), (6000, 1)]);
        check("a:4294967295:2\na:1:0\n", 7, Some("a"), &[]);
    }

    #[test]
    fn a_free_range_lies_beside_the_others() {
        let free = |text: &str, passwd: &str| free([text].into_iter(), passwd);
        assert_eq!(free("", ""), Some(100_000));
        assert_eq!(free("a:100000:65536\n", ""), Some(165_536));
        assert_eq!(free("a:165536:65536\nb:90000:20000\n", ""), Some(231_072));
        assert_eq!(free("a:200000:10\n", ""), Some(100_000));
        assert_eq!(free("a:100000:65536\n", "x:x:165540:165540::/:\n"), Some(165_541));
        assert_eq!(free("a:0:4294967295\nbad:x:1\n", ""), None);
    }

    #[test]
    fn names() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:\nbroken\n:x:5:5::/:\n";
        assert_eq!(name_of(passwd, 1000), Some("ann"));
        assert_eq!(name_of(passwd, 1001), None);
        assert_eq!(name_of(passwd, 5), None);
    }

    #[test]
    fn maps() {
        let ranges = [Range { start: 100_000, count: 65536 }, Range { start: 300_000, count: 10 }];
        assert_eq!(arguments(1000, &ranges).join(" "), "0 1000 1 1 100000 65536 65537 300000 10");
        assert_eq!(
            identity("         0       1000          1\n 1 100000 65536\n"),
            ("0 0 1\n1 1 65536\n".into(), 65537)
        );
        assert_eq!(identity("0 0 4294967295\n"), ("0 0 4294967295\n".into(), 4_294_967_295));
    }
}
