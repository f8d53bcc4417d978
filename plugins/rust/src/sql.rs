//! The $names of a statement. The host checks the text; this only finds them.

/// The parameters of a statement in the order of their first use, without $now, and
/// for each whether it stands outside of fragments.
pub(crate) fn parameters(sql: &str) -> Vec<String> {
    let mut p = Scan { sql: sql.as_bytes(), at: 0 };
    let mut names: Vec<String> = Vec::new();
    while let Some(name) = p.next() {
        if name != "now" && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

struct Scan<'a> {
    sql: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn next(&mut self) -> Option<String> {
        while let Some(&c) = self.sql.get(self.at) {
            match c {
                b'\'' | b'"' => self.quoted(c, false),
                b'$' => {
                    if let Some(name) = self.dollar() {
                        return Some(name);
                    }
                }
                b'-' if self.has(b"--") => self.line_comment(),
                b'/' if self.has(b"/*") => self.block_comment(),
                _ if begins_name(c) => self.word(),
                // A number takes the letters after it along.
                b'0'..=b'9' => self.pass(|c| in_name(c) || c == b'.'),
                _ => self.at += 1,
            }
        }
        None
    }

    fn has(&self, s: &[u8]) -> bool {
        self.sql[self.at..].starts_with(s)
    }

    fn pass(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.sql.get(self.at).map_or(false, |c| wanted(*c)) {
            self.at += 1;
        }
    }

    /// A name may have a dollar inside; E before a quote is an escape string.
    fn word(&mut self) {
        let start = self.at;
        self.pass(|c| in_name(c) || c == b'$');
        if matches!(&self.sql[start..self.at], b"e" | b"E") && self.has(b"'") {
            self.quoted(b'\'', true);
        }
    }

    fn quoted(&mut self, quote: u8, escape: bool) {
        self.at += 1;
        while let Some(&c) = self.sql.get(self.at) {
            self.at += 1;
            if escape && c == b'\\' {
                self.at += 1;
            } else if c == quote {
                // A doubled quote is one of the string's characters.
                if self.sql.get(self.at) != Some(&quote) && !(escape && self.continued()) {
                    return;
                }
                self.at += 1;
            }
        }
    }

    /// A literal after a line break continues an escape string under its rule.
    fn continued(&mut self) -> bool {
        let (back, mut lines) = (self.at, false);
        loop {
            match self.sql.get(self.at) {
                Some(b'\n' | b'\r') => {
                    lines = true;
                    self.at += 1;
                }
                Some(b' ' | b'\t' | 0x0b | 0x0c) => self.at += 1,
                Some(b'-') if self.has(b"--") => self.line_comment(),
                Some(b'\'') if lines => return true,
                _ => {
                    self.at = back;
                    return false;
                }
            }
        }
    }

    /// A parameter, or a string between two tags.
    fn dollar(&mut self) -> Option<String> {
        let start = self.at;
        self.at += 1;
        self.pass(in_name);
        let name = &self.sql[start + 1..self.at];
        if self.has(b"$") && name.first().map_or(true, |c| begins_name(*c)) {
            let tag = &self.sql[start..self.at + 1];
            let rest = &self.sql[self.at + 1..];
            let end = rest.windows(tag.len()).position(|w| w == tag).unwrap_or(rest.len());
            self.at = (self.at + 1 + end + tag.len()).min(self.sql.len());
            return None;
        }
        if name.is_empty() {
            return None; // the host refuses it
        }
        Some(String::from_utf8_lossy(name).into_owned())
    }

    fn line_comment(&mut self) {
        self.pass(|c| c != b'\n' && c != b'\r');
    }

    /// PostgreSQL's comments nest.
    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.sql.len() {
            if self.has(b"/*") {
                depth += 1;
                self.at += 2;
            } else if self.has(b"*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return;
                }
            } else {
                self.at += 1;
            }
        }
    }
}

fn begins_name(c: u8) -> bool {
    c.is_ascii_alphabetic() || c == b'_' || c >= 0x80
}

fn in_name(c: u8) -> bool {
    begins_name(c) || c.is_ascii_digit()
}
