//! The table: compiled from routes, asked for every request.

use crate::hosts::{Host, Hosts};
use crate::path::{PathSpec, Pattern};
use crate::regex::PathRegex;
use crate::tree::{Branch, Tree};
use crate::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// One route as the compiler of configuration gives it.
#[derive(Clone, Debug)]
pub struct RouteSpec<'a> {
    /// Name for problems.
    pub id: &'a str,
    /// `example.com`, `*.example.com`, `[::1]` or `*`; at least one.
    pub hosts: Vec<&'a str>,
    /// The path pattern.
    pub path: PathSpec<'a>,
    /// Bits of [`METHOD_BITS`]; at least one.
    pub methods: u16,
    /// The caller decides further by header fields, so another route of the same host, path and methods is no duplicate.
    pub has_header_predicates: bool,
    /// Among entries of the same host and path pattern: higher comes first.
    pub priority: i32,
}

/// What is wrong with a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Index of the route as given.
    pub route: usize,
    /// Begins with the route's id and says what to do.
    pub message: String,
}

/// A compiled table. Immutable, shared by any number of threads.
pub struct Router {
    hosts: Hosts,
    groups: Vec<Group>,
    tree: Tree,
    regexes: Vec<PathRegex>,
    /// By entry.
    methods: Vec<u16>,
    /// By entry: index of the route as given.
    routes: Vec<u32>,
}

/// All entries of one host pattern.
struct Group {
    root: u32,
    /// Expression and its entries, in candidate order.
    regexes: Vec<(u32, Range<u32>)>,
    /// One after the last entry.
    end: u32,
}

/// An entry before it has its number.
#[derive(Clone, Copy, Default)]
struct Draft {
    route: u32,
    methods: u16,
    predicates: bool,
    priority: i32,
}

/// Patterns of one host while compiling; expressions by their index, which is the order of first declaration.
#[derive(Default)]
struct Sheet {
    branch: Branch<Draft>,
    regexes: BTreeMap<u32, Vec<Draft>>,
}

impl Router {
    /// Compiles a table. Answers all problems at once, at most [`PROBLEMS_MAX`].
    ///
    /// # Errors
    /// Bad hosts, templates and expressions; entries that can never be chosen because others of the same host and path take all their methods
    /// before them; anything beyond the limits of the crate.
    pub fn compile(specs: &[RouteSpec]) -> Result<Self, Vec<Problem>> {
        if specs.len() > ROUTES_MAX {
            let message = format!("{} routes are given; at most {ROUTES_MAX} are allowed", specs.len());
            return Err(vec![Problem {
                route: ROUTES_MAX,
                message,
            }]);
        }
        let mut compiler = Compiler {
            specs,
            problems: Vec::new(),
            regexes: Vec::new(),
            by_text: HashMap::new(),
        };
        let sheets = compiler.read();
        let router = compiler.lay(sheets);
        if compiler.problems.is_empty() {
            Ok(router)
        } else {
            Err(compiler.problems)
        }
    }

    /// First entry at or after `cursor` that takes this host (lower-case, without port), path (normalised) and method (one bit of
    /// [`METHOD_BITS`]); else [`NOT_FOUND`] or [`METHOD_NOT_ALLOWED`]. The latter is only answered when no entry of this host and path takes the
    /// method, also before the cursor.
    #[must_use]
    pub fn find(&self, host: &[u8], path: &[u8], method_bit: u16, cursor: u32) -> u32 {
        let mut found = NOT_FOUND;
        self.each(host, path, cursor, |entries| {
            for entry in entries.start.max(cursor)..entries.end {
                if self.methods[entry as usize] & method_bit != 0 {
                    found = entry;
                    return true;
                }
            }
            false
        });
        if found == NOT_FOUND {
            let allowed = self.allowed(host, path);
            if allowed != 0 && allowed & method_bit == 0 {
                return METHOD_NOT_ALLOWED;
            }
        }
        found
    }

