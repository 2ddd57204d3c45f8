//! `Include`: which of the given files a name or pattern means. Nothing is read from any disk.

/// Deepest nesting of files that include others.
pub const INCLUDE_DEPTH_MAX: usize = 16;

/// The files that a directive in `from` means, in the order of their names. A name counts from the directory of its file, then
/// from the root of the rule set; a path of another machine means the files whose names end like it. A pattern never means
/// the file it stands in.
pub fn resolve<'n>(pattern: &str, from: &str, names: impl Iterator<Item = &'n str> + Clone) -> Vec<usize> {
    let directory = from.rsplit_once('/').map_or("", |(d, _)| d);
    let rooted = plain(pattern);
    let mut attempts = Vec::new();
    if !pattern.starts_with('/') {
        attempts.push(plain(&format!("{directory}/{pattern}")));
    }
    let mut tail = rooted.as_str();
    loop {
        attempts.push(tail.to_owned());
        match tail.split_once('/') {
            Some((_, rest)) if !rest.is_empty() => tail = rest,
            _ => break,
        }
    }
    let is_pattern = pattern.contains(['*', '?', '[']);
    for attempt in attempts {
        let mut found: Vec<(usize, &str)> = names
            .clone()
            .enumerate()
            .filter(|(_, n)| matches(attempt.as_bytes(), n.as_bytes()) && !(is_pattern && *n == from))
            .collect();
        if !found.is_empty() {
            found.sort_by_key(|(_, n)| *n);
            return found.into_iter().map(|(i, _)| i).collect();
        }
    }
    Vec::new()
}

/// A path without empty and dot segments.
fn plain(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(out.pop()),
            s => out.push(s),
        }
    }
    out.join("/")
}

/// `*` and `?` match within a segment, `[…]` one of its characters.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where the last star stands, and how much it has taken: going back there is enough.
    let mut star: Option<(usize, usize)> = None;
    let (mut p, mut n) = (0, 0);
    while n < name.len() {
        let one = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => (name[n] != b'/').then_some(p + 1),
            Some(b'[') => class(&pattern[p..], name[n]).map(|used| p + used),
            Some(b) => (*b == name[n]).then_some(p + 1),
            None => None,
        };
        if let Some(next) = one {
            p = next;
            n += 1;
            continue;
        }
        match star {
            Some((at, taken)) if name[taken] != b'/' => {
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// The length of a class that holds a byte.
fn class(pattern: &[u8], b: u8) -> Option<usize> {
    let end = pattern.iter().skip(2).position(|c| *c == b']')? + 2;
    let (negative, set) = match &pattern[1..end] {
        [b'!' | b'^', rest @ ..] => (true, rest),
        set => (false, set),
    };
    let mut hit = false;
    let mut i = 0;
    while i < set.len() {
        if set.get(i + 1) == Some(&b'-') && i + 2 < set.len() {
            hit |= (set[i]..=set[i + 2]).contains(&b);
            i += 3;
        } else {
            hit |= set[i] == b;
            i += 1;
        }
    }
    (hit != negative && b != b'/').then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_mean_files_of_the_rule_set() {
        let names = [
            "main.conf",
            "rules/a.conf",
            "rules/b.conf",
            "rules/x.data",
            "etc/crs/setup.conf",
        ];
        for (pattern, from, want) in [
            ("rules/*.conf", "main.conf", &[1, 2][..]),
            ("*.conf", "rules/a.conf", &[2]),
            ("*.conf", "main.conf", &[]),
            ("a.conf", "rules/b.conf", &[1]),
            ("rules/a.conf", "etc/crs/setup.conf", &[1]),
            ("../../rules/[b-z].conf", "etc/crs/setup.conf", &[2]),
            ("rules/[!b].conf", "main.conf", &[1]),
            ("/usr/share/modsecurity-crs/rules/?.conf", "main.conf", &[1, 2]),
            ("/etc/crs/setup.conf", "main.conf", &[4]),
            ("none.conf", "main.conf", &[]),
            ("rules*", "main.conf", &[]),
        ] {
            assert_eq!(
                resolve(pattern, from, names.iter().copied()),
                want,
                "{pattern} in {from}"
            );
        }
    }
}
