//! Expressions for tests.

use std::sync::Arc;

use cnx_waf::engine::{Outcome, Transaction};
use cnx_waf::expression::rule::{Action, ExpressionRule, Expressions};
use cnx_waf::expression::set::ListText;
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::program::Program;
use cnx_waf::program::compile::{CompileOptions, SourceFile, compile_with};
use cnx_waf::seclang::setting::EngineMode;
use cnx_waf::wire::{Request, pack_request, pack_tls};

/// An item that stands before all files.
pub fn rule(when: &str, action: Action) -> ExpressionRule {
    ExpressionRule {
        place: format!("/{when}"),
        before: 0,
        local: false,
        id: None,
        name: None,
        when: when.to_owned(),
        action,
        message: None,
        severity: None,
    }
}

pub fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

/// The lists that expressions of tests may name.
pub fn lists() -> Vec<(String, ListText)> {
    let list = |name: &str, entries: &[&str], numbers| {
        let text = ListText {
            name: name.to_owned(),
            entries: strings(entries),
            numbers,
        };
        (format!("/lists/{name}"), text)
    };
    vec![
        list(
            "office",
            &["10.0.0.0/8", "192.0.2.1", "2001:db8::1..2001:db8::9"],
            false,
        ),
        list("paths", &["/admin", "/debug"], false),
        list("typo", &["10.0.0.0/33"], false),
        list("sizes", &["4", "100"], true),
    ]
}

/// The program of items and rule files.
pub fn program(rules: Vec<ExpressionRule>, files: &[(&str, &str)]) -> Result<Program, Vec<String>> {
    let sources: Vec<SourceFile<'_>> = files
        .iter()
        .map(|(name, content)| SourceFile {
            name,
            content: content.as_bytes(),
        })
        .collect();
    let expressions = Expressions { rules, lists: lists() };
    compile_with(&sources, &expressions, CompileOptions::default())
        .map_err(|list| list.iter().map(|d| format!("{} ({})", d.message, d.mend)).collect())
}

/// A request of the tests, with all that expressions look at.
#[derive(Clone, Debug)]
pub struct Given {
    pub method: String,
    pub target: String,
    pub client: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub tls: bool,
}

impl Given {
    pub fn get(target: &str) -> Self {
        Self {
            method: "GET".into(),
            target: target.into(),
            client: "192.0.2.1".into(),
            headers: vec![("host".into(), "example.com".into())],
            body: Vec::new(),
            tls: false,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn form(mut self, body: &str) -> Self {
        self.method = "POST".into();
        self.body = body.as_bytes().to_vec();
        self.header("content-type", "Application/x-www-form-urlencoded; charset=utf-8")
    }

    pub fn packed(&self) -> Vec<u8> {
        let headers: Vec<(&[u8], &[u8])> = self.headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let (method, target) = (self.method.as_bytes(), self.target.as_bytes());
        let mut packed = pack_request(
            method,
            target,
            b"HTTP/1.1",
            self.client.as_bytes(),
            &headers,
            &self.body,
        );
        if self.tls {
            let facts: [&[u8]; 6] = [
                b"TLSv1.3",
                b"TLS_AES_128_GCM_SHA256",
                b"example.com",
                b"t13d1516h2_8daaf6152771_02713d6af862",
                b"CN=alice",
                b"00ff",
            ];
            pack_tls(&mut packed, facts, &[b"DNS:alice.example", b"email:alice@example.com"]);
        }
        packed
    }
}

/// A program in block mode with memory to run it.
pub struct Running {
    pub profile: Profile,
    pub transaction: Transaction,
}

impl Running {
    pub fn new(rules: Vec<ExpressionRule>, files: &[(&str, &str)]) -> Self {
        Self::with(rules, files, &ProfileOptions::default())
    }

    pub fn with(rules: Vec<ExpressionRule>, files: &[(&str, &str)], options: &ProfileOptions) -> Self {
        let program = Arc::new(program(rules, files).unwrap_or_else(|list| panic!("{}", list.join("\n"))));
        Self::of(program, options)
    }

    pub fn of(program: Arc<Program>, options: &ProfileOptions) -> Self {
        let options = ProfileOptions {
            mode: options.mode.or(Some(EngineMode::On)),
            ..options.clone()
        };
        let profile = Profile::new(program, &options).unwrap_or_else(|p| panic!("{}", p.message));
        Self {
            profile,
            transaction: Transaction::default(),
        }
    }

    pub fn send(&mut self, given: &Given) -> Outcome {
        let packed = given.packed();
        let request = Request::unpack(&packed).expect("a packed request");
        self.transaction.inspect(&self.profile, &request)
    }

    /// Id, variable and value of each report.
    pub fn reports(&self) -> Vec<(u32, String, String, String)> {
        let text = |t: &[u8]| String::from_utf8_lossy(t).into_owned();
        self.transaction
            .reports()
            .map(|r| (r.rule, text(r.message), text(r.variable), text(r.value)))
            .collect()
    }
}

/// Whether an expression is true of a request.
pub fn holds(when: &str, given: &Given) -> bool {
    Running::new(vec![rule(when, Action::Log)], &[]).send(given).matches == 1
}