    /// Methods that some entry of this host and path takes, for the `Allow` field (RFC 9110 §10.2.1). Header predicates are not looked at.
    #[must_use]
    pub fn allowed(&self, host: &[u8], path: &[u8]) -> u16 {
        let mut methods = 0;
        self.each(host, path, 0, |entries| {
            methods |= self.methods[entries.start as usize..entries.end as usize]
                .iter()
                .fold(0, |a, b| a | b);
            methods == METHOD_BITS
        });
        methods
    }

    /// By entry: index of its route as given to `compile`. Read from 0 it is the compiled table in candidate order.
    #[must_use]
    pub fn routes(&self) -> &[u32] {
        &self.routes
    }

    fn each(&self, host: &[u8], path: &[u8], cursor: u32, mut visit: impl FnMut(&Range<u32>) -> bool) {
        self.hosts.each(host, |group| {
            let group = &self.groups[group as usize];
            if group.end <= cursor {
                return false;
            }
            if self.tree.walk(group.root, path, cursor, &mut visit) {
                return true;
            }
            group.regexes.iter().any(|(regex, entries)| {
                entries.end > cursor && self.regexes[*regex as usize].matches(path) && visit(entries)
            })
        });
    }
}

struct Compiler<'a> {
    specs: &'a [RouteSpec<'a>],
    problems: Vec<Problem>,
    regexes: Vec<PathRegex>,
    by_text: HashMap<&'a str, u32>,
}

