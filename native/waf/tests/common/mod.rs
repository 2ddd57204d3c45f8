//! What the tests of this crate share.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod expressions;
pub mod reference;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cnx_waf::engine::{Outcome, Transaction};
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::program::compile::{CompileOptions, SourceFile, compile};
use cnx_waf::seclang::setting::EngineMode;
use cnx_waf::wire::{Request, pack_request};

pub type Files = Vec<(String, Vec<u8>)>;

/// A compiled rule set in block mode, with memory to run it.
pub struct Gateway {
    pub profile: Profile,
    pub transaction: Transaction,
}

impl Gateway {
    pub fn new(files: &Files) -> Self {
        Self::with(
            files,
            &ProfileOptions {
                mode: Some(EngineMode::On),
                ..ProfileOptions::default()
            },
        )
    }

    pub fn with(files: &Files, options: &ProfileOptions) -> Self {
        let sources: Vec<SourceFile<'_>> = files.iter().map(|(n, c)| SourceFile { name: n, content: c }).collect();
        let program = match compile(&sources, CompileOptions::default()) {
            Ok(p) => Arc::new(p),
            Err(list) => panic!("{}", list.iter().map(|d| format!("{d}\n")).collect::<String>()),
        };
        let profile = Profile::new(program, options).unwrap_or_else(|p| panic!("{}", p.message));
        Self {
            profile,
            transaction: Transaction::default(),
        }
    }

    /// Rules given as one text.
    pub fn rules(text: &str) -> Self {
        Self::new(&vec![("t.conf".into(), text.as_bytes().to_vec())])
    }

    pub fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Outcome {
        let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let packed = pack_request(
            method.as_bytes(),
            target.as_bytes(),
            b"HTTP/1.1",
            b"192.0.2.1",
            &headers,
            body,
        );
        let request = Request::unpack(&packed).expect("a packed request");
        self.transaction.inspect(&self.profile, &request)
    }

    pub fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> Outcome {
        let mut all = vec![("host", "example.com")];
        all.extend_from_slice(headers);
        self.send("GET", target, &all, b"")
    }

    pub fn post(&mut self, content_type: &str, body: &[u8]) -> Outcome {
        let length = body.len().to_string();
        let headers = [
            ("host", "example.com"),
            ("content-type", content_type),
            ("content-length", length.as_str()),
        ];
        self.send("POST", "/form", &headers, body)
    }

    /// Ids of the rules that reported, in order.
    pub fn ids(&self) -> Vec<u32> {
        self.transaction.reports().map(|r| r.rule).collect()
    }

    /// Variable names of the reports, in order.
    pub fn variables(&self) -> Vec<String> {
        self.transaction
            .reports()
            .map(|r| String::from_utf8_lossy(r.variable).into_owned())
            .collect()
    }

    /// Messages of the reports, in order.
    pub fn messages(&self) -> Vec<String> {
        self.transaction
            .reports()
            .map(|r| String::from_utf8_lossy(r.message).into_owned())
            .collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The demo rules, in the order in which the demo lists them.
pub fn demo() -> Files {
    let dir = root().join("config/demo/waf");
    [
        "scanners.data",
        "setup.conf",
        "protocol.conf",
        "traversal.conf",
        "command.conf",
        "sql.conf",
        "xss.conf",
        "score.conf",
    ]
    .iter()
    .map(|n| {
        (
            (*n).to_owned(),
            std::fs::read(dir.join(n)).unwrap_or_else(|e| panic!("{n}: {e}")),
        )
    })
    .collect()
}

/// The Core Rule Set of the shared test data, when it is there.
pub fn crs() -> Option<Files> {
    let Some(dir) = data_dir("crs-4.28.0") else {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "../shared/data/crs-4.28.0 is missing"
        );
        return None;
    };
    let read = |path: &Path| std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut files = vec![(
        "crs-setup.conf.example".to_owned(),
        read(&dir.join("crs-setup.conf.example")),
    )];
    let mut paths: Vec<_> = std::fs::read_dir(dir.join("rules"))
        .expect("rules")
        .filter_map(|e| Some(e.ok()?.path()))
        .collect();
    paths.sort();
    for p in paths {
        let name = p
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name.ends_with(".conf") || name.ends_with(".data") {
            files.push((format!("rules/{name}"), read(&p)));
        }
    }
    Some(files)
}

/// A file of the shared test data, when it is there.
pub fn data(path: &str) -> Option<String> {
    let content = std::fs::read(root().join("../shared/data").join(path)).ok()?;
    Some(String::from_utf8_lossy(&content).into_owned())
}

/// A directory of the shared test data, when it is there.
pub fn data_dir(path: &str) -> Option<PathBuf> {
    let dir = root().join("../shared/data").join(path);
    dir.is_dir().then_some(dir)
}

/// RFC 4180.
pub fn csv(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c => field.push(c),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}
