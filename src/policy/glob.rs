//! Patterns of policy files: `*` within a component, `**` over components, `?` one character.

/// Tells whether `path` matches `pattern`. Time is bounded by the product of their lengths.
pub fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.as_bytes(), path.as_bytes());
    // What stands before the first and after the last wildcard has to be there: most paths end here.
    let wild = |byte: &u8| matches!(byte, b'*' | b'?');
    let Some(first) = pattern.iter().position(wild) else { return pattern == path };
    let last = pattern.iter().rposition(wild).unwrap_or(first);
    let tail = &pattern[last + 1..];
    // The slash of `**/x` belongs to the wildcard.
    let tail =
        if pattern[..=last].ends_with(b"**") && !tail.is_empty() { &tail[1..] } else { tail };
    if !path.starts_with(&pattern[..first]) || !path.ends_with(tail) {
        return false;
    }
    // So has each piece between two.
    let there = |piece: &[u8]| {
        let piece = piece.strip_prefix(b"/").unwrap_or(piece);
        piece.is_empty() || path.windows(piece.len()).any(|part| part == piece)
    };
    if !pattern[first..=last].split(wild).all(there) {
        return false;
    }
    // reached[i]: the pattern so far matches the first i bytes of the path.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    let mut at = 0;
    while at < pattern.len() {
        let mut next = vec![false; path.len() + 1];
        match pattern[at] {
            b'*' => {
                let deep = pattern.get(at + 1) == Some(&b'*');
                at += usize::from(deep);
                let mut on = false;
                for i in 0..=path.len() {
                    on |= reached[i];
                    next[i] = on;
                    if !deep && path.get(i) == Some(&b'/') {
                        on = false;
                    }
                }
                // `**/x` matches `x` too.
                if deep && pattern.get(at + 1) == Some(&b'/') {
                    for i in 0..path.len() {
                        if path[i] == b'/' && next[i] {
                            next[i + 1] = true;
                        }
                    }
                    for i in 0..=path.len() {
                        next[i] = reached[i] || (next[i] && i > 0 && path[i - 1] == b'/');
                    }
                    at += 1;
                }
            }
            byte => {
                for i in 0..path.len() {
                    let fits = path[i] == byte || (byte == b'?' && path[i] != b'/');
                    next[i + 1] = reached[i] && fits;
                }
            }
        }
        reached = next;
        at += 1;
    }
    reached[path.len()]
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars() {
        for (pattern, path, want) in [
            ("images/*/Dockerfile", "images/init/Dockerfile", true),
            ("images/*/Dockerfile", "images/a/b/Dockerfile", false),
            ("images/**", "images/a/b", true),
            ("**/Dockerfile", "Dockerfile", true),
            ("**/Dockerfile", "a/b/Dockerfile", true),
            ("**/Dockerfile", "a/xDockerfile", false),
            ("/usr/bin/?u", "/usr/bin/su", true),
            ("/usr/bin/su", "/usr/bin/sudo", false),
            ("*", "", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/c/b", true),
            ("**b", "a/b", true),
            ("**b", "b", true),
            ("a*a", "a", false),
            ("***", "a", true),
            ("*.pem", "key.pem", true),
            ("*.pem", "key.pem.txt", false),
            ("?", "a", true),
            ("?", "/", false),
        ] {
            assert_eq!(matches(pattern, path), want, "{pattern} {path}");
        }
    }
}