impl<'a> Compiler<'a> {
    fn problem(&mut self, route: usize, message: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            let message = format!("route `{}`: {message}", self.specs[route].id);
            self.problems.push(Problem { route, message });
        }
    }

    /// All routes by host pattern.
    fn read(&mut self) -> HashMap<Host, Sheet> {
        let mut sheets: HashMap<Host, Sheet> = HashMap::new();
        let (mut entries, mut regex_routes) = (0, 0);
        for (route, spec) in self.specs.iter().enumerate() {
            if spec.methods == 0 || spec.methods & !METHOD_BITS != 0 {
                self.problem(route, "at least one method is needed, and none beyond the known bits");
            }
            if spec.hosts.is_empty() || spec.hosts.len() > ROUTE_HOSTS_MAX {
                self.problem(
                    route,
                    &format!("1 to {ROUTE_HOSTS_MAX} hosts are needed; `*` stands for any"),
                );
                continue;
            }
            entries += spec.hosts.len();
            regex_routes += usize::from(matches!(spec.path, PathSpec::Regex(_)));
            if entries > ENTRIES_MAX || regex_routes > REGEX_ROUTES_MAX {
                self.problem(
                    route,
                    &format!("the table is full: at most {ENTRIES_MAX} pairs of route and host and {REGEX_ROUTES_MAX} routes by expression"),
                );
                break;
            }
            match self.read_path(spec.path) {
                Ok(path) => self.read_hosts(route, &path, &mut sheets),
                Err(message) => self.problem(route, &message),
            }
        }
        sheets
    }

    fn read_path(&mut self, spec: PathSpec<'a>) -> Result<Path, String> {
        Ok(match spec {
            PathSpec::Exact(text) => Path::Pattern(Pattern::exact(text)?),
            PathSpec::Prefix(text) => Path::Pattern(Pattern::prefix(text)?),
            PathSpec::Template(text) => Path::Pattern(Pattern::template(text)?),
            PathSpec::Regex(text) => Path::Regex(self.read_regex(text)?),
        })
    }

    fn read_regex(&mut self, text: &'a str) -> Result<u32, String> {
        if let Some(&index) = self.by_text.get(text) {
            return Ok(index);
        }
        let regex = PathRegex::new(text)?;
        if regex.bytes() + self.regexes.iter().map(PathRegex::bytes).sum::<usize>() > REGEX_DFA_BYTES_TOTAL_MAX {
            return Err(format!(
                "the expressions of the table need more than {REGEX_DFA_BYTES_TOTAL_MAX} bytes together"
            ));
        }
        let index = u32::try_from(self.regexes.len()).unwrap_or(u32::MAX);
        self.regexes.push(regex);
        self.by_text.insert(text, index);
        Ok(index)
    }

    fn read_hosts(&mut self, route: usize, path: &Path, sheets: &mut HashMap<Host, Sheet>) {
        let spec = &self.specs[route];
        let draft = Draft {
            route: u32::try_from(route).unwrap_or(u32::MAX),
            methods: spec.methods,
            predicates: spec.has_header_predicates,
            priority: spec.priority,
        };
        let mut seen: Vec<Host> = Vec::with_capacity(spec.hosts.len());
        for text in &spec.hosts {
            let host = match Host::read(text) {
                Ok(host) => host,
                Err(message) => {
                    self.problem(route, &message);
                    continue;
                }
            };
            if seen.contains(&host) {
                self.problem(route, &format!("the host `{text}` is named twice"));
                continue;
            }
            let sheet = sheets.entry(host.clone()).or_default();
            match path {
                Path::Pattern(pattern) => sheet.branch.insert(pattern, draft),
                Path::Regex(index) => sheet.regexes.entry(*index).or_default().push(draft),
            }
            seen.push(host);
        }
    }

    /// Numbers all entries in candidate order.
    fn lay(&mut self, sheets: HashMap<Host, Sheet>) -> Router {
        let mut sheets: Vec<(Host, Sheet)> = sheets.into_iter().collect();
        sheets.sort_by(|(a, _), (b, _)| a.rank().cmp(&b.rank()));
        let mut router = Router {
            hosts: Hosts::default(),
            groups: Vec::with_capacity(sheets.len()),
            tree: Tree::default(),
            regexes: std::mem::take(&mut self.regexes),
            methods: Vec::new(),
            routes: Vec::new(),
        };
        let Router {
            hosts,
            groups,
            tree,
            methods,
            routes,
            ..
        } = &mut router;
        let mut number = |mut drafts: Vec<Draft>| {
            drafts.sort_by_key(|d| (Reverse(d.priority), !d.predicates, d.methods.count_ones(), d.route));
            self.unreachable(&drafts);
            let from = u32::try_from(routes.len()).unwrap_or(u32::MAX);
            routes.extend(drafts.iter().map(|d| d.route));
            methods.extend(drafts.iter().map(|d| d.methods));
            from..u32::try_from(routes.len()).unwrap_or(u32::MAX)
        };
        for (host, sheet) in sheets {
            let root = tree.add(sheet.branch, &mut number);
            let regexes = sheet
                .regexes
                .into_iter()
                .map(|(index, drafts)| (index, number(drafts)))
                .collect();
            hosts.insert(&host, u32::try_from(groups.len()).unwrap_or(u32::MAX));
            // The end is taken from an empty list, which gets the number that comes next.
            groups.push(Group {
                root,
                regexes,
                end: number(Vec::new()).end,
            });
        }
        tree.seal();
        router
    }

    /// Reports entries whose methods are all taken before them, among those of one host and path.
    fn unreachable(&mut self, sorted: &[Draft]) {
        let mut taken = 0;
        for (i, draft) in sorted.iter().enumerate() {
            if draft.methods != 0 && draft.methods & !taken == 0 {
                let before = sorted[..i]
                    .iter()
                    .find(|d| !d.predicates && d.methods & draft.methods != 0);
                let other = before.map_or("", |d| self.specs[d.route as usize].id);
                let same = before.is_some_and(|d| d.methods == draft.methods);
                let message = if same {
                    format!(
                        "duplicate: route `{other}` has the same host, path and methods; remove one or add a header predicate"
                    )
                } else {
                    format!(
                        "can never be chosen: for the same host and path its methods are taken before it, as by route `{other}`"
                    )
                };
                self.problem(draft.route as usize, &message);
            }
            if !draft.predicates {
                taken |= draft.methods;
            }
        }
    }
}

enum Path {
    Pattern(Pattern),
    Regex(u32),
}
